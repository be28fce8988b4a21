"""A trained model made ready to be used: base, adapters, tokenizer, precision, device."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.inference.request import Request
from fttui_engine.train.lean_imports import import_transformers
from fttui_engine.train.models.load import (
    ModelSource,
    find_model,
    load_model,
    load_tokenizer,
    require_trusted_code,
)
from fttui_engine.train.models.vocabulary import make_room_for

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


class Loaded(NamedTuple):
    """A model that can be asked."""

    model: Any
    tokenizer: Any


def say(line: str) -> None:
    """Write a line for the person; stdout is for results."""
    print(f"fttui: {line}", file=sys.stderr, flush=True)


def import_libraries(config: TrainingConfig) -> None:
    """Import torch and transformers without what using a model does not need."""
    packed = config.quantization_bit is not None
    import_transformers(("datasets", "deepspeed", "kernels", *(() if packed else ("bitsandbytes",))))


def load_trained(request: Request, *, dtype: str | None = None, packed: bool = True) -> Loaded:
    """Return the model with its adapter; ``packed`` keeps the 4 or 8 bits that it was trained on."""
    config = usable(request.config, dtype=dtype, packed=packed)
    model = load_base(config, request.weights)
    tokenizer = load_own_tokenizer(request)
    rows = model.get_input_embeddings().weight.shape[0]
    if request.adapters and len(tokenizer) > rows:
        # Tokens that were added for the training; their rows come with the adapter.
        model.resize_token_embeddings(len(tokenizer))
    for number, folder in enumerate(request.adapters):
        model = _with_adapter(model, folder)
        if number < len(request.adapters) - 1:
            model = model.merge_and_unload()
    return Loaded(model.eval(), tokenizer)


def load_base(config: TrainingConfig, weights: str | None = None) -> Any:
    """Return the base, or the whole model in ``weights``, on its device."""
    import torch

    if weights is not None:
        config = dataclasses.replace(config, model_name_or_path=weights)
    model = load_model(config, find_model(config))
    model.config.use_cache = True
    if config.quantization_bit is None and torch.cuda.is_available() and not config.use_cpu:
        model = model.to("cuda")
    return model.eval()


def load_own_tokenizer(request: Request) -> Any:
    """Return the tokenizer that was saved with the result, which has the template of the training, else the base's."""
    config = request.config
    for folder in (request.weights, *reversed(request.adapters)):
        if folder and any(Path(folder, name).is_file() for name in _TOKENIZER_FILES):
            # Not find_model: an adapter's folder has a tokenizer, but no configuration of a model.
            source = ModelSource(folder, {"trust_remote_code": config.trust_remote_code})
            if config.trust_remote_code:
                require_trusted_code(source)
            return load_tokenizer(source, say)
    return load_tokenizer(find_model(config), say, template=config.template)


def usable(config: TrainingConfig, *, dtype: str | None, packed: bool) -> TrainingConfig:
    """Return settings under which ``load_model`` gives all weights the one precision in which they are used."""
    import torch

    use_cpu = not torch.cuda.is_available()
    chosen = dtype or config.infer_dtype
    if chosen == "auto":
        chosen = "float32" if use_cpu else "bfloat16" if _computes_bf16() else "float16"
    return dataclasses.replace(
        config,
        finetuning_type="lora",
        pure_bf16=False,
        bf16=chosen == "bfloat16",
        fp16=chosen == "float16",
        use_cpu=use_cpu,
        quantization_bit=config.quantization_bit if packed else None,
    )


def _computes_bf16() -> bool:
    import torch

    # Not is_bf16_supported(): it is true where bfloat16 is only emulated.
    return torch.cuda.get_device_capability()[0] >= 8


def _with_adapter(model: Any, folder: str) -> Any:
    from peft import PeftModel

    make_room_for(model, folder)
    try:
        return PeftModel.from_pretrained(model, folder)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the adapter {folder} does not fit the model: {reason[0]}",
            "check that model_name_or_path is the model that it was trained on",
        ) from error
