"""Whatever is in the file: an answer with a line, soon, and nothing executed."""

import os
import time
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.document import parse_document, read_document
from fttui_engine.spec.load import resolve
from fttui_engine.spec.nodes import Block, DocumentError, Scalar

NESTED = "\n".join("  " * depth + f"level{depth}:" for depth in range(40))
BILLION_LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"

BAD_TEXTS = [
    ("empty", "", None, "nothing in it"),
    ("only comments", "# hello\n# world\n", None, "nothing in it"),
    ("only null", "null\n", None, "nothing in it"),
    ("a list at the top", "- a: 1\n- b: 2\n", 1, "not a list"),
    ("a single word at the top", "hello\n", 1, "not a list or a single value"),
    ("a tab", "run:\n\tname: x\n", 2, "tab"),
    ("indented too far", "a: 1\n  b: 2\n", 2, "indented too far"),
    ("indented too little", "run:\n    name: x\n  gpus: 1\n", 3, "indented differently"),
    ("no space behind the first colon", "seed:1\nmax_steps: 2\n", 1, "`seed: value`"),
    ("no space behind a colon", "a: 1\nlearning_rate:1e-4\nseed: 1\n", 2, "`learning_rate: value`"),
    ("no space behind the last colon", "a: 1\nrun:\n  name:x\n  gpus: 1\n", 3, "`name: value`"),
    ("a word alone", "a: 1\nb\nc: 2\n", 2, "`key: value` was expected"),
    ("a colon in a text", "default_system: You are: helpful\n", 1, "quotes"),
    ("no colon", "learning_rate 1e-4\nseed: 1\n", 1, "`key: value` was expected"),
    ("an open bracket", "dataset: [a, b\nseed: 1\n", 1, "bracket is opened here"),
    ("an open quote", 'template: "qwen\nseed: 1\n', 1, "quotes begins here"),
    ("more behind a quote", 'template: "qwen" 2\nseed: 1\n', 1, "closing quote"),
    ("an at sign", "template: @qwen\n", 1, "quotes"),
    ("a percent sign", "%YAML 9.9\n---\na: 1\n", 1, "YAML does not understand"),
    ("two documents", "a: 1\n---\nb: 2\n", 2, "second document"),
    ("an alias", "a: &x 1\nb: *x\n", 1, "alias"),
    ("a merge key", "a: &x {b: 1}\nc:\n  <<: *x\n", 1, "alias"),
    ("a star as text", "dataset: *.json\n", 1, "quotes"),
    ("a python object", "a: !!python/object/apply:os.system ['touch canary']\n", 1, "tag"),
    ("a python name", "a: !!python/name:os.system\n", 1, "tag"),
    ("a binary tag", "a: !!binary aGVsbG8=\n", 1, "tag"),
    ("a tag of its own", "a: !secret x\n", 1, "tag"),
    ("a list as key", "? [a, b]\n: 1\n", 1, "single word"),
    ("a control character", "a: 1\nb: \x07\n", 2, "control character"),
    ("nested without end", NESTED, 17, "nested"),
    ("brackets without end", "a: " + "[" * 5000, 1, "nested"),
    ("a billion laughs", BILLION_LAUGHS, 1, "alias"),
    ("too many values", "a: [" + "1," * 30_000 + "1]", 1, "values"),
    ("too long", "a: " + "x" * (1 << 20), None, "characters"),
]


@pytest.mark.parametrize(
    ("text", "line", "words"), [case[1:] for case in BAD_TEXTS], ids=[case[0] for case in BAD_TEXTS]
)
def test_bad_text_gets_a_sentence_and_a_line(
    text: str, line: int | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = time.process_time()
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert time.process_time() - before < 1.0
    assert words in caught.value.message
    if line is not None:
        assert caught.value.line == line
    assert list(tmp_path.iterdir()) == [], "something in the text was executed"


BAD_FILES = [
    ("a missing file", lambda path: None, "no such file"),
    ("a folder", lambda path: path.mkdir(), "folder"),
    ("a pipe", os.mkfifo, "regular file"),
    ("not UTF-8", lambda path: path.write_bytes(b"a: 1\nb: \xff\xfe\n"), "UTF-8"),
    ("50 MB", lambda path: path.write_bytes(b"a: 1\n" * 10_000_000), "bytes"),
    ("a link to itself", lambda path: path.symlink_to(path), "cannot be read"),
]


@pytest.mark.parametrize(
    ("make", "words"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES]
)
def test_a_file_that_cannot_be_used_is_one_error(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    make(path)  # type: ignore[operator]
    resolved = resolve(path)
    assert not resolved.ok
    assert len(resolved.findings.errors) == 1, "a file that was not read has no further errors"
    assert words in resolved.findings.errors[0].message
    assert str(path) in resolved.findings.errors[0].message


def test_a_byte_that_is_not_utf8_is_found_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("a: ä\nb: 1\n".encode() + b"c: \xe4\n")
    with pytest.raises(DocumentError) as caught:
        read_document(path)
    assert caught.value.line == 3


@pytest.mark.parametrize("path", ["x\0.yaml", "x" * 300, "~nobody-here/x.yaml", "", "/root/x/../x"])
def test_an_odd_path_is_an_error_and_no_traceback(path: str) -> None:
    assert not resolve(Path(path)).ok


def test_a_deleted_folder_to_stand_in_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WrongRequestError, match="deleted"):
        resolve(Path("x.yaml"))


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 1\r\nmax_steps: 2\r\n")
    entries = {key.text: node for key, node in read_document(path).entries}
    assert entries == {"seed": Scalar("1", 1), "max_steps": Scalar("2", 2)}


def test_json_is_yaml() -> None:
    document = parse_document('{"seed": 1, "run": {"name": "x"}}')
    assert isinstance(document.entries[1][1], Block)


def test_every_value_knows_its_line() -> None:
    document = parse_document("a: 1\n\n# comment\nb:\n  - x\n  - y\nc: |\n  long\n  text\n")
    assert [(key.text, key.line) for key, _ in document.entries] == [("a", 1), ("b", 4), ("c", 7)]
