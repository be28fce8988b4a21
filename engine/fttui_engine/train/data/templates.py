"""Which chat template a run is trained with: the model's own where it has one, else one of ours, by name."""

import re
from collections.abc import Callable
from typing import Any

from fttui_engine.train.data.chat_template import ModelTemplate, Rendered, TurnText
from fttui_engine.train.data.formats import Conversation
from fttui_engine.train.data.template_table import BOS, CHATML, EMPTY_THOUGHT, EOS, FORMS, Form
from fttui_engine.train.errors import DataError

BUILT_IN = "builtin:"
"""In front of a name: ours, even where the model has a template of its own."""

_THOUGHT = re.compile(r"<think>\n.*?\n</think>\n\n", re.DOTALL)


def choose_template(tokenizer: Any, name: str | None, log: Callable[[str], None]) -> None:
    """Give the tokenizer the chat template that the run is trained with, and that is saved with its result."""
    wanted = (name or "").removeprefix(BUILT_IN)
    form = FORMS.get(wanted)
    if tokenizer.chat_template is not None and not (name or "").startswith(BUILT_IN):
        if form is not None:
            _compare(tokenizer, wanted, form, log)
        return
    if form is None and wanted:
        raise DataError(
            f"the model has no chat template of its own, and template: {wanted} is not among those that fttui brings",
            f"choose one of {', '.join(FORMS)}, or put chat_template.jinja into the model's folder",
        )
    if form is None:
        log(
            "warning: the model has no chat template, so it is a base model; the ChatML template is used and "
            "saved with the result; template: names another one"
        )
        form = CHATML._replace(closing=None)
    tokenizer.chat_template = jinja_of(form)
    if form.closing is None:
        return
    if form.closing in tokenizer.get_vocab():
        tokenizer.eos_token = form.closing
    else:
        log(
            f"warning: the model knows no token {form.closing}, so template: {wanted} writes it as plain text; "
            "template: default or alpaca suits such a model better"
        )


def template_of(
    tokenizer: Any, name: str | None, enable_thinking: bool | None = None
) -> "ModelTemplate | BuiltInTemplate":
    """Return what writes conversations with the template that ``choose_template`` gave the tokenizer."""
    form = FORMS.get((name or "").removeprefix(BUILT_IN), CHATML)
    if jinja_of(form) == tokenizer.chat_template:
        return BuiltInTemplate(form, tokenizer, enable_thinking=enable_thinking)
    # The template decides by itself where nobody has said anything.
    options = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
    return ModelTemplate(tokenizer, **options)


class BuiltInTemplate:
    """One of our templates; its pieces become tokens by themselves, as in LLaMA-Factory."""

    def __init__(self, form: Form, tokenizer: Any, *, enable_thinking: bool | None = None) -> None:
        self._form = form
        self._marks = {BOS: tokenizer.bos_token or "", EOS: tokenizer.eos_token or ""}
        self._thinking = enable_thinking is not False
        self.end = form.end

    def render(self, conversation: Conversation) -> Rendered:
        """Return the text of each answer of a conversation, and of what stands before it."""
        form, messages = self._form, conversation.messages
        if conversation.tools or any(message.get("tool_calls") for message in messages):
            raise DataError(
                f"{conversation.place}: the built-in chat templates have no form for tools",
                "use a model with a chat template of its own, or remove the tools",
            )
        system = form.default_system
        prompt = self._fill(form.prefix)
        turns: dict[int, TurnText] = {}
        first = True
        for number, message in enumerate(messages):
            content = message["content"]
            if message["role"] == "system":
                system = content or system
                continue
            if message["role"] == "assistant":
                turns[number] = self._turn(prompt, content)
                prompt = []
                continue
            if first and system and form.system_in_user:
                content = "".join(self._fill(form.system, system)) + content
            elif first and system:
                prompt += self._fill(form.system, system)
            prompt += self._fill(form.user, content)
            first = False
        return Rendered(turns)

    def _turn(self, prompt: list[str], content: str) -> TurnText:
        form = self._form
        if form.thinks and not self._thinking:
            content = _THOUGHT.sub("", content).lstrip("\n")
        # The opening belongs to the last piece, unless that is a token by itself.
        if form.opening and (not prompt or form.user[-1] in (BOS, EOS)):
            prompt.append(form.opening)
        elif form.opening:
            prompt[-1] += form.opening
        answer = self._fill(form.answer, content)
        if not form.thinks or "<think>" in content or "</think>" in content:
            return TurnText(prompt, answer)
        # Learned only where the model is to think: else it is given, as it is when the model is used.
        if self._thinking:
            return TurnText(prompt, [EMPTY_THOUGHT, *answer])
        return TurnText([*prompt, EMPTY_THOUGHT], answer)

    def _fill(self, pieces: tuple[str, ...], content: str = "") -> list[str]:
        return [self._marks.get(piece, piece.replace("{}", content, 1)) for piece in pieces]


def jinja_of(form: Form) -> str:
    """Return the template in the language that tokenizers carry it in."""
    system, content = "system", "message['content']"
    first_question = _expressions(form.user, "content")
    if form.system_in_user:
        folded = f"({_concatenated(form.system, system)}) if loop.first and system else ''"
        first_question = "{% set content = (" + folded + ") + message['content'] %}" + first_question
    else:
        first_question = "{% set content = message['content'] %}" + first_question
    answer = _expressions(form.answer, content)
    thought = "{{ " + repr(EMPTY_THOUGHT) + " }}"
    if form.thinks:
        answer = (
            "{% if '<think>' not in message['content'] and '</think>' not in message['content'] %}"
            + thought
            + "{% endif %}"
            + answer
        )
    opening = "{{ " + repr(form.opening) + " }}" if form.opening else ""
    ready = "{% if enable_thinking is defined and enable_thinking is false %}" + thought + "{% endif %}"
    return "".join(
        [
            "{% set system = " + repr(form.default_system) + " %}{% set turns = messages %}",
            "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] or system %}",
            "{% set turns = messages[1:] %}{% endif %}",
            _expressions(form.prefix, ""),
            ""
            if form.system_in_user
            else "{% if system %}" + _expressions(form.system, system) + "{% endif %}",
            "{% for message in turns %}{% if message['role'] == 'assistant' %}",
            opening + answer + "{% else %}" + first_question + "{% endif %}{% endfor %}",
            "{% if add_generation_prompt %}" + opening + (ready if form.thinks else "") + "{% endif %}",
        ]
    )


def _expressions(pieces: tuple[str, ...], content: str) -> str:
    marks = {BOS: "bos_token", EOS: "eos_token"}
    return "".join("{{ " + (marks.get(piece) or _concatenated((piece,), content)) + " }}" for piece in pieces)


def _concatenated(pieces: tuple[str, ...], content: str) -> str:
    parts = []
    for piece in pieces:
        before, hole, behind = piece.partition("{}")
        parts += [repr(before)] if before else []
        parts += [content] if hole else []
        parts += [repr(behind)] if behind else []
    return " + ".join(parts)


def _compare(tokenizer: Any, name: str, form: Form, log: Callable[[str], None]) -> None:
    """Say where the model's own template and the one that was named write different things."""
    question = [{"role": "user", "content": "First?"}, {"role": "assistant", "content": "Yes."}]
    question.append({"role": "user", "content": "Second?"})
    text = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    named = BuiltInTemplate(form._replace(default_system=""), tokenizer)
    answered = [*question, {"role": "assistant", "content": ""}]
    turns = named.render(Conversation("", answered, [False] * len(answered))).turns
    if "".join(turns[3].prompt) not in text:
        log(
            f"warning: template: {name} is not how the chat template of this model writes conversations; the model's "
            f"own is used, which is what programs that run the model expect. template: {BUILT_IN}{name} forces the other"
        )
    elif form.default_system and form.default_system not in text:
        log(
            f"note: LLaMA-Factory's template {name} begins with the system text {form.default_system!r}, which the "
            "model's own template does not; default_system adds it"
        )
