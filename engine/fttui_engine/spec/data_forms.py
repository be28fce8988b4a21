"""The forms of data, told by the names of their columns: what the check and the worker must agree on."""

from collections.abc import Iterable, Mapping
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


QUESTION_COLUMNS = ("instruction", "prompt", "question")
"""Columns of questions that the model answers itself, for stage ppo, tried in this order."""

KNOWN_QUESTIONS = (
    "stage: ppo takes questions from a column instruction, prompt or question, or conversations in one of the forms of "
    "stage sft; their last answers, if there are any, are not read"
)


PAIR_COLUMNS = ("chosen", "rejected")
"""The better and the worse answer, for the stages rm and dpo."""

TAG_COLUMNS = ("kto_tag", "label")
"""Whether an answer is good, for stage kto; tried in this order."""

KNOWN_PAIRS = (
    "stages rm and dpo learn from pairs: a prompt (or instruction, conversations, messages) with chosen and rejected; "
    "columns of other names can be described in dataset_info.json, with ranking: true"
)

KNOWN_TAGGED = (
    "stage: kto learns from answers that are tagged good or bad: prompt and completion, or one of the forms of stage "
    "sft, with a column kto_tag or label that is true or false; columns of other names can be described in "
    "dataset_info.json"
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
    if stage in ("rm", "dpo"):
        if is_pairs(names):
            return None
        return Misfit(f"has no pairs of answers; its columns are {shown_columns(names)}", KNOWN_PAIRS)
    if stage == "kto":
        if tag_column(names):
            return None
        return Misfit(f"has no tagged answers; its columns are {shown_columns(names)}", KNOWN_TAGGED)
    if stage == "ppo":
        if form_of(names) or question_column(names):
            return None
        return Misfit(f"has no questions; its columns are {shown_columns(names)}", KNOWN_QUESTIONS)
    if form_of(names):
        return None
    if is_pairs(names):
        return Misfit(
            f"holds pairs of a better and a worse answer; its columns are {shown_columns(names)}",
            "stage: dpo and stage: rm learn from them; stage: sft learns single answers",
        )
    return Misfit(f"has no known form; its columns are {shown_columns(names)}", KNOWN_FORMS)


def misdescribed(stage: str, entry: Mapping[str, object]) -> str | None:
    """Return why an entry of ``dataset_info.json`` does not suit a stage, and what to do; None if it does."""
    is_ranking, columns = bool(entry.get("ranking")), entry.get("columns")
    if stage in ("rm", "dpo") and not is_ranking:
        return (
            f"does not say that its records hold pairs of answers, which stage: {stage} learns from; "
            "add ranking: true where they do, else use stage: sft"
        )
    if stage not in ("rm", "dpo") and is_ranking:
        return (
            f"holds preference pairs (ranking), which stage: {stage} cannot learn from; use stage: dpo or rm"
        )
    if stage == "kto" and isinstance(columns, Mapping) and "kto_tag" not in columns:
        return "does not say in columns which one holds the kto_tag (true or false), which stage: kto learns from"
    return None


def is_pairs(columns: Iterable[object]) -> bool:
    """Whether records with these columns hold a better and a worse answer."""
    return set(columns).issuperset(PAIR_COLUMNS)


def tag_column(columns: Iterable[object]) -> str | None:
    """Return the column that says whether an answer is good; None where there is none."""
    names = set(columns)
    return next((name for name in TAG_COLUMNS if name in names), None)


def question_column(columns: Iterable[object]) -> str | None:
    """Return the column that holds questions; None where there is none."""
    names = set(columns)
    return next((name for name in QUESTION_COLUMNS if name in names), None)


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
