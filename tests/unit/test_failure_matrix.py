"""The failure matrix of docs/failures.md and the tests that it names hold together."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[([a-z0-9 ]+)\]\(\.\./(tests/[a-z0-9_/]+\.py)\)")
REASON = "Not played here: "

ROWS = ROW.findall(PAGE.read_text().partition("## The failure matrix")[2])


def test_every_number_is_there_once() -> None:
    assert sorted(int(number) for number, *_ in ROWS) == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 75


@pytest.mark.parametrize(("number", "does", "held_by"), [(row[0], row[2], row[3]) for row in ROWS])
def test_every_row_is_held_by_tests_that_are_there_or_says_why_not(
    number: str, does: str, held_by: str
) -> None:
    links = LINK.findall(held_by)
    assert links or REASON in does, f"row {number} has neither a test nor a reason"
    assert LINK.sub("", held_by).strip(" ,-") == "", f"row {number} names something that is no link"
    for words, path in links:
        name = f"test_{words.replace(' ', '_')}"
        file = ROOT / path
        assert file.is_file(), f"row {number}: {path} is not there"
        assert re.search(rf"^(?:async )?def {name}\(", file.read_text(), re.MULTILINE), (
            f"row {number}: {name}"
        )


def test_every_fault_that_has_a_test_of_its_own_is_in_the_matrix() -> None:
    named = {path for row in ROWS for _, path in LINK.findall(row[3])}
    own = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/e2e/faults").glob("test_*.py")}
    assert own <= named
