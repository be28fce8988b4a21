"""What all benchmarks share: what a program costs, taking turns, tables, and where the figures come from."""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
_PACKAGES = ("fttui", "torch", "transformers", "peft", "accelerate", "trl", "llamafactory", "datasets")
_LIST_VERSIONS = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:] if version(name)}))
"""


class Cost(NamedTuple):
    """What a program and all the processes that it left behind took."""

    cpu_seconds: float
    wall_seconds: float
    own_cpu_seconds: float
    """Of the command alone, and of what it waited for itself."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    made.add_argument("--work", type=Path, metavar="FOLDER", help="keep models, data and logs there")
    made.add_argument("--repeats", type=int, default=3, help="rounds; the best of each counts (default: 3)")
    return made


def add_others(made: argparse.ArgumentParser, *names: str) -> None:
    """Add an option for the interpreter of each other trainer; those that are not given are left out."""
    for name in names:
        text = f"an interpreter that has {name}"
        made.add_argument(f"--{name.lower()}-python", metavar="PYTHON", help=text)


def training_environment(home: Path) -> dict[str, str]:
    """Return the environment that every side gets: one thread, no GPU, no network, its own caches."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        # Threads that wait must sleep: on a shared machine spinning ones make any side slower, and not all alike.
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(home / "huggingface"),
        "FTTUI_HOME": str(home / "fttui"),
        "TOKENIZERS_PARALLELISM": "false",
        # LLaMA-Factory refuses versions that are newer than it is.
        "DISABLE_VERSION_CHECK": "1",
        # Modules are compiled once, as in an installation, and not at each start.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def adopt_orphans() -> None:
    """Have processes whose parents end become ours, so that their processor time is counted here."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def cost_of(command: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> Cost:
    """Run a command and return what it took, with whatever goes on after it has returned.

    ``adopt_orphans`` has to be called before, once.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (log or Path(os.devnull)).open("wb") as file:
        code = subprocess.run(
            command, env=dict(environment), stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=False
        ).returncode
    wall_seconds = time.monotonic() - started
    own_seconds = _cpu_seconds_since(before)
    if code:
        sys.exit(f"exit code {code} of {' '.join(command)}\n{log.read_text()[-2000:] if log else ''}")
    # A keeper may live on for a moment.
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    return Cost(_cpu_seconds_since(before), wall_seconds, own_seconds)


def _cpu_seconds_since(before: resource.struct_rusage) -> float:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int) -> Iterator[tuple[str, Any]]:
    """Yield one measurement after the other, the sides alternately: a busy minute slows all of them."""
    for number in range(rounds):
        for name, measure in sides.items():
            result = measure()
            print(f"round {number + 1}/{rounds}: {name}: {_short(result)}", file=sys.stderr, flush=True)
            yield name, result


def _short(result: Any) -> str:
    if isinstance(result, Cost):
        return f"{result.cpu_seconds:.3f} s of CPU, {result.wall_seconds:.2f} s"
    return json.dumps(result)[:200]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns aligned; all columns but the first are numbers."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [_line(row, widths) for row in [headings, *rows]]
    rule = (
        "|" + "|".join("-" * (width + 1) + ("-" if at == 0 else ":") for at, width in enumerate(widths)) + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = row
    cells = [first.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return f"| {' | '.join(cells)} |"


def report(
    options: argparse.Namespace, headings: Sequence[str], rows: Sequence[Sequence[str]], figures: Any
) -> None:
    """Print the table under the date and the machine, and write the figures where ``--json`` says."""
    context = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load": os.getloadavg()[0]}
    print(f"\n{context['date']}, {context['machine']}, load {context['load']:.1f}\n")
    print(table(headings, rows))
    if options.json:
        options.json.write_text(json.dumps({**context, "figures": figures}, indent=1) + "\n")


def machine() -> str:
    """Return the processor, the number of its cores and the memory in words."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB"


def versions_of(python: str) -> dict[str, str]:
    """Return the versions of the libraries that an interpreter has."""
    if python == sys.executable:
        found = {each.metadata["Name"]: each.version for each in metadata.distributions()}
        return {name: found[name] for name in _PACKAGES if name in found}
    command = [python, "-c", _LIST_VERSIONS, *_PACKAGES]
    versions: dict[str, str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return versions
