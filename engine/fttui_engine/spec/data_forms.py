"""The forms of data, told by the names of their columns: what the check and the worker must agree on."""

from collections.abc import Iterable

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
