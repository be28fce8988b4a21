"""Checks of the keys of the preference stages rm, dpo and kto."""

import os
from typing import TYPE_CHECKING

from fttui_engine.spec.findings import nearest
from fttui_engine.spec.lint.files import did_you_mean, similar_path
from fttui_engine.spec.paths import DEMO_MODEL

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

PREFERENCE_STAGES = ("rm", "dpo", "kto")
# Where each key has an effect; a stage, or a loss of stage dpo.
USED_BY = {
    "pref_beta": ("dpo", "kto"),
    "pref_ftx": ("dpo", "kto"),
    "pref_loss": ("dpo",),
    "pref_bco_weight": ("dpo",),
    "dpo_label_smoothing": ("dpo",),
    "simpo_gamma": ("dpo",),
    "ld_alpha": ("dpo",),
    "kto_chosen_weight": ("kto",),
    "kto_rejected_weight": ("kto",),
    "ref_model": ("dpo", "kto", "ppo"),
    "ref_model_adapters": ("dpo", "kto", "ppo"),
    "ref_model_quantization_bit": ("dpo", "kto", "ppo"),
}
# Losses that compare with no reference.
WITHOUT_REFERENCE = ("orpo", "simpo")
NEEDS_REFERENCE = ("ref_model", "ref_model_adapters", "ref_model_quantization_bit", "pref_bco_weight")
OF_SINGLE_ANSWERS = (
    "train_on_prompt",
    "mask_history",
    "label_smoothing_factor",
    "compute_accuracy",
    "compute_metrics",
)


def check_preference(case: "Lint") -> None:
    """The keys of the preference stages fit the stage and each other."""
    stage = case.values["stage"]
    for name, stages in USED_BY.items():
        if stage not in stages and case.written((name,)):
            case.warn(name, f"{name} has no effect with stage: {stage}; it is for {' and '.join(stages)}.")
    if stage in (*PREFERENCE_STAGES, "ppo"):
        for name in case.written(OF_SINGLE_ANSWERS):
            case.warn(name, f"{name} has no effect with stage: {stage}.")
    if stage in ("dpo", "kto") and case.values["lora_dropout"] > 0:
        case.warn(
            "lora_dropout",
            f"lora_dropout has no effect with stage: {stage}: the model is compared with its reference, and dropout "
            "would blur the difference.",
        )
    if stage == "dpo":
        _check_pair_loss(case)
    if stage in ("dpo", "kto", "ppo"):
        _check_reference(case)
        if case.values.get("ref_model") is None and not _needs_none(case):
            _check_adapter_as_reference(case)


def _check_pair_loss(case: "Lint") -> None:
    values = case.values
    loss = values["pref_loss"]
    if values["dpo_label_smoothing"] > 0 and loss != "sigmoid":
        case.error(
            "dpo_label_smoothing",
            f"dpo_label_smoothing works with pref_loss: sigmoid only, and pref_loss is {loss}; remove one of them.",
            found=str(values["dpo_label_smoothing"]),
            allowed="0 with this pref_loss",
        )
    if loss != "simpo" and case.written(("simpo_gamma",)):
        case.warn("simpo_gamma", f"simpo_gamma has no effect with pref_loss: {loss}.")
    if _needs_none(case):
        for name in case.written(NEEDS_REFERENCE):
            case.warn(name, f"{name} has no effect with pref_loss: {loss}, which compares with no reference.")


def _needs_none(case: "Lint") -> bool:
    return case.values["stage"] == "dpo" and case.values["pref_loss"] in WITHOUT_REFERENCE


def _check_adapter_as_reference(case: "Lint") -> None:
    """Under LoRA the reference is the model with its adapter switched off, which may not be what was meant."""
    values = case.values
    if values["finetuning_type"] != "lora":
        return
    if values.get("adapter_name_or_path") and not values["create_new_adapter"]:
        case.warn(
            "adapter_name_or_path",
            "The reference is the model without the adapter that training goes on from. If it is to be the model with it, "
            "set create_new_adapter: true, which merges it first.",
            suggestion="create_new_adapter: true",
        )


def _check_reference(case: "Lint") -> None:
    values = case.values
    model = values.get("ref_model")
    if model is None:
        for name in case.written(("ref_model_adapters", "ref_model_quantization_bit")):
            case.error(
                name,
                f"{name} is given without ref_model; name the model that it belongs to.",
                allowed="only with ref_model",
            )
    elif os.path.isabs(model) and not os.path.exists(model):
        suggestion = similar_path(model)
        case.error(
            "ref_model",
            f"There is no model at {model}." + did_you_mean(suggestion),
            found=model,
            allowed="an existing folder",
            suggestion=suggestion,
        )
    elif model.startswith("demo:") and model != DEMO_MODEL:
        case.error(
            "ref_model",
            f"There is no model {model!r}; the demo's is {DEMO_MODEL}.",
            found=model,
            allowed=DEMO_MODEL,
            suggestion=nearest(model, [DEMO_MODEL]),
        )
    for adapter in values.get("ref_model_adapters", ()):
        if os.path.isabs(adapter) and not os.path.isfile(os.path.join(adapter, "adapter_config.json")):
            case.error(
                "ref_model_adapters",
                f"{adapter} holds no adapter: it has no adapter_config.json.",
                found=adapter,
                allowed="a folder with an adapter",
            )
