"""From what a person names (a run, a folder, a configuration) to the process that uses that model in this terminal."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fttui_engine.errors import NoSuchRunError, WrongRequestError
from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.states import State
from fttui_engine.spec.keys import GROUPS, KEYS
from fttui_engine.spec.layers import COMMAND_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
ADAPTER_CONFIG = "adapter_config.json"
# The keys that say which model it is and what it writes; what is wrong with others matters to training only.
USED_KEYS = frozenset(
    {key.name for group in ("model", "generation", "export") for key in GROUPS[group]}
    | {name for name in KEYS if name.startswith(("adapter_", "quantization_"))}
    | {"template", "default_system", "cutoff_len", "run.python"}
)


class Target(NamedTuple):
    """A model that is to be used, in words that a process with torch understands."""

    label: str
    values: dict[str, Any]
    """The settings; ``model_name_or_path`` is the base."""
    adapters: list[str]
    """Folders of adapters in the order in which they are put on the base; all but the last are merged."""
    weights: str | None
    """Folder of a trained model that stands in place of the base."""
    output_dir: str
    """Where results about the model go, unless somebody says otherwise."""
    written: list[str]
    """The keys that somebody wrote, so that a default can be told from a wish."""


def find_target(reference: str, *, overrides: "Sequence[str]" = (), step: int | None = None) -> Target:
    """Return the model that a person means; raises WrongRequestError or NoSuchRunError."""
    path = Path(reference).expanduser()
    if reference.endswith(CONFIG_SUFFIXES) and path.is_file():
        return _of_config(path, overrides)
    if "/" in reference or reference.startswith((".", "~")) or reference.startswith("demo:"):
        return _of_folder(reference, overrides, step)
    try:
        run = find_run(reference)
    except NoSuchRunError:
        if not path.is_dir():
            raise
        return _of_folder(reference, overrides, step)
    return _of_run(run, overrides, step)


def _of_run(run: Run, overrides: "Sequence[str]", step: int | None) -> Target:
    from fttui_engine.spec.resolved import read_spec

    spec = read_spec(run.spec_path)
    if spec.config is None:
        raise WrongRequestError(f"{run.id} is a program of its own", "name a folder with a model instead")
    changed = _resolve(None, overrides, only_overrides=True)
    written = [key for key, origin in changed.origins.items() if origin == COMMAND_LINE]
    values = {**spec.values, **{key: changed.values[key] for key in written}}
    for word in overrides:
        if (key := word.partition("=")[0].strip()) not in written:
            # Taken back, as by eval_dataset=null.
            values.pop(key, None)
    written += [key for key, origin in spec.origins.items() if not origin.startswith("default")]
    folder = _result_of(run, step)
    earlier = list(values.get("adapter_name_or_path") or ())
    if (folder / ADAPTER_CONFIG).is_file():
        # Of earlier adapters the last one was trained on, unless a new one was made; the result is in its place.
        merged = earlier if values.get("create_new_adapter") else earlier[:-1]
        adapters, weights = [*merged, str(folder)], None
    else:
        adapters, weights = [], str(folder)
    name = (
        f"step {folder.name.rpartition('-')[2]}" if folder.name.startswith("checkpoint-") else "final result"
    )
    return Target(f"{run.id} ({name})", values, adapters, weights, str(run.output_dir), written)


def _result_of(run: Run, step: int | None) -> Path:
    """Return the folder of a run's final result, or of its newest sealed checkpoint, or of that of ``step``."""
    checkpoints = {each.step: each.path for each in list_checkpoints(run.output_dir) if each.complete}
    if step is not None:
        if step not in checkpoints:
            known = ", ".join(map(str, sorted(checkpoints))) or "none"
            raise WrongRequestError(f"{run.id} has no whole checkpoint of step {step}", f"it has: {known}")
        return checkpoints[step]
    # While a run is under way, or after it was resumed and failed, what lies in output_dir may be of an earlier end.
    state = read_state(run).state
    if state is State.FINISHED and _holds_model(run.output_dir):
        return run.output_dir
    if not checkpoints and not state.is_live:
        raise WrongRequestError(
            f"{run.id} has saved nothing, and is {state}", f"fttui show {run.id} says why it ended"
        )
    if not checkpoints:
        raise WrongRequestError(
            f"{run.id} has not saved anything yet", "wait for its first checkpoint, or stop it: it saves then"
        )
    return checkpoints[max(checkpoints)]


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (ADAPTER_CONFIG, "config.json"))


def _of_folder(reference: str, overrides: "Sequence[str]", step: int | None) -> Target:
    path = Path(os.path.abspath(Path(reference).expanduser()))
    if step is not None:
        path = path / f"checkpoint-{step}"
    if (path / ADAPTER_CONFIG).is_file():
        base = _base_of(path)
        adapters = [str(path)]
    else:
        is_path = path.exists() or reference.startswith(("/", ".", "~"))
        if is_path and not path.exists():
            raise WrongRequestError(f"there is no folder {path}", "name a run, a folder, or a configuration")
        base, adapters = str(path) if is_path else reference, []
    resolved = _resolve(None, [f"model_name_or_path={base}", *overrides])
    written = [key for key, origin in resolved.origins.items() if origin == COMMAND_LINE]
    return Target(reference, resolved.values, adapters, None, os.getcwd(), written)


def _base_of(adapter: Path) -> str:
    try:
        base = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8")).get(
            "base_model_name_or_path"
        )
    except (OSError, ValueError, AttributeError) as error:
        raise WrongRequestError(f"{adapter / ADAPTER_CONFIG} cannot be read: {error}") from error
    if not base:
        raise WrongRequestError(
            f"{adapter / ADAPTER_CONFIG} does not name its base model",
            "write model_name_or_path and adapter_name_or_path into a YAML file, and name that",
        )
    return str(base)


def _of_config(path: Path, overrides: "Sequence[str]") -> Target:
    resolved = _resolve(path, overrides)
    values = resolved.values
    folder = values.get("adapter_folder")
    adapters = [
        str(Path(name, folder)) if folder else name for name in values.get("adapter_name_or_path") or ()
    ]
    written = [key for key, origin in resolved.origins.items() if not origin.startswith("default")]
    output_dir = values.get("output_dir") or os.getcwd()
    return Target(str(path), values, adapters, None, output_dir, written)


def _resolve(path: Path | None, overrides: "Sequence[str]", *, only_overrides: bool = False) -> Any:
    """Return the resolved configuration; raises WrongRequestError for what is wrong with the keys that are used."""
    from fttui_engine.spec.load import resolve

    resolved = resolve(path, overrides=overrides)
    errors = [
        error
        for error in resolved.findings.errors
        if error.key not in KEYS
        or (error.key in USED_KEYS and (not only_overrides or error.layer == COMMAND_LINE))
    ]
    if errors:
        raise WrongRequestError("\n".join(error.message for error in errors), "nothing was started")
    return resolved


def run_here(
    verb: str, target: Target, options: dict[str, Any], *, cpu: bool = False, gpu: int | None = None
) -> NoReturn:
    """Become the process that loads the model; it has this terminal, so that Ctrl-C and the keyboard are its own."""
    argv, environment = process_for(verb, target, options, cpu=cpu, gpu=gpu)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(argv[0], argv, environment)


def process_for(
    verb: str, target: Target, options: dict[str, Any], *, cpu: bool, gpu: int | None
) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of the process that loads the model."""
    from fttui_engine.launch.gpu_choice import gpu_to_use

    chosen = None if cpu else gpu_to_use(gpu)
    environment = os.environ | {
        # PCI_BUS_ID, because CUDA's own order differs from NVML's and so from the screens'.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "" if chosen is None else str(chosen),
        "TOKENIZERS_PARALLELISM": "false",
        # Bars of libraries would run through the answers; only the person's own lines are wanted.
        "TQDM_DISABLE": "1",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    run = target.values.get("run") or {}
    environment |= run.get("environment") or {}
    # Everybody may read a command line, and the variables of a run may be secrets.
    values = {key: value for key, value in target.values.items() if key != "run"}
    request = json.dumps({"verb": verb, **target._replace(values=values)._asdict(), "options": options})
    python = run.get("python") or sys.executable
    return [python, "-P", "-m", "fttui_engine.train.inference", request], environment
