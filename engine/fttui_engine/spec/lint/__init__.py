"""Checks that look at several keys together; files and host have modules of their own beside this one."""

from typing import Any

from fttui_engine.spec.findings import Findings, Place
from fttui_engine.spec.run_block import ALLOWED_NAME, is_run_name

# The keys of conversations, which stage pt has none of.
CONVERSATION_KEYS = ("train_on_prompt", "mask_history", "default_system")
# The keys of each method; with another one they rest.
METHOD_KEYS = {
    "lora": ("lora_", "loraplus_", "use_rslora", "use_dora", "pissa_"),
    "oft": ("oft_", "module_dropout"),
    "freeze": ("freeze_",),
}


class Lint:
    """What the checks look at: values (dotted names), their places, and where findings go."""

    def __init__(
        self, values: dict[str, Any], places: dict[str, Place], faulty: set[str], findings: Findings
    ) -> None:
        self.values = values
        self.places = places
        self.faulty = faulty
        self.findings = findings

    def error(self, key: str, text: str, **details: Any) -> None:
        """Add an error at the place where ``key`` was written."""
        self.findings.error(key, text, self._place(key), **details)

    def warn(self, key: str, text: str, **details: Any) -> None:
        """Add a warning at the place where ``key`` was written."""
        self.findings.warn(key, text, self._place(key), **details)

    def written(self, prefixes: tuple[str, ...]) -> list[str]:
        """The keys that begin so and were written by somebody; defaults are not."""
        names = [name for name in self.places if name.startswith(prefixes)]
        return [name for name in names if not self.places[name].layer.startswith("default")]

    def _place(self, key: str) -> Place | None:
        place = self.places.get(key)
        return None if place is None or place.layer.startswith("default") else place


def lint(values: dict[str, Any], places: dict[str, Place], faulty: set[str], findings: Findings) -> None:
    """Add what the combination of values, the files and this host say about the configuration."""
    from fttui_engine.spec.lint.data import check_data
    from fttui_engine.spec.lint.evaluation import check_best, check_metric_function, check_trackers
    from fttui_engine.spec.lint.files import check_model, check_output
    from fttui_engine.spec.lint.held_out import check_held_out
    from fttui_engine.spec.lint.host import check_devices, check_python
    from fttui_engine.spec.lint.learning_rate import check_learning_rate
    from fttui_engine.spec.lint.methods import check_methods
    from fttui_engine.spec.lint.ppo import check_ppo
    from fttui_engine.spec.lint.preference import check_preference
    from fttui_engine.spec.lint.quantization import check_quantization
    from fttui_engine.spec.lint.ranks import check_ranks
    from fttui_engine.spec.lint.recipes import check_recipes
    from fttui_engine.spec.lint.target_layers import check_target_layers
    from fttui_engine.spec.lint.training import check_training
    from fttui_engine.spec.lint.using import check_export, check_predictions

    case = Lint(values, places, faulty, findings)
    _check_run(case)
    if "run.command" in faulty or "run.command" in values:
        return
    _check_scale(case)
    _check_batching(case)
    _check_evaluation(case)
    check_best(case)
    check_metric_function(case)
    check_trackers(case)
    check_predictions(case)
    check_export(case)
    _check_stage(case)
    _check_model_use(case)
    check_model(case)
    check_target_layers(case)
    check_data(case)
    check_held_out(case)
    check_output(case)
    if case.values["run.launcher"] != "slurm":  # the GPUs of the compute nodes are not those of this host
        check_devices(case)
    check_python(case)
    check_quantization(case)
    check_methods(case)
    check_learning_rate(case)
    check_training(case)
    check_recipes(case)
    check_ranks(case)
    check_preference(case)
    check_ppo(case)
    if "template" in case.values:
        from fttui_engine.spec.lint.template import check_template

        check_template(case)


def _check_run(case: Lint) -> None:
    name = case.values.get("run.name")
    if name is not None and not is_run_name(name):
        case.error(
            "run.name",
            f"A run's name has {ALLOWED_NAME}, but it is {name[:80]!r}.",
            found=name[:80],
            allowed=ALLOWED_NAME,
        )
    nodes = case.values["run.nodes"]
    if nodes != 1 and case.values["run.launcher"] != "slurm":
        _later(case, "run.nodes", "Training on several hosts", "1")
    elif case.values.get("run.min_nodes", 1) > 1:
        _later(case, "run.min_nodes", "Training on several hosts", "1")
    if case.values["run.launcher"] == "slurm" or case.written(("run.slurm.",)):
        from fttui_engine.spec.lint.slurm import check_slurm

        check_slurm(case)
    if case.values["run.launcher"] == "ssh":
        _later(case, "run.launcher", f"Starting runs through {case.values['run.launcher']}", "local")


def _check_scale(case: Lint) -> None:
    """Our own training trains."""
    if not case.values["do_train"]:
        case.error(
            "do_train",
            "do_train is false: `fttui predict` writes predictions, `fttui export` and `fttui chat` use a model, all with "
            "this file; to train, remove the line.",
            found="false",
            allowed="true",
        )


def _later(case: Lint, key: str, what: str, allowed: str) -> None:
    found = case.values[key]
    case.error(
        key,
        f"{what} ({key}) needs a later release of fttui; use {allowed}.",
        found=str(found),
        allowed=allowed,
    )


def _check_batching(case: Lint) -> None:
    values = case.values
    if values["bf16"] and values["fp16"]:
        case.error(
            "fp16",
            "bf16 and fp16 cannot both be true; keep bf16 on GPUs from Ampere on, else fp16.",
            found="true",
        )
    if values["pure_bf16"] and values["fp16"]:
        case.error("fp16", "pure_bf16 and fp16 cannot both be true; keep one of them.", found="true")
    if values["max_steps"] == 0:
        case.error(
            "max_steps",
            "max_steps is 0, so nothing would be trained; use -1 for no limit.",
            found="0",
            allowed="-1, or at least 1",
        )
    is_stepwise = values["save_strategy"] == "steps"
    if is_stepwise and 0 < values["max_steps"] < values["save_steps"]:
        case.warn(
            "save_steps",
            f"save_steps ({values['save_steps']}) is larger than the run ({values['max_steps']} steps): nothing is saved "
            "before its end, and a crash would lose it all.",
            found=str(values["save_steps"]),
            allowed=f"at most {values['max_steps']}",
        )
    if values["save_strategy"] == "no":
        case.warn(
            "save_strategy",
            "With save_strategy: no, a crash loses the whole run.",
            found="no",
            suggestion="steps",
        )


def _check_evaluation(case: Lint) -> None:
    values = case.values
    has_data = "eval_dataset" in values or values["val_size"] > 0
    if values["val_size"] > 0 and "eval_dataset" in values:
        case.error(
            "val_size",
            "val_size and eval_dataset exclude each other; evaluation takes one of them.",
            found=str(values["val_size"]),
            allowed="0 with eval_dataset",
        )
    if values["eval_strategy"] != "no" and not has_data and "eval_dataset" not in case.faulty:
        case.error(
            "eval_strategy",
            f"eval_strategy is {values['eval_strategy']}, but there is nothing to evaluate on; set val_size (such as 0.1) or eval_dataset.",
            found=values["eval_strategy"],
            allowed="no, without evaluation data",
        )
    if has_data and values["eval_strategy"] == "no" and not values["do_predict"]:
        key = "eval_dataset" if "eval_dataset" in values else "val_size"
        case.warn(
            key,
            f"{key} sets data aside, but eval_strategy is no, so it is never evaluated on.",
            suggestion="eval_strategy: steps",
        )
    if values["mask_history"] and values["train_on_prompt"]:
        case.error("mask_history", "mask_history and train_on_prompt exclude each other.", found="true")


def _check_stage(case: Lint) -> None:
    if case.values["stage"] == "pt":
        for name in case.written(CONVERSATION_KEYS):
            case.warn(name, f"{name} has no effect with stage: pt, which learns whole texts.")


def _check_model_use(case: Lint) -> None:
    if case.values["trust_remote_code"]:
        case.warn(
            "trust_remote_code",
            "trust_remote_code: true runs Python code that comes with the model, as you, once `fttui trust` was told so.",
        )
    method = case.values["finetuning_type"]
    # A profile for LoRA under a file for full fine-tuning is a normal combination; the keys simply rest.
    for other, prefixes in METHOD_KEYS.items():
        if other != method:
            for name in case.written(prefixes):
                if name != "freeze_trainable_layers" or not case.values["use_llama_pro"]:
                    case.warn(name, f"{name} has no effect with finetuning_type: {method}.")
    if method not in ("lora", "oft"):
        for name in case.written(("additional_target",)):
            case.warn(name, f"{name} has no effect with finetuning_type: {method}.")
    layers = case.values["freeze_trainable_layers"]
    if method == "freeze" and layers == 0 and "freeze_extra_modules" not in case.values:
        case.error(
            "freeze_trainable_layers",
            "freeze_trainable_layers is 0, so every weight is frozen; give a number of layers, counted from the end "
            "(or from the beginning, where it is negative), or name modules in freeze_extra_modules.",
            found="0",
            allowed="not 0, without freeze_extra_modules",
        )
