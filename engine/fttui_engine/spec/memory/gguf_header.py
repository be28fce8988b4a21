"""The sizes of a model from the header of its GGUF file, in the words of ``config.json``; no weight is read.

The form of the header is that of the GGUF specification, version 2 and 3: numbers in little-endian order, texts and
lists with their length in front.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

from fttui_engine.spec.memory.model_shape import UnknownShapeError

MAGIC = b"GGUF"
# Size in bytes of each type of number; texts and lists have their own length.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
# Larger ones are damaged, or made to keep us busy.
MOST_ENTRIES = 100_000
LONGEST_LIST = 10_000_000
MOST_DIMENSIONS = 8
# Architectures whose names of sizes are known, with transformers' name of the type.
TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "phi3": "phi3"}
SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "final_logit_softcapping": "final_logit_softcapping",
}


def read_gguf_config(path: Path) -> dict[str, Any]:
    """What ``config.json`` would say of the model in a GGUF file; raises UnknownShapeError where that cannot be told."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            header = _Header(content)
    except (OSError, ValueError, struct.error, OverflowError):
        raise UnknownShapeError(
            f"{path} cannot be read as a GGUF file, so the model's sizes are not known."
        ) from None
    return _as_config(header.values, header.has_head)


def _as_config(values: dict[str, Any], has_head: bool) -> dict[str, Any]:
    architecture = str(values.get("general.architecture"))
    if architecture not in TYPES or values.get(f"{architecture}.expert_count"):
        kind = "mixture of experts" if values.get(f"{architecture}.expert_count") else architecture
        raise UnknownShapeError(
            f"Memory is not predicted for GGUF files of {kind:.40}; known are {', '.join(TYPES)}."
        )
    found = {name: values.get(f"{architecture}.{theirs}") for name, theirs in SIZES.items()}
    if found["head_dim"] is None and architecture == "llama":
        found["head_dim"] = values.get("llama.rope.dimension_count")
    vocabulary = values.get(f"{architecture}.vocab_size", values.get("tokenizer.ggml.tokens"))
    known = {name: value for name, value in found.items() if value is not None}
    return known | {
        "model_type": TYPES[architecture],
        "vocab_size": vocabulary,
        # As transformers decides it.
        "tie_word_embeddings": not has_head,
    }


class _Header:
    """The entries of a header, of lists only their length, and whether there is a head beside the embeddings."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        if content[:4] != MAGIC:
            raise ValueError("no GGUF file")
        self._at = 4
        if self._number("I") not in (2, 3):
            raise ValueError("another version of the format")
        tensors, entries = self._number("Q"), self._number("Q")
        if max(tensors, entries) > MOST_ENTRIES:
            raise ValueError("too many entries")
        self.values = {self._text(): self._value(self._number("I")) for _ in range(entries)}
        self.has_head = "output.weight" in [self._name_of_tensor() for _ in range(tensors)]

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self._content, self._at)
        self._at += struct.calcsize("<" + form)
        return value

    def _skip(self, size_bytes: int) -> None:
        self._at += size_bytes
        if self._at > len(self._content):
            raise ValueError("the file ends too early")

    def _text(self) -> str:
        length: int = self._number("Q")
        start = self._at
        self._skip(length)
        return self._content[start : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == LIST:
            return self._length_of_list()
        return self._number(NUMBERS[kind]) if kind in NUMBERS else self._unknown()

    def _length_of_list(self) -> int:
        kind, length = self._number("I"), self._number("Q")
        if length > LONGEST_LIST:
            raise ValueError("too long a list")
        if kind in NUMBERS:
            self._skip(length * struct.calcsize("<" + NUMBERS[kind]))
        elif kind == TEXT:
            for _ in range(length):
                self._skip(self._number("Q"))
        else:
            self._unknown()
        return int(length)

    def _name_of_tensor(self) -> str:
        name = self._text()
        dimensions: int = self._number("I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError("too many dimensions")
        self._skip(8 * dimensions + 4 + 8)
        return name

    def _unknown(self) -> int:
        raise ValueError("an unknown type of value")
