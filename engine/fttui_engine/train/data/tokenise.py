"""From conversations to token ids and labels, through the model's own chat template."""

from typing import Any, NamedTuple

import numpy

from fttui_engine.train.data.formats import Conversation, Message
from fttui_engine.train.errors import DataError

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
    """Why it was left out, such as ``empty answer``."""
    was_cut: bool = False
    """It was longer than ``cutoff_len``."""
    history_unlearned: bool = False
    """The template rewrites earlier turns, so that only the last answer is learned."""


class ConversationTokeniser:
    """Turns conversations into examples; what is learned is found by rendering the turns one by one.

    The text up to an answer and the text with it differ by that answer and its end-of-turn token, which is what is
    learned. That works with every template, without the ``{% generation %}`` marks that few of them have.
    """

    def __init__(
        self,
        tokenizer: Any,
        cutoff_len: int,
        *,
        train_on_prompt: bool = False,
        mask_history: bool = False,
        default_system: str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._special_ids = set(tokenizer.all_special_ids)
        self._cutoff_len = cutoff_len
        self._train_on_prompt = train_on_prompt
        self._mask_history = mask_history
        self._default_system = default_system

    def __call__(self, conversation: Conversation) -> Tokenised:
        """Return the tokens of a conversation, or why there is nothing to learn in it."""
        conversation = self._with_default_system(conversation)
        learned = [
            turn
            for turn, message in enumerate(conversation.messages)
            if conversation.learned[turn] and (message["content"].strip() or message.get("tool_calls"))
        ]
        if not learned:
            return Tokenised(None, "empty answer" if any(conversation.learned) else "no assistant turn")
        roles = [message["role"] for message in conversation.messages]
        if roles.index("assistant") == roles[:1].count("system"):
            # Common in sharegpt files; there is no prompt that such an answer could be learned for, and many
            # templates refuse it.
            return Tokenised(None, "begins with an answer")
        if self._mask_history:
            learned = learned[-1:]
        # Nothing behind the last learned answer can influence it, so it is not worth its tokens.
        text, spans, history_unlearned = self._render(conversation, learned)
        all_ids, all_labels = self._tokenise(text, spans)
        was_cut = len(all_ids) > self._cutoff_len
        input_ids = numpy.array(all_ids[: self._cutoff_len], dtype=numpy.int32)
        labels = numpy.array(all_labels[: self._cutoff_len], dtype=numpy.int32)
        # The first label is never predicted: a causal model's loss shifts labels by one.
        if (labels[1:] == IGNORED_LABEL).all():
            return Tokenised(None, "prompt longer than cutoff_len", was_cut, history_unlearned)
        return Tokenised(Example(input_ids, labels), "", was_cut, history_unlearned)

    def _with_default_system(self, conversation: Conversation) -> Conversation:
        roles = [message["role"] for message in conversation.messages]
        if not self._default_system or "system" in roles[:1]:
            return conversation
        return conversation._replace(
            messages=[{"role": "system", "content": self._default_system}, *conversation.messages],
            learned=[False, *conversation.learned],
        )

    def _render(
        self, conversation: Conversation, learned: list[int]
    ) -> tuple[str, list[tuple[int, int]], bool]:
        """Return the text up to the last learned answer and the spans of characters that are learned."""
        messages, tools = conversation.messages, conversation.tools
        text = self._apply_template(conversation.place, messages[: learned[-1] + 1], tools)
        spans: list[tuple[int, int]] = []
        history_unlearned = False
        for turn in learned:
            prompt = self._apply_template(conversation.place, messages[:turn], tools, prompt=True)
            answered = (
                text
                if turn == learned[-1]
                else self._apply_template(conversation.place, messages[: turn + 1], tools)
            )
            if not text.startswith(answered):
                # Reasoning models' templates take the thoughts out of earlier turns: what the model would see of
                # this turn later is not what it once said, so it must not learn to say it.
                history_unlearned = True
                continue
            # A generation prompt that the finished turn does not keep, such as an opened thought, is no common text.
            start = len(prompt) if answered.startswith(prompt) else _common(prompt, answered)
            spans.append((max(start, spans[-1][1] if spans else 0), len(answered)))
        return text, spans, history_unlearned

    def _apply_template(
        self, place: str, messages: list[Message], tools: list[Any] | None, *, prompt: bool = False
    ) -> str:
        from jinja2 import TemplateError

        try:
            return self._template(messages, tools, prompt)
        except TemplateError as error:
            folded = _fold_system(messages)
            if folded is messages:
                raise DataError(
                    f"{place}: the model's chat template refuses this conversation: {error}",
                    "correct or remove this record",
                ) from error
        try:
            # Gemma's and old Mistral's templates have no system turn.
            return self._template(folded, tools, prompt)
        except TemplateError as error:
            raise DataError(
                f"{place}: the model's chat template refuses this conversation: {error}",
                "correct or remove this record",
            ) from error

    def _template(self, messages: list[Message], tools: list[Any] | None, prompt: bool) -> str:
        text = self._tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt
        )
        return str(text)

    def _tokenise(self, text: str, spans: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """Tokenise piece by piece, so that the border in front of an answer is where generation begins."""
        input_ids: list[int] = []
        labels: list[int] = []
        position = 0
        for start, end in spans:
            self._append(text[position:start], self._train_on_prompt, input_ids, labels)
            self._append(text[start:end], True, input_ids, labels)
            position = end
        last_answer = self._ids(text[spans[-1][0] : spans[-1][1]])
        # A template that closes the answer with plain text would leave the model without a way to stop.
        if not self._special_ids.intersection(last_answer) and self._tokenizer.eos_token_id is not None:
            input_ids.append(self._tokenizer.eos_token_id)
            labels.append(self._tokenizer.eos_token_id)
        return input_ids, labels

    def _append(self, piece: str, learned: bool, input_ids: list[int], labels: list[int]) -> None:
        ids = self._ids(piece)
        input_ids += ids
        labels += ids if learned else [IGNORED_LABEL] * len(ids)

    def _ids(self, text: str) -> list[int]:
        # Templates write the beginning-of-text token themselves.
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def _common(one: str, other: str) -> int:
    """Return the length of the text that both begin with."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _fold_system(messages: list[Message]) -> list[Message]:
    """Return the messages with the system message put in front of the first question."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    question = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [question, *messages[2:]]
