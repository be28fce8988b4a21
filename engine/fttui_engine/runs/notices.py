"""What a worker wants a person to notice: a sentence each, few; the supervisor tells of them in the events."""

from pathlib import Path

from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import append_line, read_lines

EVENT = "notice"
MOST_NOTICES = 50
"""Of one attempt; whoever has more to say says it in the log."""
LONGEST_NOTICE = 1000


def write_notice(path: Path, text: str) -> None:
    """Append one sentence to an attempt's ``notices.jsonl``."""
    append_line(path, {"message": text[:LONGEST_NOTICE]})


def read_notices(path: Path, offset: int = 0) -> tuple[list[str], int]:
    """Return the sentences from ``offset`` on, and the offset behind them."""
    sentences = []
    for line in read_lines(path, offset):
        offset = line.end_offset
        message = (line.value or {}).get("message")
        if isinstance(message, str) and message:
            sentences.append(message[:LONGEST_NOTICE])
    return sentences, offset


def told_notices(events_path: Path) -> list[str]:
    """Return the sentences that stand in a run's events, in order."""
    return [event.message for event in read_events(events_path) if event.event == EVENT]
