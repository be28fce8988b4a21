"""Conversations as texts, written by the model's own chat template."""

import json
from typing import Any, Literal, NamedTuple

from fttui_engine.train.data.formats import Conversation, Message
from fttui_engine.train.errors import DataError

AnswerEnd = Literal["in text", "behind", "none"]
"""Whether the end of an answer is in its text, or the end token is learned behind it without being in the text."""


class TurnText(NamedTuple):
    """What the model is given before an answer, and the answer; each piece becomes tokens by itself."""

    prompt: list[str]
    answer: list[str]


class Rendered(NamedTuple):
    """A conversation as text."""

    turns: dict[int, TurnText]
    """By the number of the answer's message."""
    history_unlearned: bool = False
    """The template rewrites earlier answers, which are then part of the prompt of the next."""


class ModelTemplate:
    """The chat template that came with the model; what is an answer is found by rendering the turns one by one.

    The text up to an answer and the text with it differ by that answer and its end-of-turn token. That works with
    every template, without the ``{% generation %}`` marks that few of them have.
    """

    end: AnswerEnd = "in text"

    def __init__(self, tokenizer: Any, **options: Any) -> None:
        self._tokenizer = tokenizer
        self._options = options

    def render(self, conversation: Conversation) -> Rendered:
        """Return the text of each answer of a conversation, and of what stands before it."""
        messages, tools, place = (
            self._with_plain_calls(conversation.messages),
            conversation.tools,
            conversation.place,
        )
        if tools and not self._knows("tools"):
            raise DataError(
                f"{place}: the model's chat template has no form for tools",
                "use a model whose template has one, or remove the tools",
            )
        answers = [turn for turn, message in enumerate(messages) if message["role"] == "assistant"]
        text = self._apply(place, messages[: answers[-1] + 1], tools)
        turns: dict[int, TurnText] = {}
        position = 0
        for turn in answers:
            prompt = self._apply(place, messages[:turn], tools, prompt=True)
            answered = text if turn == answers[-1] else self._apply(place, messages[: turn + 1], tools)
            if not text.startswith(answered):
                # Reasoning models' templates take the thoughts out of earlier turns: what the model would see of
                # this turn later is not what it once said, so it must not learn to say it.
                continue
            # A generation prompt that the finished turn does not keep, such as an opened thought, is no common text.
            start = len(prompt) if answered.startswith(prompt) else _common(prompt, answered)
            start = max(start, position)
            # The border in front of an answer is where generation begins, so no token may reach across it.
            turns[turn] = TurnText([text[position:start]], [text[start : len(answered)]])
            position = len(answered)
        return Rendered(turns, history_unlearned=len(turns) < len(answers))

    def _knows(self, name: str) -> bool:
        # Some models have several templates, one of them for tools; transformers chooses.
        template = self._tokenizer.chat_template
        return not isinstance(template, str) or name in template

    def _with_plain_calls(self, messages: list[Message]) -> list[Message]:
        """Return the messages, in which calls of tools are plain JSON where the template would leave them out."""
        if self._knows("tool_calls") or not any(message.get("tool_calls") for message in messages):
            return messages
        plain = []
        for message in messages:
            calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
            text = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            plain.append({"role": message["role"], "content": text} if calls else message)
        return plain

    def _apply(
        self, place: str, messages: list[Message], tools: list[Any] | None, *, prompt: bool = False
    ) -> str:
        from jinja2 import TemplateError

        try:
            return self._template(messages, tools, prompt)
        except TemplateError as error:
            folded = fold_system(messages)
            if folded is messages:
                raise _refused(place, error) from error
        try:
            # Gemma's and old Mistral's templates have no system turn.
            return self._template(folded, tools, prompt)
        except TemplateError as error:
            raise _refused(place, error) from error

    def _template(self, messages: list[Message], tools: list[Any] | None, prompt: bool) -> str:
        text = self._tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt, **self._options
        )
        return str(text)


def fold_system(messages: list[Message]) -> list[Message]:
    """Return the messages with the system message put in front of the first question."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    question = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [question, *messages[2:]]


def _common(one: str, other: str) -> int:
    """Return the length of the text that both begin with."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _refused(place: str, error: Exception) -> DataError:
    return DataError(
        f"{place}: the model's chat template refuses this conversation: {error}",
        "correct or remove this record",
    )
