"""Answers that are compared or judged, as tokens: cut as in LLaMA-Factory, and put into batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.formats import Conversation
from fttui_engine.train.data.preferences import (
    ConversationPair,
    JudgedConversation,
    judged_converter,
    pair_converter,
)
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.tokenise import (
    IGNORED_LABEL,
    ConversationTokeniser,
    Example,
    Tokenised,
    fit,
    unfit,
)

# LLaMA-Factory mismatches prompts and answers within batches of its preprocessing_batch_size.
_MISMATCHED_WITHIN = 1000
_CUT_AWAY = "nothing to learn within cutoff_len"


class Pair(NamedTuple):
    """One prompt with its better and its worse answer; the labels are those of the answers."""

    chosen_ids: numpy.ndarray
    chosen_labels: numpy.ndarray
    rejected_ids: numpy.ndarray
    rejected_labels: numpy.ndarray

    @property
    def token_count(self) -> int:
        """How many tokens both conversations have together."""
        return len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def learned_count(self) -> int:
        """How many tokens of answers there are."""
        return sum(
            int((labels != IGNORED_LABEL).sum()) for labels in (self.chosen_labels, self.rejected_labels)
        )


class Judged(NamedTuple):
    """A prompt and an answer that is good or bad; uncut, because the prompt meets another answer later."""

    prompt_ids: numpy.ndarray
    answer_ids: numpy.ndarray
    is_good: numpy.ndarray
    """One number, 1 or 0."""

    @property
    def token_count(self) -> int:
        """How many tokens it has before it is cut."""
        return len(self.prompt_ids) + len(self.answer_ids)

    @property
    def learned_count(self) -> int:
        """How many of them are the answer's."""
        return len(self.answer_ids)


class Contrasted(NamedTuple):
    """A judged answer, and the same prompt with an answer to another one, by which the model's drift is measured."""

    input_ids: numpy.ndarray
    labels: numpy.ndarray
    kl_input_ids: numpy.ndarray
    kl_labels: numpy.ndarray
    is_good: numpy.ndarray


class PairReader:
    """Turns records with a better and a worse answer into tokens."""

    def __init__(self, tokeniser: ConversationTokeniser, cutoff_len: int, stage: str) -> None:
        self._tokeniser = tokeniser
        self._cutoff_len = cutoff_len
        self._stage = stage

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the form of a file's records and what turns one of them into tokens."""
        convert = pair_converter(source, columns, self._stage)
        return "pairs", lambda row: self.tokenise(convert(row))

    def tokenise(self, pair: ConversationPair) -> Tokenised:
        """Return the tokens of a pair, or why there is nothing to learn in it."""
        if reason := unfit(pair.chosen) or unfit(pair.rejected):
            return Tokenised(None, reason)
        if pair.chosen.messages[:-1] != pair.rejected.messages[:-1]:
            return Tokenised(None, "the two answers follow different prompts")
        prompt, chosen = prompt_and_answer(self._tokeniser, pair.chosen)
        _, rejected = prompt_and_answer(self._tokeniser, pair.rejected)
        # The prompt is the same in both, so it is cut by the longer answer.
        longest = max(len(chosen), len(rejected))
        prompt_length, answer_length = fit(len(prompt), longest, self._cutoff_len)
        was_cut = prompt_length < len(prompt) or answer_length < longest
        if not answer_length:
            return Tokenised(None, _CUT_AWAY, was_cut)
        arrays = [
            array
            for answer in (chosen, rejected)
            for array in _joined(prompt[:prompt_length], answer[:answer_length])
        ]
        return Tokenised(Pair(*arrays), "", was_cut)


class JudgedReader:
    """Turns records with a tagged answer into tokens."""

    def __init__(self, tokeniser: ConversationTokeniser, cutoff_len: int) -> None:
        self._tokeniser = tokeniser
        self._cutoff_len = cutoff_len

    def for_source(
        self, source: Source, columns: Mapping[str, Any]
    ) -> tuple[str, Callable[[Row], Tokenised]]:
        """Return the form of a file's records and what turns one of them into tokens."""
        convert = judged_converter(source, columns)
        return "tagged answers", lambda row: self.tokenise(convert(row))

    def tokenise(self, judged: JudgedConversation) -> Tokenised:
        """Return the tokens of a judged answer, or why there is nothing to learn in it."""
        if reason := unfit(judged.conversation):
            return Tokenised(None, reason)
        if not judged.conversation.messages[-1]["content"]:
            return Tokenised(None, "empty answer")
        prompt, answer = prompt_and_answer(self._tokeniser, judged.conversation)
        lengths = fit(len(prompt), len(answer), self._cutoff_len)
        if not lengths[1]:
            return Tokenised(None, _CUT_AWAY, was_cut=True)
        example = Judged(
            *(numpy.array(each, dtype=numpy.int32) for each in (prompt, answer, [judged.is_good]))
        )
        return Tokenised(example, "", was_cut=sum(lengths) < example.token_count)


class Mismatched(Sequence[Contrasted]):
    """Judged answers, each beside its prompt with the answer of the example before it; made when they are asked for."""

    def __init__(self, examples: Sequence[Judged], cutoff_len: int) -> None:
        self._examples = examples
        self._cutoff_len = cutoff_len

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        judged, other = self._examples[number], self._examples[self._other(number)]
        return Contrasted(
            *self._cut(judged.prompt_ids, judged.answer_ids),
            *self._cut(judged.prompt_ids, other.answer_ids),
            judged.is_good,
        )

    def __iter__(self) -> Iterator[Contrasted]:
        return (self[number] for number in range(len(self)))

    def _other(self, number: int) -> int:
        if number % _MISMATCHED_WITHIN:
            return number - 1
        return min(number + _MISMATCHED_WITHIN, len(self)) - 1

    def _cut(self, prompt: numpy.ndarray, answer: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        prompt_length, answer_length = fit(len(prompt), len(answer), self._cutoff_len)
        return _joined(prompt[:prompt_length], answer[:answer_length])


class PairCollator:
    """Puts pairs into tensors of the shape pairs x 2 x length, the better answer first."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = Collator(pad_token_id)

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return input ids, attention mask and labels as tensors."""
        rows = [Example(*arrays) for pair in pairs for arrays in (pair[:2], pair[2:])]
        return {name: tensor.view(len(pairs), 2, -1) for name, tensor in self._pad(rows).items()}


class ContrastedCollator:
    """Puts judged answers into tensors, and their prompts with other answers into tensors of their own."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad = Collator(pad_token_id)

    def __call__(self, examples: Sequence[Contrasted]) -> dict[str, Any]:
        """Return both as input ids, attention mask and labels, and which answers are good."""
        import torch

        batch = self._pad([Example(*example[:2]) for example in examples])
        others = self._pad([Example(*example[2:4]) for example in examples])
        batch |= {f"kl_{name}": tensor for name, tensor in others.items()}
        return {**batch, "is_good": torch.tensor([bool(example.is_good[0]) for example in examples])}


def prompt_and_answer(
    tokeniser: ConversationTokeniser, conversation: Conversation
) -> tuple[list[int], list[int]]:
    """Return the tokens before the last answer and those of it, uncut."""
    turns, _ = tokeniser.turns(conversation)
    *earlier, last = turns
    prompt = [token for turn in earlier for token in turn.prompt_ids + turn.answer_ids]
    return prompt + last.prompt_ids, last.answer_ids


def _joined(prompt: Any, answer: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return a prompt with an answer, and the labels of the answer."""
    input_ids = numpy.array([*prompt, *answer], dtype=numpy.int32)
    labels = input_ids.copy()
    labels[: len(prompt)] = IGNORED_LABEL
    return input_ids, labels
