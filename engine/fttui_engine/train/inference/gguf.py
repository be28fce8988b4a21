"""``fttui export --gguf``: an exported model as one file for llama.cpp, where the ``gguf`` package suffices to write it.

That package has the format and the names of the weights, but no converter: what belongs to a family of models is here.
Written from the format's documentation; transformers reads the file back and finds the same tokens and logits, llama.cpp
itself was not at hand.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fttui_engine.train.errors import ModelError

# model_type: the architecture in GGUF. Mistral is a Llama there.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_CONVERTER = "use convert_hf_to_gguf.py of llama.cpp on the exported folder"
# The largest difference of a logit against the largest logit: 16 bits once more, and other kernels.
_MOST_RELATIVE_DIFFERENCE = 5e-2
# How llama.cpp calls the rule by which text is cut before its pieces are merged, told by the regular expression.
_SPLITS = {
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*": "llama-bpe",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*": "qwen2",
}


def write_gguf(folder: Path) -> Path:
    """Write ``<folder>/<name>.gguf`` from the exported model in that folder, and return it once it is verified."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    _require_family(model.config)
    path = folder / f"{folder.name}.gguf"
    building = path.with_name(f".{path.name}.{os.getpid()}.gguf")
    question = [{"role": "user", "content": "What is the capital of France?"}]
    text = str(tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True))
    prompt = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    try:
        _write(model, tokenizer, folder, building)
        with torch.inference_mode():
            before = model.float()(torch.tensor([prompt])).logits
        # transformers does not read the width of a head from such a file.
        head = getattr(model.config, "head_dim", None)
        del model
        _verify(building, {} if head is None else {"head_dim": head}, text, prompt, before)
        os.rename(building, path)
    finally:
        building.unlink(missing_ok=True)
    return path


def _require_family(config: Any) -> None:
    if config.model_type not in ARCHITECTURES:
        raise ModelError(f"fttui writes no GGUF file of a {config.model_type} model", _CONVERTER)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError(
            f"fttui writes no GGUF file of a model with {rope['rope_type']} positions", _CONVERTER
        )


def _write(model: Any, tokenizer: Any, folder: Path, path: Path) -> None:
    import gguf

    package: Any = gguf
    config = model.config
    writer = package.GGUFWriter(path, ARCHITECTURES[config.model_type])
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(folder.name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer, folder, config.vocab_size)
    _add_weights(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_weights(writer: Any, model: Any) -> None:
    """Add all weights: matrices in the model's precision, vectors in float32, as llama.cpp wants them."""
    import gguf
    import torch

    package: Any = gguf
    config = model.config
    types = package.GGMLQuantizationType
    kinds = {torch.float16: types.F16, torch.bfloat16: types.BF16, torch.float32: types.F32}
    files = package.LlamaFileType
    writer.add_file_type(
        {types.F16: files.MOSTLY_F16, types.BF16: files.MOSTLY_BF16, types.F32: files.ALL_F32}[
            kinds[model.dtype]
        ]
    )
    architecture = {
        "llama": package.MODEL_ARCH.LLAMA,
        "qwen2": package.MODEL_ARCH.QWEN2,
        "qwen3": package.MODEL_ARCH.QWEN3,
    }
    names = package.get_tensor_name_map(
        architecture[ARCHITECTURES[config.model_type]], config.num_hidden_layers
    )
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        written = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if written is None:
            raise ModelError(f"the weight {name} has no name in GGUF", _CONVERTER)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(
            name.split(".")[-2]
        )
        if heads and writer.arch == "llama":
            weight = _interleaved(weight, heads)  # noqa: PLW2901
        kind = types.F32 if weight.dim() == 1 else kinds[model.dtype]
        values = weight.float().numpy()
        writer.add_tensor(written, package.quants.quantize(values, kind), raw_dtype=kind)


def _interleaved(weight: Any, heads: int) -> Any:
    """Return a query or key matrix in the order of a Llama in GGUF, whose rotations take neighbours, not halves."""
    rows = weight.shape[0]
    return (
        weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def _add_tokenizer(writer: Any, tokenizer: Any, folder: Path, size: int) -> None:
    import gguf

    package: Any = gguf
    description = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if description["model"]["type"] != "BPE" or description["model"].get("byte_fallback"):
        raise ModelError("fttui writes GGUF files of models with byte-level BPE tokenizers only", _CONVERTER)
    kinds = package.TokenType
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [int(kinds.UNUSED)] * size
    for token, number in tokenizer.get_vocab().items():
        tokens[number], types[number] = token, int(kinds.NORMAL)
    for number, entry in tokenizer.added_tokens_decoder.items():
        types[number] = int(kinds.CONTROL if entry.special else kinds.USER_DEFINED)
    merges = description["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(description["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name in ("bos", "eos", "pad"):
        if (number := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    writer.add_add_bos_token(begins)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _pre_tokenizer(description: dict[str, Any]) -> str:
    """Return llama.cpp's name of the rule; a wrong one would cut text otherwise than in the training, unseen."""
    parts = description.get("pretokenizers", [description])
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"] and parts[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        expression = str(parts[0]["pattern"].get("Regex", ""))
        for piece, name in _SPLITS.items():
            if f"|{piece}" in expression:
                return name
    raise ModelError("llama.cpp's name of this tokenizer's rule for cutting text is not known", _CONVERTER)


def _verify(path: Path, shape: dict[str, Any], text: str, prompt: Sequence[int], before: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fttui_engine.train.models.load import unpacking

    place: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    tokenizer: Any = AutoTokenizer.from_pretrained(**place)
    # The template is not asked for: of some families transformers does not read it from such a file.
    if tokenizer(text, add_special_tokens=False)["input_ids"] != list(prompt):
        raise ModelError("the GGUF file cuts a text into other tokens than the model does", _CONVERTER)
    model: Any = AutoModelForCausalLM.from_pretrained(**place, **shape, dtype=torch.float32, **unpacking())
    with torch.inference_mode():
        after = model.eval()(torch.tensor([list(prompt)])).logits
    largest, difference = float(before.abs().max()), float((after - before).abs().max())
    if not difference <= _MOST_RELATIVE_DIFFERENCE * largest:
        raise ModelError(
            f"the GGUF file is not the exported model: logits up to {largest:.3g} differ by {difference:.3g}",
            _CONVERTER,
        )
