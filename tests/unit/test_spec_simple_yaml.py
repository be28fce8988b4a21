"""The quick reader and PyYAML never disagree: where the quick one answers, PyYAML gives the same tree."""

import random

import pytest

from fttui_engine.spec.full_yaml import parse_full
from fttui_engine.spec.nodes import DocumentError
from fttui_engine.spec.profiles import list_profiles
from fttui_engine.spec.simple_yaml import parse_simple

CHARACTERS = "ab1_.:-+~/#[],{}'\"!&*%@`|>?= \n\t"
PIECES = [
    "a", "b1", "run", "no", "null", "1e-4", "-1", "+5", "~", "/x/y", "./z", "a:b", "demo:tiny", "-", "--", "...", "---",
    ":", "::", "a:", ":a", "#", "# c", " #", "#x", "[a, b]", "[a,b]", "[]", "[ ]", "[a,]", "[a, [b]]", "[a:b]", "[-1]",
    "[~]", "[null]", "{}", "{a: 1}", "'q'", '"q"', "&x", "*x", "!t", "%", "@", "|", ">", "?", "? a", "- a", "-a", "1_000",
    "0x1F", "12:30:45", "a b", "=", "<<", "yes", "2024-01-01", ".5", "1.", "_", ".", "..", "/", "+", "-.", "_:_", "a:1",
]  # fmt: skip
ENDS = ["", "", "", " ", "  ", " # why", "#why", " #", "\t"]
INDENTS = ["", "", "", "  ", "  ", "    ", " "]
KEYS = ["a", "b", "run", "x_1", "1", "no", "-a", "a b", "a.b", "'a'", "?", "#a", ""]


def compare(text: str) -> bool:
    """Whether the quick reader took ``text``; fails if PyYAML sees something else in it."""
    simple = parse_simple(text)
    if simple is None:
        return False
    try:
        assert parse_full(text) == simple, text
    except DocumentError as error:
        pytest.fail(f"PyYAML refuses what the quick reader takes: {text!r}: {error.message}")
    return True


def test_they_agree_on_lines_put_together_at_random() -> None:
    chance = random.Random(1)
    taken = 0
    for _ in range(60_000):
        lines = []
        for _ in range(chance.randint(1, 4)):
            kind = chance.random()
            indent, key, piece, end = (chance.choice(pool) for pool in (INDENTS, KEYS, PIECES, ENDS))
            if kind < 0.2:
                lines.append(f"{indent}{key}:{end}")
            elif kind < 0.9:
                lines.append(f"{indent}{key}: {piece}{end}")
            else:
                lines.append(f"{indent}{piece}{end}")
        taken += compare("\n".join(lines) + chance.choice(["", "\n"]))
    assert taken > 1000, "the comparison has to be about something"


def test_they_agree_on_characters_put_together_at_random() -> None:
    chance = random.Random(2)
    for _ in range(15_000):
        value = "".join(chance.choices(CHARACTERS, k=chance.randint(1, 8)))
        compare(f"key: {value}\nlast: 1\n")
        compare(f"run:\n  key: {value}\n")


def test_real_configurations_are_taken() -> None:
    for profile in list_profiles():
        assert compare(profile.path.read_text()), profile.name


@pytest.mark.parametrize(
    "text",
    ["", "# only\n", "a: \u00e4\n", "a:\tb\n", "a: 1\r\nb: 2\r\n", "a: 1\n  b: 2\n", "a:\n    b: 1\n  c: 2\n", "- a\n",
     " a: 1\nb: 2\n", "a: b c\n", "a: 'b'\n", "a: b\n c\n", "---\na: 1\n", "a: 1 " + "# x" * 20_000],
)  # fmt: skip
def test_what_is_not_plainly_simple_is_left_to_pyyaml(text: str) -> None:
    assert parse_simple(text) is None
