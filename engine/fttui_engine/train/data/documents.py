"""Stage pt: whole texts, every token of which is learned, one after the other in examples of equal length."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from fttui_engine.spec.data_forms import KNOWN_TEXTS, misfit, text_column
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.tokenise import Example, Tokenised
from fttui_engine.train.errors import DataError


class DocumentTokeniser:
    """Turns texts into tokens, between the marks of beginning and end that the model knows from pre-training."""

    def __init__(self, tokenizer: Any, cutoff_len: int, *, packing: bool) -> None:
        if tokenizer.eos_token_id is None:
            raise DataError(
                "the tokenizer has no token for the end of a text, so texts would run into each other",
                "choose another model",
            )
        self._tokenizer = tokenizer
        self._cutoff_len = None if packing else cutoff_len

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the form of a file's records and what turns one of them into tokens."""
        if source.formatting not in (None, "alpaca"):
            raise DataError(
                f"{source.path} holds conversations ({source.formatting}), and stage: pt learns whole texts",
                "use stage: sft",
            )
        column = source.columns.get("prompt") if source.columns else text_column(columns)
        if column is None:
            fault = misfit("pt", columns)
            what = fault.what if fault else "is described in dataset_info.json without the column prompt"
            raise DataError(f"{source.path} {what}", KNOWN_TEXTS)
        return f"texts in {column}", lambda row: self._tokenise(row, column)

    def _tokenise(self, row: Row, column: str) -> Tokenised:
        text = row.values.get(column)
        if text is None or text == "":
            return Tokenised(None, "empty text")
        if not isinstance(text, str):
            raise DataError(f"{row.place}: {column} must be a text", "correct or remove this record")
        # With what the tokenizer itself puts in front: Gemma is lost without its beginning token, Qwen has none. No
        # warning that a text is longer than the model's context, since it is going to be cut.
        ids = list(self._tokenizer(text, verbose=False)["input_ids"])
        if ids[-1:] != [self._tokenizer.eos_token_id]:
            ids.append(self._tokenizer.eos_token_id)
        tokens = numpy.array(ids[: self._cutoff_len], dtype=numpy.int32)
        return Tokenised(Example(tokens, tokens), was_cut=len(tokens) < len(ids))


def pack(documents: Sequence[Example], cutoff_len: int) -> list[Example]:
    """Return examples of ``cutoff_len`` tokens that hold the documents one after the other; the last may be shorter."""
    if not documents:
        return []
    tokens = numpy.concatenate([document.input_ids for document in documents])
    pieces = [tokens[start : start + cutoff_len] for start in range(0, len(tokens), cutoff_len)]
    # One token alone predicts nothing.
    return [Example(piece, piece) for piece in pieces if len(piece) > 1]
