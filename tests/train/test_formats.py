"""Every known form in every known kind of file becomes the same conversation; what does not fit is named."""

import csv
import io
import json

import pyarrow
import pyarrow.parquet
import pytest

from fttui_engine.train.data.formats import converter, detect_format
from fttui_engine.train.data.sources import Source, find_datasets, read_rows
from fttui_engine.train.errors import DataError

QUESTION, ANSWER = "Say it,\nplease.", 'It is "it".'
PLAIN = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, *PLAIN]
WITH_HISTORY = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    *PLAIN,
]

FORMS = {
    "alpaca": ({"instruction": QUESTION, "input": "", "output": ANSWER}, PLAIN),
    "alpaca with input": ({"instruction": "Say it,", "input": "please.", "output": ANSWER}, PLAIN),
    "alpaca with system": ({"instruction": QUESTION, "output": ANSWER, "system": "Be brief."}, WITH_SYSTEM),
    "alpaca with history": (
        {"instruction": QUESTION, "output": ANSWER, "history": [["Hi", "Hello"]]},
        WITH_HISTORY,
    ),
    "prompt and completion": ({"prompt": QUESTION, "completion": ANSWER}, PLAIN),
    "question and answer": ({"question": QUESTION, "answer": ANSWER}, PLAIN),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]},
        PLAIN,
    ),
    "sharegpt with system": (
        {
            "system": "Be brief.",
            "conversation": [{"from": "user", "value": QUESTION}, {"from": "bot", "value": ANSWER}],
        },
        WITH_SYSTEM,
    ),
    "openai": ({"messages": PLAIN}, PLAIN),
    "openai with system": ({"messages": WITH_SYSTEM}, WITH_SYSTEM),
    "openai in parts": (
        {"messages": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in PLAIN]},
        PLAIN,
    ),
}


def write(path, records):
    """Write records in the kind of file that the name says."""
    if path.suffix == ".json":
        path.write_text(json.dumps(records))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n\n" for record in records))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    else:
        text = io.StringIO()
        rows = csv.DictWriter(text, records[0])
        rows.writeheader()
        for record in records:
            rows.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in record.items()})
        path.write_text(text.getvalue())
    return path


def conversations(source):
    rows = list(read_rows(source))
    convert = converter(source, detect_format(source, rows[0].values))
    return [convert(row) for row in rows]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_file(tmp_path, form, suffix):
    record, expected = FORMS[form]
    source = Source(write(tmp_path / f"data{suffix}", [record, record]))
    found = conversations(source)
    assert [conversation.messages for conversation in found] == [expected, expected]
    assert found[0].learned == [message["role"] == "assistant" for message in expected]


def test_json_lines_named_json_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"instruction": "a", "output": "b"}\n' * 2)
    assert len(conversations(Source(path))) == 2


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_line_separators_of_unicode_do_not_part_records(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    question, answer = "one\u2028two\x85three", "four\x0bfive"
    if suffix == ".csv":
        path.write_text(f"instruction,output\n{question},{answer}\n", encoding="utf-8")
    else:
        record = json.dumps({"instruction": question, "output": answer}, ensure_ascii=False)
        path.write_text(f"{record}\n{record}\n", encoding="utf-8")
    found = conversations(Source(path))
    assert [turn["content"] for turn in found[-1].messages] == [question, answer]


def test_answers_of_weight_zero_are_not_learned(tmp_path):
    messages = [*PLAIN[:1], {**PLAIN[1], "weight": 0}, *PLAIN]
    found = conversations(Source(write(tmp_path / "data.jsonl", [{"messages": messages}])))
    assert found[0].learned == [False, False, False, True]


def test_dataset_info_names_files_columns_and_tags(tmp_path):
    write(
        tmp_path / "a.json",
        [{"q": QUESTION, "a": ANSWER, "input": "ignored, as columns replace the usual names"}],
    )
    write(
        tmp_path / "b.jsonl", [{"talk": [{"who": "me", "text": QUESTION}, {"who": "it", "text": ANSWER}]}] * 3
    )
    info = {
        "first": {"file_name": "a.json", "columns": {"prompt": "q", "response": "a"}},
        "second": {
            "file_name": "b.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "talk"},
            "tags": {"role_tag": "who", "content_tag": "text", "user_tag": "me", "assistant_tag": "it"},
        },
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (first,), (second,) = (each.sources for each in find_datasets(["first", "second"], str(tmp_path)))
    assert [conversation.messages for conversation in conversations(first)] == [PLAIN]
    assert [conversation.messages for conversation in conversations(second)] == [PLAIN, PLAIN, PLAIN]


def test_a_folder_stands_for_its_files(tmp_path):
    write(tmp_path / "b.jsonl", [{"prompt": "a", "completion": "b"}])
    write(tmp_path / "a.csv", [{"prompt": "a", "completion": "b"}])
    (tmp_path / "README.md").write_text("not data")
    assert [source.path.name for source in find_datasets([str(tmp_path)])[0].sources] == ["a.csv", "b.jsonl"]


OK = '{"instruction": "a", "output": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.jsonl",
            OK + '{"instruction": "a", "output": 3}',
            "x.jsonl, line 2: output must be a text, found 3",
        ),
        ("x.jsonl", OK + '{"instruction": "a"}', "x.jsonl, line 2: output must be a text, found nothing"),
        ("x.jsonl", OK + "{broken", "x.jsonl, line 2, is not valid JSON"),
        ("x.jsonl", OK + "[1]", "x.jsonl, line 2, is not a record but list"),
        ("x.json", "[" + OK + ", 7]", "x.json, record 2, is not a record but int"),
        (
            "x.jsonl",
            OK + r'{"instruction": "\ud83d\ude00", "output": "x \uDC00"}',
            r"x.jsonl, line 2, holds half a character (\udc00 without",
        ),
        (
            "x.json",
            "[" + OK + r', {"\ud800": 1}]',
            r"x.json, record 2, holds half a character (\ud800 without",
        ),
        ("x.json", "[" + OK, "x.json is not valid JSON at line 2, column 1"),
        ("x.json", "[" * 100_000, "x.json is nested too deeply"),
        ("x.json", "", "x.json is empty"),
        ("x.json", b'[{"instruction": "\xff"}]', "x.json is not UTF-8 at byte 18"),
        ("x.json", '[{"text": "raw", "id": 1}]', "x.json has no known form; its columns are id, text"),
        ("x.csv", "instruction,output\na,b\nonly one\n", "x.csv, line 3, does not have the 2 fields"),
        ("x.csv", 'instruction,output\na,"b\n', "x.csv, line 2, is not valid CSV"),
        ("x.parquet", "PAR1", "x.parquet is not a readable Parquet file"),
        ("x.xlsx", "hello", "x.xlsx is no kind of data file"),
        ("x.arrow", "ARROW1", "x.arrow is not a readable Arrow file"),
        ("x.txt", b"a\n\xff", "x.txt, line 2 is not UTF-8 at byte 0"),
        (
            "x.jsonl",
            '{"conversations": [{"from": "human", "value": "a"}, {"from": "alien", "value": "b"}]}',
            "x.jsonl, line 1: turn 2 has from 'alien'",
        ),
        ("x.jsonl", '{"conversations": "a"}', "x.jsonl, line 1: conversations must be a list of turns"),
        (
            "x.jsonl",
            '{"messages": [{"content": "a"}]}',
            "line 1: turn 1 of messages must be a record with role",
        ),
        (
            "x.jsonl",
            '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "line 1: turn 1 must have a text in content",
        ),
        (
            "x.jsonl",
            '{"instruction": "a", "output": "b", "history": [["a"]]}',
            "line 1: history must be a list of",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        conversations(find_datasets([str(path)])[0].sources[0])
    assert message in error.value.message
    assert error.value.hint
    assert error.value.kind == "data"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (None, "has no data set 'x'"),
        ({"script_url": "x.py"}, "is made by a Python script"),
        ({"cloud_file_name": "s3://bucket/x.json"}, "is in a cloud store"),
        ({"ms_hub_url": "somebody/x"}, "is on ModelScope"),
        ({"split": "train"}, "has neither file_name nor hf_hub_url"),
        ({"file_name": "a.json", "columns": {"images": "pictures"}}, "has images"),
        ({"file_name": "a.json", "columns": {"promt": "q"}}, "has columns of unknown names: promt"),
        ({"file_name": "a.json", "num_samples": 0}, "has num_samples 0"),
        ({"file_name": "gone.json"}, "there is no file"),
        ({"file_name": "a.json", "formatting": "xml"}, "has formatting 'xml'"),
    ],
)
def test_what_is_wrong_with_a_name_in_dataset_info(tmp_path, entry, message):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": entry} if entry else {"y": {}}))
    with pytest.raises(DataError) as error:
        find_datasets(["x"], str(tmp_path))
    assert message in error.value.message
    assert error.value.hint
