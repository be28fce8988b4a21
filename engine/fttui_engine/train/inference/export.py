"""``fttui export``: an adapter merged into its unquantised base, checked against it, and written as one model."""

import gc
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.errors import ExitCode, FttuiError
from fttui_engine.train.errors import DiskFullError, ModelError
from fttui_engine.train.failures import is_disk_full
from fttui_engine.train.inference.loading import (
    Loaded,
    import_libraries,
    load_base,
    load_own_tokenizer,
    load_trained,
    say,
    usable,
)
from fttui_engine.train.inference.prompts import ask
from fttui_engine.train.inference.request import Request
from fttui_engine.train.models.load import find_model
from fttui_engine.train.models.value_head import FILE as VALUE_HEAD

REPORT = "export_report.json"
_QUESTIONS = ("What is the capital of France?", "Write a short poem about the sea.", "Add 17 and 25.")
# The largest difference of a logit against the largest logit: rounding, times the depth of a model.
_MOST_RELATIVE_DIFFERENCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


class Verification(NamedTuple):
    """How far the exported model is from what was trained, on a few prompts."""

    prompts: int
    tokens: int
    largest_logit: float
    largest_difference: float
    same_next_token: float
    """Part of the places at which both find the same token likeliest."""


def export(request: Request) -> int:
    """Write the model, or nothing."""
    import_libraries(request.config)
    target = Path(request.options["to"])
    report = export_model(request, target)
    if request.options["gguf"]:
        from fttui_engine.train.inference.gguf import write_gguf

        report["gguf"] = str(write_gguf(target))
    if request.options["json"]:
        print(json.dumps({"folder": str(target), **report}, indent=1))
    else:
        print(target)
    return ExitCode.DONE


def export_model(request: Request, target: Path) -> dict[str, Any]:
    """Merge, write beside ``target`` under a hidden name, read it back, compare, and only then rename."""
    dtype = request.config.infer_dtype
    if dtype == "auto":
        dtype = _dtype_of_base(request)
    # Merged in the base's own numbers: a sum with 4-bit weights would be rounded to 4 bits again.
    loaded = load_trained(request, dtype=dtype, packed=False)
    model, tokenizer = loaded
    prompts = [ask(tokenizer, [{"role": "user", "content": text}]) for text in _QUESTIONS]
    before = _logits(model, prompts)
    target.parent.mkdir(parents=True, exist_ok=True)
    _require_space(model, target.parent)
    if request.adapters:
        model = model.merge_and_unload(safe_merge=True)
    building = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _write(model, tokenizer, building, request.config.export_size)
        for folder in filter(None, (*request.adapters, request.weights)):
            # What a reward model has beside the language model.
            if (head := Path(folder, VALUE_HEAD)).is_file():
                shutil.copy(head, building)
        del model, loaded
        gc.collect()
        say("reading it back and comparing it with what was trained")
        found = _verify(request, building, dtype, prompts, before)
        report = {"dtype": dtype, "base": request.config.model_name_or_path, **found._asdict()}
        (building / REPORT).write_text(json.dumps(report, indent=1) + "\n")
        os.rename(building, target)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"no room for the export in {target.parent}", "free some space there"
            ) from error
        raise FttuiError(
            f"{target} cannot be written: {error.strerror or error}", "choose another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    say(
        f"exported in {dtype}; on {found.tokens} tokens the largest difference of a logit is "
        f"{found.largest_difference:.3g} (of {found.largest_logit:.3g}), "
        f"{100 * found.same_next_token:.1f} % of the likeliest tokens are the same"
    )
    return report


def _dtype_of_base(request: Request) -> str:
    """Return the precision that the base, or the trained model, is stored in."""
    import dataclasses

    from transformers import AutoConfig

    config = request.config
    if request.weights is not None:
        config = dataclasses.replace(config, model_name_or_path=request.weights)
    source = find_model(config)
    if "gguf_file" in source.arguments:
        # Its numbers are spread over many forms; none holds more than this.
        return "float16"
    stored = str(getattr(AutoConfig.from_pretrained(source.name_or_path, **source.arguments), "dtype", None))
    name = stored.removeprefix("torch.")
    return name if name in _MOST_RELATIVE_DIFFERENCE else "float32"


def _write(model: Any, tokenizer: Any, folder: Path, shard_gigabytes: int) -> None:
    folder.mkdir()
    generation = model.generation_config
    if (
        generation is not None
        and not generation.do_sample
        and ((generation.temperature or 1.0) != 1.0 or (generation.top_p or 1.0) != 1.0)
    ):
        # Many a published model asks for a temperature and forgets to switch sampling on; saving refuses that.
        generation.do_sample = True
    model.save_pretrained(folder, max_shard_size=f"{shard_gigabytes}GB")
    tokenizer.save_pretrained(folder)


def _verify(
    request: Request, folder: Path, dtype: str, prompts: Sequence[Sequence[int]], before: Sequence[Any]
) -> Verification:
    import torch

    written = request._replace(adapters=[], weights=str(folder))
    config = usable(request.config, dtype=dtype, packed=False)
    exported = Loaded(load_base(config, str(folder)), load_own_tokenizer(written))
    if exported.tokenizer.chat_template is None:
        raise ModelError("the export has lost its chat template", "report this with the name of the model")
    after = _logits(exported.model, prompts)
    pairs = list(zip(before, after, strict=True))
    largest = max(float(one.abs().max()) for one, _ in pairs)
    difference = max(float((one - other).abs().max()) for one, other in pairs)
    same = torch.cat([one.argmax(-1) == other.argmax(-1) for one, other in pairs])
    if not difference <= _MOST_RELATIVE_DIFFERENCE[dtype] * largest:
        raise ModelError(
            f"the merged model is not the one that was trained: logits up to {largest:.3g} differ by {difference:.3g}",
            "export with --dtype fp32; if that fails too, report it with the name of the model",
        )
    return Verification(len(pairs), len(same), largest, difference, float(same.float().mean()))


def _logits(model: Any, prompts: Sequence[Sequence[int]]) -> list[Any]:
    import torch

    with torch.inference_mode():
        return [
            model(input_ids=torch.tensor([list(prompt)], device=model.device)).logits[0].float().cpu()
            for prompt in prompts
        ]


def _require_space(model: Any, folder: Path) -> None:
    needed = 1.05 * sum(weight.numel() * weight.element_size() for weight in model.parameters())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"no room for the export: it takes about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}",
            "free some space there, or choose another folder",
        )
