"""The forms of data, told by the names of their columns: what the check and the worker must agree on."""

from collections.abc import Iterable
from typing import NamedTuple

ALPACA_COLUMNS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
)
"""Question and answer columns of alpaca-like files, tried in this order."""

KNOWN_FORMS = (
    "alpaca has instruction, input and output; sharegpt has conversations; OpenAI's form has messages; "
    "columns of other names can be described in dataset_info.json"
)


TEXT_COLUMNS = ("text", "prompt")
"""Columns of whole texts for stage pt, tried in this order."""

KNOWN_TEXTS = (
    "stage: pt learns whole texts from a column text (or prompt); a column of another name can be described in "
    "dataset_info.json; questions and answers want stage: sft"
)


class Misfit(NamedTuple):
    """Why a file's columns do not suit a stage, and which would."""

    what: str
    known: str


def misfit(stage: str, columns: Iterable[object]) -> Misfit | None:
    """Return why these columns cannot be learned from in this stage; None if they can."""
    names = list(columns)
    if stage == "pt":
        if text_column(names):
            return None
        return Misfit(f"has no texts; its columns are {shown_columns(names)}", KNOWN_TEXTS)
    if form_of(names):
        return None
    return Misfit(f"has no known form; its columns are {shown_columns(names)}", KNOWN_FORMS)


def text_column(columns: Iterable[object]) -> str | None:
    """Return the column that holds whole texts; None where there is none."""
    names = set(columns)
    return next((name for name in TEXT_COLUMNS if name in names), None)


def form_of(columns: Iterable[object]) -> str | None:
    """Return ``alpaca``, ``sharegpt`` or ``openai``; None for columns that no form has."""
    names = set(columns)
    if "messages" in names:
        return "openai"
    if names & {"conversations", "conversation"}:
        return "sharegpt"
    return "alpaca" if any(names.issuperset(pair) for pair in ALPACA_COLUMNS) else None


def shown_columns(columns: Iterable[object]) -> str:
    """Return the columns of a file as a sentence needs them."""
    return ", ".join(sorted(map(str, columns))) or "none"
