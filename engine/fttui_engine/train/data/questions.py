"""Questions without answers, for stages whose answers the model writes itself: records as tokens, and as batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from fttui_engine.spec.data_forms import form_of, misfit, question_column
from fttui_engine.train.data.formats import Conversation, converter, detect_format
from fttui_engine.train.data.preference_tokens import prompt_and_answer
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.tokenise import ConversationTokeniser, Tokenised, unfit
from fttui_engine.train.errors import DataError

# Stands for the answer, whether a record has one or not, and never reaches the model: a question ends before it.
_NO_ANSWER = "(no answer)"
# A column that is added to records of questions alone; no file has such a name.
_ANSWER = "\0answer"


class Question(NamedTuple):
    """A conversation up to where the model answers."""

    input_ids: numpy.ndarray

    @property
    def token_count(self) -> int:
        """How many tokens it has."""
        return len(self.input_ids)

    @property
    def learned_count(self) -> int:
        """None of them is learned."""
        return 0


class QuestionReader:
    """Turns records of the three forms of conversations, with or without a last answer, into questions."""

    def __init__(self, tokeniser: ConversationTokeniser, cutoff_len: int, stage: str) -> None:
        self._tokeniser = tokeniser
        self._cutoff_len = cutoff_len
        self._stage = stage

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the form of a file's records and what turns one of them into tokens."""
        if source.ranking:
            raise DataError(f"{source.path} holds pairs of answers (ranking)", "use stage: dpo or rm")
        if source.columns is None and (fault := misfit(self._stage, columns)):
            raise DataError(f"{source.path} {fault.what}", fault.known)
        source = _with_answer_column(source, columns)
        formatting = detect_format(source, columns)
        convert = converter(source, formatting)
        return formatting, lambda row: self._tokenise(
            convert(row._replace(values={**row.values, _ANSWER: _NO_ANSWER}))
        )

    def _tokenise(self, conversation: Conversation) -> Tokenised:
        conversation = _with_no_answer(conversation)
        if reason := unfit(conversation):
            return Tokenised(None, reason)
        prompt, _ = prompt_and_answer(self._tokeniser, conversation)
        # A question that is cut ends before the place where the answer begins.
        if len(prompt) > self._cutoff_len:
            return Tokenised(None, "question longer than cutoff_len")
        return Tokenised(Question(numpy.array(prompt, dtype=numpy.int32)))


def _with_answer_column(source: Source, columns: Mapping[str, Any]) -> Source:
    """Return the description of a file, in which questions alone have a column for the answer too."""
    if source.columns is not None:
        is_alpaca = source.formatting in (None, "alpaca")
        return source._replace(columns={"response": _ANSWER, **source.columns}) if is_alpaca else source
    question = question_column(columns)
    if question is None or form_of(columns) is not None:
        return source
    names = {"prompt": question, "query": "input", "history": "history", "system": "system"}
    return source._replace(formatting="alpaca", columns={**names, "response": _ANSWER})


def _with_no_answer(conversation: Conversation) -> Conversation:
    messages, learned = conversation.messages, conversation.learned
    if messages and messages[-1]["role"] == "assistant":
        messages, learned = messages[:-1], learned[:-1]
    answer = {"role": "assistant", "content": _NO_ANSWER}
    return conversation._replace(messages=[*messages, answer], learned=[*learned, True])


class QuestionCollator:
    """Puts questions into batches, padded on the left, so that all answers begin in one column."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, questions: Sequence[Question]) -> dict[str, Any]:
        """Return input ids and attention mask as tensors."""
        import torch

        width = max(len(question.input_ids) for question in questions)
        input_ids = torch.full((len(questions), width), self._pad_token_id, dtype=torch.int64)
        attention_mask = torch.zeros_like(input_ids)
        for ids, mask, question in zip(input_ids, attention_mask, questions, strict=True):
            start = width - len(question.input_ids)
            ids[start:] = torch.from_numpy(question.input_ids)
            mask[start:] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask}
