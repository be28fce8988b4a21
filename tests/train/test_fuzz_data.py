"""Any file of data is read, or it is said where it is broken."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fttui_engine.train.data.files import read_file
from fttui_engine.train.errors import DataError
from fuzzing import ANYTHING, FUZZ, spoiled

RECORD = {
    "instruction": "a",
    "input": "b",
    "output": "c",
    "history": [["x", "y"]],
    "conversations": [{"from": "human", "value": "v"}],
}


def look(suffix: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, f"data{suffix}")
        path.write_bytes(content)
        try:
            for row in read_file(path):
                assert row.place
                assert isinstance(row.values, dict)
        except DataError as error:
            assert error.message
            assert error.hint


@FUZZ
@given(st.sampled_from([".json", ".jsonl", ".csv", ".txt", ".parquet", ".arrow"]), st.binary(max_size=300))
def test_any_bytes(suffix: str, content: bytes) -> None:
    look(suffix, content)


@FUZZ
@given(st.lists(spoiled(RECORD), max_size=4), st.booleans())
def test_spoiled_records(records: list[bytes], is_list: bool) -> None:
    look(".json" if is_list else ".jsonl", b"[" + b",".join(records) + b"]" if is_list else b"".join(records))


@FUZZ
@given(st.lists(st.text(max_size=12), max_size=8), ANYTHING)
def test_tables(cells: list[str], value: object) -> None:
    text = ",".join(cells) + "\n" + json.dumps(value) + ',"' + "\n".join(cells)
    look(".csv", text.encode("utf-8", "surrogatepass"))


def test_a_cell_of_a_thousand_brackets_is_a_text() -> None:
    look(".csv", b"text\n" + b"[" * 100_000 + b"\n")
