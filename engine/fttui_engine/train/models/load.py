"""The tokenizer, the base model and the adapter, from a folder, a GGUF file, a hub name or the embedded demo."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.demo import CHATML_TEMPLATE, DEMO_MODEL, demo_model_path
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.quantization import keep_packing, quantization_arguments, weight_count

# LLaMA-Factory's names of attention kernels; auto is transformers' own choice, sdpa where the model has it.
_ATTENTION = {"auto": None, "disabled": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2"}


class ModelSource(NamedTuple):
    """Where a model is, in the words of ``from_pretrained``."""

    name_or_path: str
    arguments: dict[str, Any]


def find_model(config: TrainingConfig) -> ModelSource:
    """Return what ``model_name_or_path`` stands for."""
    name = config.model_name_or_path
    arguments: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    if name == DEMO_MODEL:
        return ModelSource(str(demo_model_path()), arguments)
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelError(f"{path} is not a model", "give the folder of the model, or a .gguf file")
        return ModelSource(str(path.parent), {**arguments, "gguf_file": path.name})
    if path.is_dir():
        return ModelSource(
            str(path), arguments if (path / "config.json").is_file() else _gguf_in(path, arguments)
        )
    if path.is_absolute():
        raise ModelError(f"there is no model {path}", "correct model_name_or_path")
    hub = {"revision": config.model_revision, "cache_dir": config.cache_dir}
    return ModelSource(name, arguments | {key: value for key, value in hub.items() if value is not None})


def _gguf_in(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    files = sorted(file.name for file in folder.glob("*.gguf"))
    if not files:
        raise ModelError(f"{folder} holds no model: it has no config.json", "correct model_name_or_path")
    if len(files) > 1:
        raise ModelError(
            f"{folder} holds several models: {', '.join(files)}",
            "name one of the files in model_name_or_path",
        )
    return {**arguments, "gguf_file": files[0]}


def _parse_gguf_once() -> None:
    """Have a GGUF file's header parsed, and its table of weight names made, once in this process.

    transformers parses the header anew for the tokenizer, the configuration and the weights, and makes the table for
    every module: 22 instead of 11 s of CPU for SmolLM2-135M, and in proportion to the vocabulary for others.
    """
    import gguf

    package: Any = gguf
    for name in ("GGUFReader", "get_tensor_name_map"):
        if not hasattr(getattr(package, name), "cache_clear"):
            setattr(package, name, functools.lru_cache(maxsize=1)(getattr(package, name)))


def load_tokenizer(source: ModelSource, log: Callable[[str], None], *, for_chat: bool = True) -> Any:
    """Return the model's tokenizer, in any case with a padding token and, ``for_chat``, with a chat template."""
    from transformers import AutoTokenizer

    if "gguf_file" in source.arguments:
        _parse_gguf_once()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name_or_path, **source.arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _not_loaded("tokenizer", source, error) from error
    if tokenizer.chat_template is None and for_chat:
        tokenizer.chat_template = CHATML_TEMPLATE
        log(
            "warning: the model has no chat template, so it is a base model; the ChatML template is used and "
            "saved with the result"
        )
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has neither a padding nor an end token", "choose another model")
        # Padding is masked everywhere, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config: TrainingConfig, source: ModelSource) -> Any:
    """Return the base model in the precision that the run computes in, ready to be trained in full."""
    from transformers import AutoModelForCausalLM, GgufConfig

    attention = _ATTENTION[config.flash_attn]
    arguments = source.arguments | ({"attn_implementation": attention} if attention else {})
    if "gguf_file" in arguments:
        # Packed weights cannot be trained, nor can an adapter be put on them.
        if config.quantization_bit is not None:
            raise ModelError(
                f"{source.name_or_path} is a GGUF model, whose weights are packed already",
                "give the model's original folder, or leave quantization_bit out",
            )
        arguments |= {"quantization_config": GgufConfig(dequantize=True)}
    elif config.quantization_bit is not None:
        arguments |= quantization_arguments(config)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            source.name_or_path, dtype=weights_dtype(config), **arguments
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _not_loaded("model", source, error) from error
    if config.quantization_bit == 4:
        keep_packing(model)
    # transformers marks a model from a GGUF file as quantised and refuses to save it; its weights are plain by now.
    if getattr(model, "hf_quantizer", None) is not None and "gguf_file" in source.arguments:
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
    # Training never reads the cache, and with it on, attention kernels may skip the padding mask.
    model.config.use_cache = False
    return model


def keeps_bf16(config: TrainingConfig) -> bool:
    """Return whether the trained weights are in bfloat16; an adapter on packed weights never is."""
    return config.pure_bf16 and config.quantization_bit is None


def weights_dtype(config: TrainingConfig) -> Any:
    """Return the dtype of the base weights.

    Weights that are trained stay in float32 beside bf16 or fp16 computation: an update of 1e-5 is lost in bfloat16,
    which has 8 bits of mantissa. Frozen ones take the precision that is computed in, half the memory.
    """
    import torch

    if config.pure_bf16:
        return torch.bfloat16
    if config.finetuning_type == "full":
        return torch.float32
    # Of freeze, the layers that are trained are put back to float32 in freezing.py.
    return torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else torch.float32


def _refuse_unknown_layers(model: Any, key: str, names: Iterable[str]) -> None:
    """Raise ModelError for a name that no layer has; peft only minds when none of them fits."""
    modules = dict(model.named_modules())
    for name in names:
        if not any(path == name or path.endswith(f".{name}") for path in modules):
            # The matrices; norms and activations are layers too, but nobody means them.
            matrices = [path for path, module in modules.items() if _is_matrix(module)]
            layers = sorted({path.rpartition(".")[2] for path in matrices})
            raise ModelError(
                f"the adapter does not fit the model: {key} names {name!r}, which no layer is called",
                f"correct {key}; the layers are {', '.join(layers[:40])}",
            )


def _is_matrix(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    return weight is not None and weight.dim() == 2


def add_adapter(model: Any, config: TrainingConfig) -> Any:
    """Return the model with its weights frozen and a new LoRA adapter; adapter weights are in float32."""
    from peft import LoraConfig, TaskType, get_peft_model

    targets = list(config.lora_target)
    _refuse_unknown_layers(model, "lora_target", [name for name in targets if name != "all"])
    _refuse_unknown_layers(model, "additional_target", config.additional_target or ())
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear" if targets == ["all"] else targets,
        modules_to_save=list(config.additional_target) if config.additional_target else None,
        use_rslora=config.use_rslora,
        # Else a model with one matrix for both ends of the vocabulary would get two that drift apart.
        ensure_weight_tying=bool(config.additional_target and model.config.tie_word_embeddings),
    )
    try:
        model = get_peft_model(model, lora, autocast_adapter_dtype=not keeps_bf16(config))
    # RuntimeError: additional_target names a packed layer, which can have no gradient.
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"the adapter does not fit the model: {error}", "correct lora_target or additional_target"
        ) from error
    if not keeps_bf16(config):
        # peft leaves those of additional_target in the precision of the base.
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    return model


def describe(model: Any) -> str:
    """Return one line on the model: its kind, and how much of it is trained."""
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = sum(weight_count(weight) for weight in model.parameters())
    packing = getattr(model.config, "quantization_config", None)
    packed = f" ({'4' if packing.load_in_4bit else '8'} bit)" if packing else ""
    return (
        f"model: {model.config.model_type}, {total / 1e6:.1f} million weights{packed}, "
        f"{trained / 1e6:.3f} million trained ({100 * trained / total:.2f} %)"
    )


def _not_loaded(what: str, source: ModelSource, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, ImportError):
        hint = "install the package that it asks for"
    elif Path(source.name_or_path).exists():
        hint = "check that the folder is a complete model"
    else:
        hint = "check the name, and that this machine reaches the hub; a local folder needs no network"
    return ModelError(f"the {what} {source.name_or_path} cannot be loaded: {reason[0]}", hint)
