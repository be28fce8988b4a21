"""Checks of what evaluations decide, of the user's own metric function, and of the trackers that curves go to."""

import os
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.spec.dotted_name import split_dotted_name
from fttui_engine.spec.findings import nearest

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

# The name in report_to: the packages of which one must be there.
TRACKERS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
FOLLOWERS = ("load_best_model_at_end", "early_stopping_steps")


def check_best(case: "Lint") -> None:
    """Choosing by evaluation needs evaluations, and a best model needs checkpoints to come from."""
    values = case.values
    wanted = [key for key in FOLLOWERS if values.get(key)]
    for key in wanted:
        if values["eval_strategy"] == "no":
            case.error(
                key,
                f"{key} needs evaluations, but eval_strategy is no; set eval_strategy: steps, and val_size or eval_dataset.",
                found=str(values[key]),
                suggestion="eval_strategy: steps",
            )
    if values["load_best_model_at_end"] and values["save_strategy"] == "no":
        case.error(
            "load_best_model_at_end",
            "load_best_model_at_end needs checkpoints, but save_strategy is no; set save_strategy: steps.",
            found="true",
            suggestion="save_strategy: steps",
        )
    metric = str(values.get("metric_for_best_model", "loss"))
    if not wanted:
        for key in case.written(("metric_for_best_model", "greater_is_better")):
            case.warn(key, f"{key} has no effect without load_best_model_at_end or early_stopping_steps.")
    elif not _measures_accuracy(values) and metric in ("accuracy", "eval_accuracy"):
        case.error(
            "metric_for_best_model",
            "metric_for_best_model is accuracy, which is not measured; set compute_accuracy: true.",
            found=metric,
            suggestion="compute_accuracy: true",
        )
    elif values["eval_on_each_dataset"] and metric.removeprefix("eval_") in (
        "loss",
        "perplexity",
        "accuracy",
    ):
        plain = metric.removeprefix("eval_")
        case.error(
            "metric_for_best_model"
            if "metric_for_best_model" in case.written(("metric_for",))
            else wanted[0],
            f"eval_on_each_dataset measures each dataset by itself, so metric_for_best_model must name one of them, such "
            f"as {values.get('eval_dataset', ['NAME'])[0].rpartition('/')[2]}_{plain}.",
            found=metric,
        )
    _check_starts_without_evaluation(case)


def _measures_accuracy(values: dict[str, Any]) -> bool:
    # The stages of preferences measure an accuracy of their own.
    return bool(
        values["compute_accuracy"] or "compute_metrics" in values or values["stage"] not in ("sft", "pt")
    )


def _check_starts_without_evaluation(case: "Lint") -> None:
    if case.values["stage"] not in ("sft", "pt"):
        for key in case.written(("compute_accuracy", "compute_metrics")):
            case.warn(
                key, f"{key} has no effect with stage: {case.values['stage']}, which has measures of its own."
            )
    elif case.values["eval_strategy"] == "no":
        for key in case.written(("compute_accuracy", "compute_metrics", "eval_on_start")):
            if case.values[key]:
                case.warn(key, f"{key} has no effect, because eval_strategy is no.")


def check_metric_function(case: "Lint") -> None:
    """The user's own function is there, as far as can be seen without running the user's code."""
    name = case.values.get("compute_metrics")
    if name is None:
        return
    module, function = split_dotted_name(name)
    path = _source_of(module) if module else None
    if not module or not function.isidentifier():
        problem = "is not of the form module.function or file.py:function"
    elif path is None:
        problem = f"names {module}, which is neither installed nor in {os.getcwd()}"
    elif path.suffix == ".py" and (problem_in_file := _problem_in(path, function)):
        problem = problem_in_file
    else:
        return
    case.error(
        "compute_metrics",
        f"compute_metrics: {name} {problem}.",
        found=name,
        allowed="module.function, or file.py:function",
    )


def _source_of(module: str) -> Path | None:
    """Return the file of a module that is installed or in this folder; nothing of it is imported."""
    if module.endswith(".py"):
        path = Path(module).expanduser()
        return path if path.is_file() else None
    search: Any = None
    spec = None
    for part in module.split("."):
        # Last, as the worker does it: a random.py here is not the one that the libraries mean.
        spec = PathFinder.find_spec(part, search)
        if spec is None and search is None:
            spec = PathFinder.find_spec(part, [os.getcwd()])
        if spec is None:
            return None
        search = spec.submodule_search_locations or []
    return Path(spec.origin) if spec is not None and spec.origin else None


def _problem_in(path: Path, function: str) -> str | None:
    import ast

    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be read: {error}"
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.append(node.name)
            case ast.Assign():
                names += [target.id for target in node.targets if isinstance(target, ast.Name)]
            case ast.Import() | ast.ImportFrom():
                names += [alias.asname or alias.name for alias in node.names]
            case ast.If() | ast.Try() | ast.With():
                # Only running it tells what is defined there.
                return None
    if function in names or "*" in names:
        return None
    close = nearest(function, names)
    return f"names a function that {path} does not have" + (f"; did you mean {close}?" if close else "")


def check_trackers(case: "Lint") -> None:
    """The trackers are known and installed, and no secret of theirs is written into the configuration."""
    for name in case.values["report_to"]:
        if name == "none":
            continue
        if name not in TRACKERS:
            case.error(
                "report_to",
                f"report_to: {name} is not offered; use {', '.join(TRACKERS)} or none. metrics.jsonl always has all.",
                found=name,
                allowed=", ".join((*TRACKERS, "none")),
                suggestion=nearest(name, list(TRACKERS)),
            )
        elif "run.python" not in case.values and not any(
            PathFinder.find_spec(package) for package in TRACKERS[name]
        ):
            case.error(
                "report_to",
                f"report_to: {name} needs the package {TRACKERS[name][0]}, which is not installed: pip install {TRACKERS[name][0]}",
                found=name,
                suggestion="none",
            )
    environment = case.values.get("run.environment") or {}
    if "WANDB_API_KEY" in environment:
        case.warn(
            "run.environment",
            "WANDB_API_KEY is a secret, and run.environment is stored with the run; run `wandb login`, or set it in your "
            "shell before fttui start.",
        )
    if all(name == "none" for name in case.values["report_to"]):
        for key in case.written(("logging_dir", "project")):
            case.warn(key, f"{key} has no effect with report_to: none.")
