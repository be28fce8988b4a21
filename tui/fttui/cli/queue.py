"""The queue on the command line: ``start --queue``, ``start --sweep`` and ``sweep``."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.errors import ExitCode, NoSuchRunError, WrongRequestError
from fttui_engine.launch.queue import QueueWish, Variation, sweep_name, variations
from fttui_engine.runs.home import state_home
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.queueing import QueueRequest, read_queue_request
from fttui_engine.runs.run import Run, all_runs
from fttui_engine.runs.summary import RunSummary, summarize

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

MEASURE = "eval_loss"


def start_sweep(arguments: Namespace, overrides: list[str]) -> int:
    """Queue one run for each combination of values; all of them are checked before the first is queued."""
    from fttui.cli.start import queue_wish, say_what_is_noteworthy
    from fttui_engine.launch.start import default_name, require_ok, start

    wish = queue_wish(arguments) or QueueWish()
    config = None if arguments.config is None else Path(arguments.config)
    first = _resolve(config, arguments.profile, overrides)
    base = arguments.name or first.run.name or default_name(first)
    made = [
        (each, _resolve(config, arguments.profile, [*overrides, *each.overrides]))
        for each in variations(base, arguments.sweep)
    ]
    for each, resolved in made:
        _require_effect(each, resolved)
        require_ok(resolved)
    say_what_is_noteworthy(made[0][1].findings)
    name = sweep_name(base)
    runs = []
    for each, resolved in made:
        one = _with_own_output(resolved, each.name)
        runs.append(start(one, each.name, wish._replace(sweep=name, varied=each.varied)))
        if not arguments.json:
            print(runs[-1].id, flush=True)
    if arguments.json:
        print(json.dumps({"sweep": name, "runs": [run.id for run in runs]}), flush=True)
    else:
        print(f"fttui: {len(runs)} runs are queued; fttui sweep {name} compares them", file=sys.stderr)
    if not arguments.wait:
        return ExitCode.DONE
    from fttui.cli.control import wait_for_end

    return max([wait_for_end(run) for run in runs])


def sweep(arguments: Namespace) -> int:
    """Compare the runs of a sweep, the best first; without a name list all sweeps."""
    from fttui_engine.supervise.adoption import reconcile

    reconcile(state_home())
    members = _members()
    if arguments.sweep is None:
        return _list_sweeps(members, as_json=arguments.json)
    chosen = [(run, request) for run, request in members if request.sweep == arguments.sweep]
    if not chosen:
        names = ", ".join(sorted({request.sweep for _, request in members})) or "none"
        raise NoSuchRunError(f"there is no sweep {arguments.sweep!r}", f"there are: {names}")
    rows = sorted((_row(run, request) for run, request in chosen), key=_rank)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_rows(rows)
    return ExitCode.DONE


def members_of(name: str) -> list[RunSummary]:
    """Return the runs of a sweep; raises NoSuchRunError."""
    found = [summarize(run) for run, request in _members() if request.sweep == name]
    if not found:
        raise NoSuchRunError(f"there is no sweep {name!r}", "fttui sweep lists them")
    return found


def _members() -> list[tuple[Run, QueueRequest]]:
    requests = ((run, read_queue_request(run.queue_path)) for run in all_runs())
    return [(run, request) for run, request in requests if request and request.sweep]


def _list_sweeps(members: list[tuple[Run, QueueRequest]], *, as_json: bool) -> int:
    counts: dict[str, int] = {}
    for _, request in members:
        counts[request.sweep] = counts.get(request.sweep, 0) + 1
    if as_json:
        print(json.dumps(counts))
    elif not counts:
        print("There are no sweeps. fttui start CONFIG --sweep learning_rate=1e-4,2e-4 queues one.")
    else:
        for name, count in counts.items():
            print(one_line(f"{name}  {count} runs"))
    return ExitCode.DONE


def _row(run: Run, request: QueueRequest) -> dict[str, Any]:
    summary = summarize(run)
    points = read_metrics(run.metrics_path)
    measured = [(point[MEASURE], point.get("step")) for point in points if _is_number(point.get(MEASURE))]
    best, step = min(measured, default=(None, None))
    return {
        "id": run.id,
        "state": str(summary.state),
        "detail": summary.detail,
        **dict(request.varied),
        "step": summary.step,
        "max_steps": summary.max_steps,
        "loss": summary.loss if _is_number(summary.loss) else None,
        "best_eval_loss": best,
        "best_at_step": step,
    }


def _rank(row: dict[str, Any]) -> tuple[bool, float, bool, float]:
    """Order by the best evaluation, else by the latest training loss, which compares less well."""
    best, loss = row["best_eval_loss"], row["loss"]
    return best is None, best or 0.0, loss is None, loss or 0.0


def _print_rows(rows: list[dict[str, Any]]) -> None:
    hidden = {"detail", "max_steps"}
    if all(row["best_eval_loss"] is None for row in rows):
        hidden |= {"best_eval_loss", "best_at_step"}
        print("fttui: nothing was evaluated yet (eval_dataset or val_size, eval_steps)", file=sys.stderr)
    keys = [key for key in rows[0] if key not in hidden]
    lines = [[key.upper().replace("BEST_EVAL_LOSS", "BEST EVAL").replace("_", " ") for key in keys]]
    lines += [[_cell(row, key) for key in keys] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(keys))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if key == "step" and value is not None and row["max_steps"]:
        return f"{value}/{row['max_steps']}"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def _is_number(value: object) -> bool:
    # NaN is no number here: it compares with nothing, and would stand anywhere in the table.
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124


def _resolve(config: Path | None, profile: str | None, overrides: Sequence[str]) -> "Resolved":
    from fttui_engine.spec.load import resolve

    return resolve(config, profile=profile, overrides=list(overrides))


def _with_own_output(resolved: "Resolved", name: str) -> "Resolved":
    """Return the configuration with a folder of the run's own, where it names one for all of them."""
    folder = resolved.values.get("output_dir")
    return resolved.with_value("output_dir", str(Path(folder, name)), "--sweep") if folder else resolved


def _require_effect(each: Variation, resolved: "Resolved") -> None:
    """Refuse to vary what is no setting of the training, or what the configuration ignores."""
    ignored = {item.key for item in resolved.findings.ignored}
    if useless := next((key for key, _ in each.varied if key in ignored), None):
        raise WrongRequestError(f"--sweep {useless}: it has no effect", "fttui check says why")
    if kept := next((key for key, _ in each.varied if key in ("output_dir", "run.name")), None):
        raise WrongRequestError(f"--sweep {kept}: each run of a sweep has its own", "vary something else")
