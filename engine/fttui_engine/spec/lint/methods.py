"""Checks of what is trained: adapters old and new, their variants, and changes to the model around them."""

import os
from typing import TYPE_CHECKING

from fttui_engine.spec.paths import looks_local

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

ADAPTER_METHODS = ("lora", "oft")
# What says how a new adapter is made; one that exists has its own.
OF_A_NEW_ADAPTER = (
    "lora_rank", "lora_alpha", "lora_target", "use_rslora", "use_dora", "pissa_", "additional_target", "oft_",
)  # fmt: skip
NEW_TOKENS = ("add_tokens", "add_special_tokens", "new_special_tokens_config", "resize_vocab")


def check_methods(case: "Lint") -> None:
    """Adapters exist and fit together, and nothing is asked for that another setting makes impossible."""
    _check_existing_adapters(case)
    _check_variants(case)
    _check_model_changes(case)
    _check_llama_pro(case)


def _check_existing_adapters(case: "Lint") -> None:
    values = case.values
    adapters = values.get("adapter_name_or_path")
    if not adapters:
        for name in case.written(("create_new_adapter", "adapter_folder")):
            case.warn(name, f"{name} has no effect without adapter_name_or_path.")
        return
    if values["finetuning_type"] not in ADAPTER_METHODS:
        case.error(
            "adapter_name_or_path",
            f"finetuning_type: {values['finetuning_type']} trains no adapter; use finetuning_type: lora, or merge the "
            "adapter into the model first.",
            found=", ".join(adapters),
            suggestion="finetuning_type: lora",
        )
        return
    for adapter in adapters:
        folder = os.path.join(adapter, values.get("adapter_folder", ""))
        is_local = looks_local(adapter) or os.path.isdir(adapter)
        if is_local and not os.path.isfile(os.path.join(folder, "adapter_config.json")):
            case.error(
                "adapter_name_or_path",
                f"{folder.rstrip('/')} is no adapter: it has no adapter_config.json.",
                found=adapter,
            )
    if "quantization_bit" in values and (len(adapters) > 1 or values["create_new_adapter"]):
        case.error(
            "adapter_name_or_path",
            "An adapter cannot be merged into quantized weights; give one adapter, to be trained further, or leave "
            "quantization_bit out.",
            found=", ".join(adapters),
            suggestion="create_new_adapter: false",
        )
    if not values["create_new_adapter"]:
        for name in case.written(OF_A_NEW_ADAPTER):
            case.warn(
                name,
                f"{name} has no effect: the adapter that is trained further has its own. To train a new one on top of "
                "it, set create_new_adapter: true.",
            )


def _check_variants(case: "Lint") -> None:
    values = case.values
    if not values["pissa_init"]:
        for name in case.written(("pissa_iter",)):
            case.warn(name, f"{name} has no effect without pissa_init.")
    elif values["finetuning_type"] == "lora":
        if "quantization_bit" in values:
            _refuse_pissa(case, "quantized weights cannot be decomposed", "quantization_bit out")
        if values["use_dora"]:
            _refuse_pissa(case, "its adapter could not be saved beside the lengths of DoRA", "use_dora out")
        if _needs_reference(case):
            _refuse_pissa(
                case, "without its adapter the model would not be the one to compare with", "pissa_init out"
            )
    if values["use_dora"] and values.get("quantization_bit") == 8 and _trains_on_cpu(case):
        case.error(
            "use_dora",
            "use_dora has to know the weights, which bitsandbytes does not give back from 8 bits on a CPU; use "
            "quantization_bit: 4.",
            found="true",
            suggestion="quantization_bit: 4",
        )
    if "loraplus_lr_ratio" not in values:
        for name in case.written(("loraplus_lr_embedding",)):
            case.warn(name, f"{name} has no effect without loraplus_lr_ratio.")


def _trains_on_cpu(case: "Lint") -> bool:
    from fttui_engine.hardware.capability import chosen_cards

    gpus = case.values["run.gpus"]
    return bool(case.values["use_cpu"] or gpus == "none" or not chosen_cards(gpus))


def _refuse_pissa(case: "Lint", why: str, what: str) -> None:
    case.error(
        "pissa_init",
        f"pissa_init is impossible here: {why}; leave {what}.",
        found="true",
        suggestion="pissa_init: false",
    )


def _needs_reference(case: "Lint") -> bool:
    stage = case.values["stage"]
    return stage in ("kto", "ppo") or (
        stage == "dpo" and case.values.get("pref_loss") not in ("orpo", "simpo")
    )


def _check_model_changes(case: "Lint") -> None:
    values = case.values
    method = values["finetuning_type"]
    if values["train_from_scratch"] and method != "full":
        case.error(
            "train_from_scratch",
            f"train_from_scratch begins with random weights, of which finetuning_type: {method} would leave most as "
            "they are; use finetuning_type: full.",
            found="true",
            suggestion="finetuning_type: full",
        )
    if values["upcast_layernorm"]:
        if values["pure_bf16"] and "quantization_bit" not in values:
            case.error(
                "upcast_layernorm",
                "upcast_layernorm would hand float32 to layers that pure_bf16 keeps in bfloat16; use bf16 instead.",
                found="true",
                suggestion="bf16: true",
            )
        elif method == "full" or not (values["bf16"] or values["fp16"] or values["pure_bf16"]):
            case.warn("upcast_layernorm", "upcast_layernorm has no effect: the norms are in float32 anyway.")
    _check_described_tokens(case)
    asked = [name for name in NEW_TOKENS if values.get(name)]
    if asked and "quantization_bit" in values:
        case.error(
            asked[0],
            f"{asked[0]} gives the model new weights to learn, and quantized weights cannot be learned; leave "
            "quantization_bit out.",
            found=str(values[asked[0]]),
            suggestion="quantization_bit: null",
        )
    elif asked and method == "freeze" and "freeze_extra_modules" not in values:
        case.warn(
            asked[0], "freeze leaves new tokens as they began; name embed_tokens in freeze_extra_modules."
        )


def _check_described_tokens(case: "Lint") -> None:
    values = case.values
    path = values.get("new_special_tokens_config")
    if path is None:
        for name in case.written(("init_special_tokens",)):
            case.warn(name, f"{name} has no effect without new_special_tokens_config.")
        return
    from fttui_engine.errors import WrongRequestError
    from fttui_engine.spec.described_tokens import read_described_tokens

    try:
        read_described_tokens(path)
    except WrongRequestError as error:
        case.error("new_special_tokens_config", f"{error.message}; {error.hint}.", found=path)
    if values.get("add_special_tokens"):
        case.warn("add_special_tokens", "add_special_tokens has no effect beside new_special_tokens_config.")


def _check_llama_pro(case: "Lint") -> None:
    values = case.values
    if not values["use_llama_pro"]:
        return
    if values["finetuning_type"] not in ("freeze", "lora"):
        case.error(
            "use_llama_pro",
            "use_llama_pro trains the layers that were added to a model; use finetuning_type: freeze or lora.",
            found="true",
            suggestion="finetuning_type: freeze",
        )
    if values["freeze_trainable_layers"] < 1:
        case.error(
            "freeze_trainable_layers",
            "With use_llama_pro, freeze_trainable_layers is the number of layers that were added, at least 1.",
            found=str(values["freeze_trainable_layers"]),
            allowed="at least 1",
        )
