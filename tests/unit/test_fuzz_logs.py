"""Any bytes are a log: what is shown of them is inert, whole, and takes no time."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fttui.log.line_text import folded, plain, shown
from fttui_engine.hardware.xid import slot_of
from fttui_engine.runs.logs import LogFollower, log_lines, one_line, plain_text, read_log, tail
from fttui_engine.supervise.diagnosis import diagnose
from fuzzing import FUZZ

SEQUENCES = ["\x1b[31m", "\x1b[2J", "\x1b]52;c;aGk=\x07", "\x1b]0;title\x1b\\", "\x1bP", "\x9b", "\x90", "\x1b", "\x1b[", "\x07", "\r",
             "\n", "\r\n", "\u202e", "\ufeff", "\u2028", "a", "loss 1.0", "\x1b[38;2;1;2;3m", "\x1b[999999999999m", "\x00"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SEQUENCES) | st.text(max_size=3), max_size=20).map("".join)
BYTES = st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
FORBIDDEN = {chr(code) for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"} | set(
    "\u202e\u2028\ufeff"
)


def assert_inert(text: str) -> None:
    assert not FORBIDDEN & set(text), repr(text)


@FUZZ
@given(TEXTS)
def test_text_that_others_wrote_drives_no_terminal(text: str) -> None:
    assert_inert(plain_text(text))
    assert_inert(one_line(text))
    assert "\n" not in one_line(text)
    assert plain_text(plain_text(text)) == plain_text(text)


@FUZZ
@given(BYTES)
def test_any_bytes_are_a_log(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "log")
        path.write_bytes(content)
        lines = [*read_log(path), *tail(path, 5), *log_lines(content), *LogFollower(path).poll()]
        for line in lines:
            assert_inert(line)
        diagnose(path)
    for raw in content.split(b"\n"):
        assert_inert(plain(raw))
        for colours in (True, False):
            for span in shown(raw, colours=colours, timestamps=colours):
                assert_inert(span if isinstance(span, str) else span.text)
        folded(raw)


@FUZZ
@given(st.text(max_size=30) | st.from_regex(r"[0-9a-fA-F]{0,9}:[0-9a-f]{0,3}:[0-9a-f]{0,3}(\.[0-9])?"))
def test_the_place_of_a_gpu_is_one_or_none(text: str) -> None:
    slot_of(text)
