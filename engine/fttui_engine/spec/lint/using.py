"""Checks of what is done with a model: predictions after a training, and keys that belong to another verb."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint


def check_predictions(case: "Lint") -> None:
    """Predictions need questions with answers, and a stage that learned to answer."""
    values = case.values
    if values["predict_with_generate"] and not values["do_predict"]:
        case.warn("predict_with_generate", "predict_with_generate has no effect without do_predict.")
    if not values["do_predict"]:
        return
    if values["stage"] != "sft":
        case.error(
            "do_predict",
            f"do_predict writes answers to questions, which stage: {values['stage']} does not learn; remove the line.",
            found="true",
            allowed="false",
        )
    elif "eval_dataset" not in values and not values["val_size"] and "eval_dataset" not in case.faulty:
        case.error(
            "do_predict",
            "do_predict has no questions to answer; set val_size (such as 0.1) or eval_dataset.",
            found="true",
            suggestion="val_size: 0.1",
        )
    if values["train_on_prompt"]:
        case.error("do_predict", "do_predict and train_on_prompt exclude each other.", found="true")
    if values["run.strategy"] == "fsdp":
        case.error(
            "do_predict",
            "do_predict cannot write with a model that is divided among GPUs; remove it, and run `fttui predict RUN` afterwards.",
            found="true",
            allowed="false",
        )


def check_export(case: "Lint") -> None:
    """A training exports nothing; LLaMA-Factory's own examples keep the two apart."""
    for key in case.written(("export_",)):
        case.warn(
            key, f"{key} has no effect on a training; `fttui export` reads it, with a run or with this file."
        )
