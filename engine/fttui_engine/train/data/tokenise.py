"""From conversations to token ids and labels."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy

from fttui_engine.train.data.chat_template import AnswerEnd, ModelTemplate, Rendered
from fttui_engine.train.data.formats import Conversation

IGNORED_LABEL = -100
"""The label that torch's cross entropy leaves out."""


class Example(NamedTuple):
    """One tokenised conversation; ``labels`` is IGNORED_LABEL where nothing is learned.

    Arrays of 32-bit integers: 8 bytes per token, where two Python lists take about 70.
    """

    input_ids: numpy.ndarray
    labels: numpy.ndarray

    @property
    def token_count(self) -> int:
        """How many tokens it has."""
        return len(self.input_ids)

    @property
    def learned_count(self) -> int:
        """How many of them are learned."""
        return int((self.labels != IGNORED_LABEL).sum())


class Tokenised(NamedTuple):
    """What became of one conversation."""

    example: Any
    """``None`` where there is nothing to learn in it."""
    dropped: str = ""
    """Why it was left out, such as ``no assistant turn``."""
    was_cut: bool = False
    """It was longer than ``cutoff_len``."""
    history_unlearned: bool = False
    """The template rewrites earlier turns, so that only the last answer is learned."""


class Turn(NamedTuple):
    """One answer and what stands between it and the answer before it, as tokens."""

    prompt_ids: list[int]
    answer_ids: list[int]
    learned: bool


class ChatTemplate(Protocol):
    """Writes conversations as text: the model's own template, or one of ours."""

    end: AnswerEnd

    def render(self, conversation: Conversation) -> Rendered:
        """Return the text of each answer of a conversation, and of what stands before it."""


class ConversationTokeniser:
    """Turns conversations into examples, as LLaMA-Factory does: the same tokens, labels and cuts."""

    def __init__(
        self,
        tokenizer: Any,
        cutoff_len: int,
        *,
        template: ChatTemplate | None = None,
        train_on_prompt: bool = False,
        mask_history: bool = False,
        default_system: str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template or ModelTemplate(tokenizer)
        self._special_ids = set(tokenizer.all_special_ids).union(
            number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        )
        self._cutoff_len = cutoff_len
        self._train_on_prompt = train_on_prompt
        self._mask_history = mask_history
        self._default_system = default_system

    def __call__(self, conversation: Conversation) -> Tokenised:
        """Return the tokens of a conversation, or why there is nothing to learn in it."""
        if reason := unfit(conversation):
            return Tokenised(None, reason)
        turns, history_unlearned = self.turns(conversation)
        # Nothing behind the last learned answer can influence it, so it is not worth its tokens.
        while turns and not turns[-1].learned:
            turns.pop()
        if self._mask_history:
            turns = [turn._replace(learned=False) for turn in turns[:-1]] + turns[-1:]
        kept = cut(turns, self._cutoff_len, from_end=self._mask_history)
        input_ids, labels = self._join(kept)
        was_cut = sum(len(turn.prompt_ids) + len(turn.answer_ids) for turn in turns) > len(input_ids)
        # The first label is never predicted: a causal model's loss shifts labels by one.
        if (labels[1:] == IGNORED_LABEL).all():
            reason = "nothing to learn within cutoff_len" if was_cut else "no learned answer"
            return Tokenised(None, reason, was_cut, history_unlearned)
        return Tokenised(Example(input_ids, labels), "", was_cut, history_unlearned)

    def turns(self, conversation: Conversation) -> tuple[list[Turn], bool]:
        """Return the tokens of every turn, uncut, and whether earlier answers are only part of prompts."""
        conversation = self._with_default_system(conversation)
        rendered = self._template.render(conversation)
        turns = [
            Turn(self._ids(text.prompt), self._ids(text.answer), conversation.learned[number])
            for number, text in rendered.turns.items()
        ]
        eos = self._tokenizer.eos_token_id
        # A template that closes the answer with plain text would leave the model without a way to stop.
        is_open = self._template.end == "in text" and not self._special_ids.intersection(turns[-1].answer_ids)
        if eos is not None and (is_open or self._template.end == "behind"):
            turns[-1].answer_ids.append(eos)
        return turns, rendered.history_unlearned

    def _with_default_system(self, conversation: Conversation) -> Conversation:
        roles = [message["role"] for message in conversation.messages]
        if not self._default_system or "system" in roles[:1]:
            return conversation
        return conversation._replace(
            messages=[{"role": "system", "content": self._default_system}, *conversation.messages],
            learned=[False, *conversation.learned],
        )

    def _join(self, turns: Iterable[Turn]) -> tuple[numpy.ndarray, numpy.ndarray]:
        input_ids: list[int] = []
        labels: list[int] = []
        before_learned = False
        for turn in turns:
            start = len(labels)
            for ids, learned in (
                (turn.prompt_ids, self._train_on_prompt),
                (turn.answer_ids, turn.learned),
            ):
                input_ids += ids
                labels += ids if learned else [IGNORED_LABEL] * len(ids)
            if self._template.end == "behind" and before_learned and turn.prompt_ids:
                labels[start] = self._tokenizer.eos_token_id
            before_learned = turn.learned
        return numpy.array(input_ids, dtype=numpy.int32), numpy.array(labels, dtype=numpy.int32)

    def _ids(self, pieces: Iterable[str]) -> list[int]:
        # Templates write the beginning-of-text token themselves.
        return [
            token
            for piece in pieces
            if piece
            for token in self._tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"]
        ]


def unfit(conversation: Conversation) -> str:
    """Return why nothing is learned from a conversation, or nothing; LLaMA-Factory leaves the same ones out."""
    roles = [message["role"] for message in conversation.messages]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    if "assistant" not in roles:
        return "no assistant turn"
    if roles[0] == "assistant":
        # Common in sharegpt files; there is no prompt that such an answer could be learned for.
        return "begins with an answer"
    if roles[-1] != "assistant":
        return "ends without an answer"
    # One question may have several results of tools for an answer.
    changes = [role for at, role in enumerate(roles) if not (at and role == roles[at - 1] == "tool")]
    if any((role == "assistant") != bool(at % 2) or role == "system" for at, role in enumerate(changes)):
        return "questions and answers do not alternate"
    return ""


def fit(prompt_length: int, answer_length: int, budget: int) -> tuple[int, int]:
    """Return how many tokens of a prompt and of its answer are kept of ``budget`` tokens, as in LLaMA-Factory.

    A side that takes less than half of it is kept whole; two long sides are cut in proportion.
    """
    if 2 * answer_length < budget:
        most = budget
    elif 2 * prompt_length < budget:
        most = budget - prompt_length
    else:
        most = int(budget * (answer_length / (prompt_length + answer_length)))
    answer_length = min(most, answer_length)
    return min(max(budget - answer_length, 0), prompt_length), answer_length


def cut(turns: list[Turn], cutoff_len: int, *, from_end: bool) -> list[Turn]:
    """Return the turns that fit, each cut by itself; ``from_end``: the last ones are the most important."""
    kept: list[Turn] = []
    budget = cutoff_len
    for turn in reversed(turns) if from_end else turns:
        if budget <= 0:
            break
        prompt_length, answer_length = fit(len(turn.prompt_ids), len(turn.answer_ids), budget)
        kept.append(Turn(turn.prompt_ids[:prompt_length], turn.answer_ids[:answer_length], turn.learned))
        budget -= prompt_length + answer_length
    return kept[::-1] if from_end else kept
