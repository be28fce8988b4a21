"""Which tokens are learned: the answers and their end-of-turn tokens, whatever the model's template."""

import copy

import pytest

from fttui_engine.train.data.formats import Conversation
from fttui_engine.train.data.tokenise import IGNORED_LABEL, ConversationTokeniser, fit
from fttui_engine.train.errors import DataError

# In the manner of Gemma and old Mistral: no system turn, other names.
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}:{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<turn>model:{% endif %}"
)
# In the manner of reasoning models: thoughts are taken out of all but the last answer.
FORGETS_THOUGHTS = (
    "{% for m in messages %}{{ m['role'] }}:"
    "{% if m['role'] == 'assistant' and not loop.last %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant:<think>{% endif %}"
)
NO_END = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"


def conversation(*turns, learned=None):
    messages = [{"role": role, "content": content} for role, content in turns]
    return Conversation("here", messages, learned or [role == "assistant" for role, _ in turns])


SHORT = conversation(("user", "Say hello."), ("assistant", "Hello!"))
LONG = conversation(
    ("system", "Be kind."),
    ("user", "Say hello."),
    ("assistant", "Hello!"),
    ("user", "Say goodbye."),
    ("assistant", "Goodbye!"),
)


def with_template(tokenizer, template):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def learned_text(tokenizer, example):
    """The pieces of text that are learned, parted by bars."""
    pieces, current = [], []
    for token, label in [*zip(example.input_ids, example.labels, strict=True), (0, IGNORED_LABEL)]:
        if label == IGNORED_LABEL:
            if current:
                pieces.append(tokenizer.decode(current))
            current = []
        else:
            assert label == token
            current.append(token)
    return "|".join(pieces)


@pytest.mark.parametrize(
    ("template", "what", "options", "expected"),
    [
        (None, SHORT, {}, "Hello!<|im_end|>\n"),
        (None, LONG, {}, "Hello!<|im_end|>\n|Goodbye!<|im_end|>\n"),
        (None, LONG, {"mask_history": True}, "Goodbye!<|im_end|>\n"),
        (None, LONG._replace(learned=[False, False, True, False, False]), {}, "Hello!<|im_end|>\n"),
        (
            None,
            SHORT,
            {"train_on_prompt": True},
            "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n",
        ),
        (NO_SYSTEM, LONG, {}, "Hello!<|im_end|>|Goodbye!<|im_end|>"),
        (NO_END, SHORT, {}, "Hello!\n<|im_end|>"),
        (FORGETS_THOUGHTS, SHORT, {}, "Hello!<|im_end|>"),
    ],
)
def test_only_answers_are_learned(tokenizer, template, what, options, expected):
    used = with_template(tokenizer, template) if template else tokenizer
    result = ConversationTokeniser(used, 512, **options)(what)
    assert learned_text(tokenizer, result.example) == expected
    assert not result.was_cut


def test_the_text_is_that_of_the_template_and_a_missing_system_message_is_filled_in(tokenizer):
    result = ConversationTokeniser(tokenizer, 512, default_system="Be kind.")(
        conversation(("user", "Say hello."), ("assistant", "Hello!"))
    )
    assert tokenizer.decode(result.example.input_ids) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nSay hello.<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n"
    )
    given = ConversationTokeniser(tokenizer, 512, default_system="Be rude.")(LONG)
    assert "rude" not in tokenizer.decode(given.example.input_ids)


def test_a_template_without_system_turns_gets_the_system_text_in_the_first_question(tokenizer):
    result = ConversationTokeniser(with_template(tokenizer, NO_SYSTEM), 512)(LONG)
    assert tokenizer.decode(result.example.input_ids).startswith(
        "<turn>user:Be kind.\n\nSay hello.<|im_end|>"
    )


def test_answers_that_the_template_rewrites_later_are_not_learned(tokenizer):
    thoughts = conversation(
        ("user", "a"),
        ("assistant", "<think>hm</think>one"),
        ("user", "b"),
        ("assistant", "<think>so</think>two"),
    )
    result = ConversationTokeniser(with_template(tokenizer, FORGETS_THOUGHTS), 512)(thoughts)
    # The prompt for generation opens the thought, so that the answer begins behind it.
    assert learned_text(tokenizer, result.example) == "so</think>two<|im_end|>"
    assert result.history_unlearned


def test_questions_and_answers_are_cut_in_proportion(tokenizer):
    # A side that takes less than half of the room is kept whole.
    assert fit(10, 100, 24) == (10, 14)
    assert fit(100, 10, 24) == (14, 10)
    assert fit(90, 30, 24) == (18, 6)
    assert fit(5, 6, 24) == (5, 6)
    result = ConversationTokeniser(tokenizer, 24)(conversation(("user", "word " * 50), ("assistant", "Hi")))
    assert len(result.example.input_ids) == 24
    assert learned_text(tokenizer, result.example) == "Hi<|im_end|>\n"
    assert result.was_cut


def test_what_does_not_fit_is_cut_from_the_end_or_with_mask_history_from_the_beginning(tokenizer):
    forwards = ConversationTokeniser(tokenizer, 38)(LONG)
    assert learned_text(tokenizer, forwards.example) == "Hello!<|im_end|>\n"
    backwards = ConversationTokeniser(tokenizer, 30, mask_history=True)(LONG)
    assert learned_text(tokenizer, backwards.example) == "Goodbye!<|im_end|>\n"
    assert "kind" not in tokenizer.decode(backwards.example.input_ids)
    assert len(backwards.example.input_ids) <= 30


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ("", "no assistant turn"),
        ("u", "no assistant turn"),
        ("au", "begins with an answer"),
        ("sau", "begins with an answer"),
        ("uau", "ends without an answer"),
        ("uua", "questions and answers do not alternate"),
        ("uaa", "questions and answers do not alternate"),
        ("uasa", "questions and answers do not alternate"),
        ("suattaua", ""),
    ],
)
def test_conversations_out_of_order_are_left_out(tokenizer, roles, reason):
    names = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    result = ConversationTokeniser(tokenizer, 512)(conversation(*((names[role], "x") for role in roles)))
    assert result.dropped == reason


def test_an_empty_answer_teaches_to_say_nothing(tokenizer):
    result = ConversationTokeniser(tokenizer, 512)(conversation(("user", "a"), ("assistant", "")))
    assert learned_text(tokenizer, result.example) == "<|im_end|>\n"


def test_a_conversation_that_the_template_refuses_is_named(tokenizer):
    refusing = with_template(tokenizer, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(DataError, match=r"here: the model's chat template refuses.*roles must alternate"):
        ConversationTokeniser(refusing, 512)(SHORT)
