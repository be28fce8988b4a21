"""The tokenizer, the base model and the adapter, from a folder, a GGUF file, a hub name or the embedded demo."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.runs.trusted_code import ModelCode, code_in, is_trusted
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.templates import choose_template
from fttui_engine.train.demo import DEMO_MODEL, demo_model_path
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models.quantization import keep_packing, quantization_arguments, weight_count
from fttui_engine.train.models.structure import (
    changed_structure,
    changes_structure,
    random_model,
    upcast_norms,
)

# LLaMA-Factory's names of attention kernels; auto is transformers' own choice, sdpa where the model has it.
ATTENTION = {"auto": None, "disabled": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2"}


class ModelSource(NamedTuple):
    """Where a model is, in the words of ``from_pretrained``."""

    name_or_path: str
    arguments: dict[str, Any]


def find_model(config: TrainingConfig) -> ModelSource:
    """Return what ``model_name_or_path`` stands for; raises ModelError where it brings code that nobody agreed to."""
    source = _find(config)
    if config.trust_remote_code:
        require_trusted_code(source)
    return source


def require_trusted_code(source: ModelSource) -> None:
    """Raise ModelError unless the Python that comes with a model was agreed to; most models bring none."""
    folder = Path(source.name_or_path)
    code = code_in(folder) if folder.is_dir() else _code_on_hub(source)
    if code and not is_trusted(code):
        raise ModelError(
            f"{code.model} brings Python code of its own, which trust_remote_code: true would run as you, and nobody agreed "
            "to this version of it",
            f"look at it, then: fttui trust {code.model}",
        )


def _code_on_hub(source: ModelSource) -> ModelCode | None:
    from transformers.utils.hub import cached_file

    where = {key: source.arguments[key] for key in ("revision", "cache_dir") if key in source.arguments}
    found = None
    for name in ("config.json", "tokenizer_config.json"):
        try:
            found = (
                cached_file(source.name_or_path, name, _raise_exceptions_for_missing_entries=False, **where)
                or found
            )
        except OSError:
            # The loading itself says in words what is wrong: no network, no access, no such model.
            return None
    if found is None:
        return None
    snapshot = Path(found).parent
    return code_in(snapshot, source.name_or_path, snapshot.name)


def _find(config: TrainingConfig) -> ModelSource:
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


def load_tokenizer(
    source: ModelSource, log: Callable[[str], None], *, for_chat: bool = True, template: str | None = None
) -> Any:
    """Return the model's tokenizer, in any case with a padding token and, ``for_chat``, with a chat template."""
    from transformers import AutoTokenizer

    if "gguf_file" in source.arguments:
        _parse_gguf_once()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name_or_path, **source.arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _not_loaded("tokenizer", source, error) from error
    if for_chat:
        choose_template(tokenizer, template, log)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has neither a padding nor an end token", "choose another model")
        # Padding is masked everywhere, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    config: TrainingConfig,
    source: ModelSource,
    attention: str | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Any:
    """Return the base model in the precision that the run computes in, ready to be trained in full."""
    attention = attention or ATTENTION[config.flash_attn]
    arguments = source.arguments | ({"attn_implementation": attention} if attention else {})
    try:
        if changes_structure(config):
            arguments["config"] = changed_structure(config, source.name_or_path, source.arguments, log)
        if config.train_from_scratch:
            model = random_model(source.name_or_path, weights_dtype(config), arguments, config.seed)
        else:
            model = _pretrained(config, source, arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _not_loaded("model", source, error) from error
    if config.quantization_bit == 4:
        keep_packing(model)
    if config.upcast_layernorm:
        upcast_norms(model)
    # Training never reads the cache, and with it on, attention kernels may skip the padding mask.
    model.config.use_cache = False
    return model


def unpacking() -> dict[str, Any]:
    """Return what has transformers unpack the weights of a GGUF file; before it had a GgufConfig it always did."""
    import transformers

    gguf_config = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": gguf_config(dequantize=True)} if gguf_config else {}


def _pretrained(config: TrainingConfig, source: ModelSource, arguments: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    is_gguf = "gguf_file" in arguments
    if is_gguf:
        # Packed weights cannot be trained, nor can an adapter be put on them.
        if config.quantization_bit is not None:
            raise ModelError(
                f"{source.name_or_path} is a GGUF model, whose weights are packed already",
                "give the model's original folder, or leave quantization_bit out",
            )
        arguments = arguments | unpacking()
    elif config.quantization_bit is not None:
        arguments = arguments | quantization_arguments(config)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source.name_or_path, dtype=weights_dtype(config), **arguments
    )
    # transformers marks a model from a GGUF file as quantised and refuses to save it; its weights are plain by now.
    if is_gguf and getattr(model, "hf_quantizer", None) is not None:
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
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
