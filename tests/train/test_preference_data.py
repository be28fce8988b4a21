"""Records with compared and with judged answers: every form in which they come, and the tokens that they become."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.train.data.preference_tokens import (
    ContrastedCollator,
    JudgedReader,
    Mismatched,
    PairCollator,
    PairReader,
)
from fttui_engine.train.data.sources import Source, read_rows
from fttui_engine.train.data.tokenise import ConversationTokeniser, Tokenised
from fttui_engine.train.errors import DataError

QUESTION = {"role": "user", "content": "Name a colour."}
GOOD, BAD = {"role": "assistant", "content": "Blue."}, {"role": "assistant", "content": "Seven, or so."}
HUMAN = {"from": "human", "value": "Name a colour."}
LIKED, DISLIKED = {"from": "gpt", "value": "Blue."}, {"from": "gpt", "value": "Seven, or so."}
BOTH = {"chosen": "Blue.", "rejected": "Seven, or so."}

PAIRS = {
    "text": {"prompt": "Name a colour.", **BOTH},
    "instruction": {"instruction": "Name a colour.", "input": "", **BOTH},
    "question": {"question": "Name a colour.", **BOTH},
    "sharegpt": {"conversations": [HUMAN], "chosen": LIKED, "rejected": DISLIKED},
    "sharegpt, texts": {"conversations": [HUMAN], **BOTH},
    "openai": {"messages": [QUESTION], "chosen": GOOD, "rejected": BAD},
    "messages after messages": {"prompt": [QUESTION], "chosen": [GOOD], "rejected": [BAD]},
    "messages after a text": {"prompt": "Name a colour.", "chosen": [GOOD], "rejected": [BAD]},
    "whole conversations": {"chosen": [QUESTION, GOOD], "rejected": [QUESTION, BAD]},
    "whole conversations, and the prompt": {
        "prompt": "Name a colour.",
        "messages": [QUESTION, GOOD],
        "chosen": [QUESTION, GOOD],
        "rejected": [QUESTION, BAD],
    },
}
TAGGED = {
    "texts": {"prompt": "Name a colour.", "completion": "Blue.", "label": True},
    "alpaca": {"instruction": "Name a colour.", "output": "Blue.", "kto_tag": True},
    "messages": {"prompt": [QUESTION], "completion": [GOOD], "label": 1},
    "openai": {"messages": [QUESTION, GOOD], "label": True},
    "sharegpt": {"conversations": [HUMAN, LIKED], "kto_tag": True},
}


def read(reader: Any, folder: Path, *records: Any, **described: Any) -> list[Tokenised]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = Source(path, **described)
    rows = list(read_rows(source))
    _, tokenise = reader.for_source(source, rows[0].values)
    return [tokenise(row) for row in rows]


@pytest.fixture
def pairs(tokenizer: Any) -> PairReader:
    return PairReader(ConversationTokeniser(tokenizer, 256), 256, "dpo")


@pytest.fixture
def judged(tokenizer: Any) -> JudgedReader:
    return JudgedReader(ConversationTokeniser(tokenizer, 256), 256)


@pytest.mark.parametrize("form", list(PAIRS))
def test_every_form_of_pairs_says_the_same(
    pairs: PairReader, tokenizer: Any, tmp_path: Path, form: str
) -> None:
    (result,) = read(pairs, tmp_path, PAIRS[form])
    pair = result.example
    start = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(pair.chosen_ids) == start + "Blue.<|im_end|>\n"
    assert tokenizer.decode(pair.rejected_ids) == start + "Seven, or so.<|im_end|>\n"
    learned = [ids[labels != -100] for ids, labels in (pair[:2], pair[2:])]
    assert [tokenizer.decode(ids) for ids in learned] == ["Blue.<|im_end|>\n", "Seven, or so.<|im_end|>\n"]
    assert pair.learned_count == sum(map(len, learned))
    assert all(array.dtype == "int32" and array.ndim == 1 for array in pair)


@pytest.mark.parametrize("form", list(TAGGED))
def test_every_form_of_tagged_answers_says_the_same(
    judged: JudgedReader, tokenizer: Any, tmp_path: Path, form: str
) -> None:
    (result,) = read(judged, tmp_path, TAGGED[form])
    prompt = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(result.example.prompt_ids) == prompt
    assert tokenizer.decode(result.example.answer_ids) == "Blue.<|im_end|>\n"
    assert result.example.is_good.tolist() == [1]


def test_dataset_info_names_the_columns(pairs: PairReader, judged: JudgedReader, tmp_path: Path) -> None:
    record = {
        "q": "Name a",
        "more": "colour.",
        "s": "Be brief.",
        "h": [["Hi", "Hello"]],
        "a": "Blue.",
        "b": "7",
    }
    columns = {"prompt": "q", "query": "more", "system": "s", "history": "h", "chosen": "a", "rejected": "b"}
    (described,) = read(pairs, tmp_path, record, formatting="alpaca", ranking=True, columns=columns)
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Name a\ncolour."},
    ]
    seven = {"role": "assistant", "content": "7"}
    (plain,) = read(pairs, tmp_path, {"prompt": turns, "chosen": [GOOD], "rejected": [seven]})
    assert [array.tolist() for array in described.example] == [array.tolist() for array in plain.example]

    talk = {"talk": [{"who": "me", "what": "Name a colour."}], "a": {"who": "you", "what": "Blue."}}
    columns = {"messages": "talk", "chosen": "a", "rejected": "b"}
    tags = {"role_tag": "who", "content_tag": "what", "user_tag": "me", "assistant_tag": "you"}
    record = talk | {"b": {"who": "you", "what": "Seven, or so."}}
    options = {"formatting": "sharegpt", "ranking": True, "columns": columns, "tags": tags}
    (described,) = read(pairs, tmp_path, record, **options)
    (plain,) = read(pairs, tmp_path, PAIRS["text"])
    assert described.example.rejected_ids.tolist() == plain.example.rejected_ids.tolist()

    columns = {"prompt": "q", "response": "a", "kto_tag": "b"}
    (tagged,) = read(judged, tmp_path, {"q": "Q", "a": "A", "b": False}, formatting="alpaca", columns=columns)
    assert tagged.example.is_good.tolist() == [0]


def test_long_pairs_are_cut_alike_by_the_longer_answer(tokenizer: Any, tmp_path: Path) -> None:
    reader = PairReader(ConversationTokeniser(tokenizer, 40), 40, "rm")
    record = {"prompt": "one " * 60, "chosen": "two " * 60, "rejected": "No."}
    (result,) = read(reader, tmp_path, record)
    whole = read(PairReader(ConversationTokeniser(tokenizer, 999), 999, "rm"), tmp_path, record)[0].example
    prompt = int((whole.chosen_labels == -100).sum())
    answer = len(whole.chosen_ids) - prompt
    assert 2 * prompt > 40
    assert 2 * answer > 40
    kept = int(40 * (answer / (prompt + answer)))
    assert result.was_cut
    assert [len(array) for array in result.example[:2]] == [40, 40]
    assert result.example.learned_count == kept + int((whole.rejected_labels != -100).sum())
    cut_prompt = result.example.rejected_ids[: 40 - kept].tolist()
    assert (
        cut_prompt
        == result.example.chosen_ids[: 40 - kept].tolist()
        == whole.chosen_ids[: 40 - kept].tolist()
    )


def test_what_teaches_nothing_is_left_out(pairs: PairReader, judged: JudgedReader, tmp_path: Path) -> None:
    other = {"role": "user", "content": "And a number?"}
    results = read(
        pairs,
        tmp_path,
        {"chosen": [QUESTION, GOOD], "rejected": [other, BAD]},
        {"chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [QUESTION, GOOD, other], "rejected": [QUESTION, BAD, other]},
    )
    assert [result.dropped for result in results] == [
        "the two answers follow different prompts",
        "begins with an answer",
        "ends without an answer",
    ]
    (result,) = read(judged, tmp_path, {"prompt": "Q", "completion": "", "label": False})
    assert result.dropped == "empty answer"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "Q", "chosen": "A", "rejected": 3}, "rejected must be a text, a message or a list"),
        ({"prompt": "Q", "chosen": "A", "rejected": None}, "rejected must be a text, a message or a list"),
        ({"topic": "Q", "chosen": "A", "rejected": "B"}, "there is no prompt before the answers"),
        ({"prompt": "Q", "chosen": [{"role": "poet", "content": "A"}], "rejected": []}, "'poet'"),
        ({"prompt": "Q", "response": "A"}, "has no pairs of answers"),
    ],
)
def test_records_that_do_not_fit_are_named(
    pairs: PairReader, tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as error:
        read(pairs, tmp_path, record)
    assert message in error.value.message
    assert "rows.jsonl" in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("tag", "is_good"), [("True", 1), ("false", 0), (0, 0), (1.0, None), ("maybe", None)]
)
def test_a_tag_is_true_or_false(judged: JudgedReader, tmp_path: Path, tag: Any, is_good: int | None) -> None:
    record = {"prompt": "Q", "completion": "A", "label": tag}
    if is_good is None:
        with pytest.raises(DataError, match="label must be true or false"):
            read(judged, tmp_path, record)
    else:
        assert read(judged, tmp_path, record)[0].example.is_good.tolist() == [is_good]


def test_a_table_of_pairs_may_be_csv(pairs: PairReader, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "chosen", "rejected"], ["Q", "A, b", "C"]])
    (row,) = read_rows(Source(path))
    form, tokenise = pairs.for_source(Source(path), row.values)
    assert (form, tokenise(row).example is not None) == ("pairs", True)


@pytest.mark.parametrize(
    ("described", "hint"),
    [
        ({"formatting": "alpaca"}, "ranking: true"),
        ({"formatting": "alpaca", "ranking": True}, "use stage: dpo"),
    ],
)
def test_data_of_another_stage_is_refused(
    pairs: PairReader, judged: JudgedReader, tmp_path: Path, described: dict[str, Any], hint: str
) -> None:
    reader = judged if described.get("ranking") else pairs
    with pytest.raises(DataError) as error:
        read(reader, tmp_path, PAIRS["text"], **described)
    assert hint in f"{error.value.message} {error.value.hint}"


def test_prompts_meet_the_answer_before_theirs(judged: JudgedReader, tokenizer: Any, tmp_path: Path) -> None:
    records = [{"prompt": f"Q{n}", "completion": f"A{n}", "label": n != 1} for n in range(3)]
    examples = [result.example for result in read(judged, tmp_path, *records)]
    mismatched = Mismatched(examples, 256)

    def answer(ids: Any, labels: Any) -> str:
        return str(tokenizer.decode(ids[labels != -100]))

    assert [answer(each.kl_input_ids, each.kl_labels) for each in mismatched] == [
        f"A{n}<|im_end|>\n" for n in (2, 0, 1)
    ]
    assert ["Q1" in tokenizer.decode(each.kl_input_ids) for each in mismatched] == [False, True, False]

    # LLaMA-Factory goes around within a thousand.
    many = Mismatched(examples * 500, 256)
    assert answer(many[1000].kl_input_ids, many[1000].kl_labels) == f"A{1499 % 3}<|im_end|>\n"
    assert answer(many[0].kl_input_ids, many[0].kl_labels) == f"A{999 % 3}<|im_end|>\n"

    batch = ContrastedCollator(tokenizer.pad_token_id)(mismatched[0:2])
    assert batch["is_good"].tolist() == [True, False]
    assert batch["input_ids"].shape[1] % 8 == batch["kl_labels"].shape[1] % 8 == 0


def test_a_batch_of_pairs_keeps_them_together(pairs: PairReader, tokenizer: Any, tmp_path: Path) -> None:
    results = read(pairs, tmp_path, PAIRS["text"], {"prompt": "Q", "chosen": "A", "rejected": "B"})
    batch = PairCollator(tokenizer.pad_token_id)([result.example for result in results])
    assert {tensor.shape for tensor in batch.values()} == {(2, 2, batch["input_ids"].shape[-1])}
    second = results[1].example.rejected_ids
    assert batch["input_ids"][1, 1, : len(second)].tolist() == second.tolist()
    assert batch["attention_mask"][1, 1].sum() == len(second)
    assert (batch["labels"][1, 1, len(second) :] == -100).all()
