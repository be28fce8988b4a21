"""Checks of other losses, optimizers and orders of the data than the usual ones."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

WEIGHTED_LOSSES = ("use_dft_loss", "use_eaft_loss")
# What the loss of weighted tokens has no use for.
OF_PLAIN_LOSSES = ("label_smoothing_factor", "enable_liger_kernel")
GROUPED_STAGES = ("sft", "pt")


def check_recipes(case: "Lint") -> None:
    """What takes the place of the usual loss, optimizer or order can be had together with the rest."""
    _check_weighted_loss(case)
    _check_muon(case)
    _check_order(case)


def _check_weighted_loss(case: "Lint") -> None:
    values, stage = case.values, case.values["stage"]
    asked = [name for name in WEIGHTED_LOSSES if values[name]]
    if not values["use_eaft_loss"]:
        for name in case.written(("eaft_alpha",)):
            case.warn(name, f"{name} has no effect without use_eaft_loss.")
    if len(asked) > 1:
        case.error(asked[1], f"{asked[0]} and {asked[1]} exclude each other; keep one of them.", found="true")
    elif asked and stage != "sft":
        case.warn(
            asked[0], f"{asked[0]} has no effect with stage: {stage}; it weighs the tokens of stage: sft."
        )
    elif asked:
        for name in OF_PLAIN_LOSSES:
            if values[name]:
                case.warn(name, f"{name} has no effect on the loss that {asked[0]} asks for.")
        if values["chunked_loss"] == "true":
            case.warn(
                "chunked_loss", f"chunked_loss has no effect beside {asked[0]}, which needs all logits."
            )


def _check_muon(case: "Lint") -> None:
    values = case.values
    if not values["use_muon"]:
        return
    for name in case.written(("optim",)):
        case.warn(name, f"{name} has no effect beside use_muon.")
    if "loraplus_lr_ratio" in values and values["finetuning_type"] == "lora":
        case.error(
            "use_muon",
            "use_muon and loraplus_lr_ratio exclude each other: Muon makes steps of one size in all matrices.",
            found="true",
        )
    divides = values["run.strategy"] == "fsdp" or values.get("fsdp", "no") != "no"
    if divides or "deepspeed" in values:
        case.error(
            "use_muon",
            "use_muon needs whole matrices, which fsdp and deepspeed divide; use run.strategy: ddp, or leave it out.",
            found="true",
            suggestion="run.strategy: ddp",
        )


def _check_order(case: "Lint") -> None:
    values, stage = case.values, case.values["stage"]
    key = "train_sampling_strategy"
    if values[key] != "group_by_length":
        return
    if values["disable_shuffling"]:
        case.error(
            key, f"{key}: group_by_length and disable_shuffling exclude each other.", found="group_by_length"
        )
    if stage not in GROUPED_STAGES:
        case.error(
            key,
            f"{key}: group_by_length with stage: {stage} needs a later release of fttui; use random.",
            found="group_by_length",
            suggestion="random",
        )
    elif values["neat_packing"] or values.get("packing", stage == "pt"):
        case.warn(key, f"{key} has no effect on packed examples, which are all of about one length.")
