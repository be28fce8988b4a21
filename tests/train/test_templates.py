"""Chat templates: the tokens and labels that LLaMA-Factory was recorded to make, and which template a run gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fttui_engine.spec.lint.template import BUILT_IN_NAMES
from fttui_engine.train.data.formats import Conversation, converter
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.data.template_table import FORMS
from fttui_engine.train.data.templates import choose_template, jinja_of, template_of
from fttui_engine.train.data.tokenise import IGNORED_LABEL, ConversationTokeniser
from fttui_engine.train.demo import CHATML_TEMPLATE
from fttui_engine.train.errors import DataError

# Made by benchmarks/record_llamafactory_tokens.py.
RECORD = json.loads(Path(__file__).with_name("llamafactory_tokens.json").read_text(encoding="utf-8"))


def recorded_tokenizer() -> Any:
    """The tokenizer of the record: a byte-level BPE, and the marks of all templates."""
    merges = [tuple(merge) for merge in RECORD["merges"]]
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    pieces = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=pieces)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    tokenizer.add_tokens(RECORD["marks"], special_tokens=True)
    return tokenizer


def conversation(system: str, turns: list[str]) -> Conversation:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(turns)
    ]
    return Conversation("here", messages, [message["role"] == "assistant" for message in messages])


def labels_of(case: dict[str, Any]) -> list[int]:
    labels = [IGNORED_LABEL] * len(case["input_ids"])
    for start, run in case["labels"]:
        labels[start : start + len(run)] = run
    return labels


def tokens_and_labels(tokenizer: Any, case: dict[str, Any]) -> tuple[list[int], list[int]]:
    options = {"cutoff_len": 999, **case["options"]}
    template = template_of(tokenizer, case["template"], options.pop("enable_thinking", None))
    tokenise = ConversationTokeniser(tokenizer, options.pop("cutoff_len"), template=template, **options)
    example = tokenise(conversation(case["system"], case["turns"])).example
    return example.input_ids.tolist(), example.labels.tolist()


def case_id(case: dict[str, Any]) -> str:
    return " ".join([case["template"], str(len(case["turns"])), *map(str, case["options"].items())])


@pytest.mark.parametrize("case", RECORD["cases"], ids=case_id)
def test_built_in_templates_give_llamafactorys_tokens_and_labels(case: dict[str, Any]) -> None:
    tokenizer = recorded_tokenizer()
    choose_template(tokenizer, case["template"], lambda line: None)
    assert tokens_and_labels(tokenizer, case) == (case["input_ids"], labels_of(case))


def test_every_template_is_recorded_and_known_to_the_check() -> None:
    assert {case["template"] for case in RECORD["cases"]} == set(FORMS)
    assert BUILT_IN_NAMES.split() == list(FORMS)


CHATML_CASES = [case for case in RECORD["cases"] if case["template"] in ("chatml", "qwen3_nothink")]


@pytest.mark.parametrize("case", CHATML_CASES, ids=case_id)
def test_the_models_own_template_gives_the_same(case: dict[str, Any]) -> None:
    tokenizer = recorded_tokenizer()
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = CHATML_TEMPLATE
    choose_template(tokenizer, case["template"], pytest.fail)
    assert tokenizer.chat_template == CHATML_TEMPLATE
    assert tokens_and_labels(tokenizer, case) == (case["input_ids"], labels_of(case))


@pytest.mark.parametrize("name", FORMS)
def test_the_saved_template_writes_what_was_trained(name: str) -> None:
    tokenizer = recorded_tokenizer()
    choose_template(tokenizer, name, lambda line: None)
    for system in ("", 'It\'s "brief".'):
        whole = conversation(system, ["What\n", " Five'", "Why?", "So."])
        turns = template_of(tokenizer, name).render(whole).turns.values()
        text = "".join(piece for turn in turns for piece in (*turn.prompt, *turn.answer))
        assert tokenizer.apply_chat_template(whole.messages, tokenize=False) == text
        asked = tokenizer.apply_chat_template(whole.messages[:-1], tokenize=False, add_generation_prompt=True)
        assert text.startswith(asked)
        assert text.removeprefix(asked).strip() != ""


def test_a_base_model_gets_the_named_template_and_its_end_token() -> None:
    tokenizer, lines = recorded_tokenizer(), []
    choose_template(tokenizer, "llama3", lines.append)
    assert tokenizer.chat_template == jinja_of(FORMS["llama3"])
    assert tokenizer.eos_token == "<|eot_id|>"
    assert lines == []
    choose_template(plain := recorded_tokenizer(), None, lines.append)
    assert "<|im_start|>" in plain.chat_template
    assert "base model" in lines.pop()
    with pytest.raises(DataError, match="cohere is not among those"):
        choose_template(recorded_tokenizer(), "cohere", lines.append)


def test_a_token_that_the_model_does_not_know_is_said() -> None:
    pieces = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="b")
    lines: list[str] = []
    choose_template(tokenizer, "llama3", lines.append)
    assert "knows no token <|eot_id|>" in lines[0]
    assert tokenizer.eos_token == "b"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama3", "warning: template: llama3 is not how the chat template of this model writes"),
        ("qwen", "note: LLaMA-Factory's template qwen begins with the system text 'You are Qwen"),
        ("chatml", None),
        ("internlm2", None),
        (None, None),
    ],
)
def test_a_name_and_a_model_that_disagree(name: str | None, words: str | None) -> None:
    tokenizer = recorded_tokenizer()
    tokenizer.chat_template = CHATML_TEMPLATE
    lines: list[str] = []
    choose_template(tokenizer, name, lines.append)
    assert tokenizer.chat_template == CHATML_TEMPLATE
    assert len(lines) == (words is not None)
    assert words is None or lines[0].startswith(words)


def test_a_name_can_be_made_to_win() -> None:
    tokenizer = recorded_tokenizer()
    tokenizer.chat_template = CHATML_TEMPLATE
    choose_template(tokenizer, "builtin:llama3", lambda line: None)
    assert tokenizer.chat_template == jinja_of(FORMS["llama3"])


def test_thinking_is_told_to_the_models_own_template() -> None:
    tokenizer = recorded_tokenizer()
    tokenizer.chat_template = CHATML_TEMPLATE[: CHATML_TEMPLATE.rindex("{% endif %}")] + (
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
    )
    answer = conversation("", ["a?", "<think>\n\n</think>\n\nb."])

    def learned(enable_thinking: bool | None) -> str:
        template = template_of(tokenizer, None, enable_thinking)
        example = ConversationTokeniser(tokenizer, 99, template=template)(answer).example
        return str(tokenizer.decode(example.labels[example.labels != IGNORED_LABEL]))

    assert learned(None) == "<think>\n\n</think>\n\nb.<|im_end|>\n"
    assert learned(False) == "b.<|im_end|>\n"


def test_tools_need_a_template_that_knows_them() -> None:
    tokenizer = recorded_tokenizer()
    choose_template(tokenizer, "default", lambda line: None)
    with pytest.raises(DataError, match="no form for tools"):
        template_of(tokenizer, "default").render(conversation("", ["a", "b"])._replace(tools=[{}]))


WITH_TOOLS = (
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for call in m.tool_calls or [] %}"
    "<call>{{ call.function.name }} {{ call.function.arguments | tojson }}</call>{% endfor %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_sharegpts_calls_and_tools_reach_a_template_that_knows_them() -> None:
    row = Row(
        "here",
        {
            "conversations": [
                {"from": "human", "value": "Weather?"},
                {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "sky"}}'},
                {"from": "observation", "value": "blue"},
                {"from": "gpt", "value": "Fine."},
            ],
            "tools": '[{"name": "look", "parameters": {}}]',
        },
    )
    talk = converter(Source(Path("x.json")), "sharegpt")(row)
    tokenizer = recorded_tokenizer()
    tokenizer.chat_template = WITH_TOOLS
    turns = template_of(tokenizer, None).render(talk).turns
    assert turns[1].prompt[0].startswith('<tools>{"type": "function", "function": {"name": "look"')
    assert turns[1].answer == ['<call>look {"at": "sky"}</call><|im_end|>\n']
    assert turns[3].answer == ["Fine.<|im_end|>\n"]
    tokenizer.chat_template = CHATML_TEMPLATE
    with pytest.raises(DataError, match="no form for tools"):
        template_of(tokenizer, None).render(talk)
    plain = template_of(tokenizer, None).render(talk._replace(tools=None)).turns
    assert plain[1].answer == ['{"name": "look", "arguments": {"at": "sky"}}<|im_end|>\n']
