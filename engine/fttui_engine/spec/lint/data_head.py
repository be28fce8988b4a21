"""What the beginning of a data file says, without reading the rest: whether it is what it claims to be."""

from codecs import getincrementaldecoder
from pathlib import Path

from fttui_engine.spec.data_forms import misfit

# So much of a data file is looked at; the worker reads the rest and names the row.
HEAD_BYTES = 64 * 1024
# What binary files begin with; Arrow has a form for files and one for streams.
_MAGIC = {
    ".parquet": ("a Parquet file", (b"PAR1",)),
    ".arrow": ("an Arrow file", (b"ARROW1", b"\xff\xff\xff\xff")),
}


def problem_at_the_top(path: str, suffix: str, stage: str, is_described: bool) -> str | None:
    """What is wrong with the beginning of a data file, in a sentence; None if nothing is."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
            is_whole = len(head) < HEAD_BYTES
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    if not head.strip():
        return f"{path} is empty."
    if suffix in _MAGIC:
        kind, magic = _MAGIC[suffix]
        return None if head.startswith(magic) else f"{path} is not {kind}."
    if not is_whole and b"\n" in head:
        head = head[: head.rfind(b"\n")]
    try:
        # Not the end of the file: a character that was cut in half is left out and not an error.
        text = getincrementaldecoder("utf-8-sig")().decode(head, final=is_whole)
    except UnicodeDecodeError as error:
        return f"{path}:{head.count(10, 0, error.start) + 1}: This is not UTF-8 text."
    if not text.strip():
        # A byte order mark, or a part of one.
        return f"{path} holds no text."
    problem, columns = _look(path, suffix, text, is_whole)
    if problem or columns is None or is_described:
        return problem
    fault = misfit(stage, columns)
    if fault is None:
        return None
    commas = " A CSV file's columns are parted by commas." if suffix == ".csv" and len(columns) == 1 else ""
    return f"{path} {fault.what}: {fault.known}.{commas}"


def _look(path: str, suffix: str, text: str, is_whole: bool) -> tuple[str | None, list[str] | None]:
    """What is wrong with a text, and the columns of its first record; None for what cannot be told."""
    if suffix == ".txt":
        return None, ["text"]
    if suffix == ".csv":
        import csv

        if "\n" not in text.strip():
            return (f"{path} has no rows under its head line." if is_whole else None), None
        return None, next(csv.reader(text.splitlines()))
    # As the worker does: many .json files in the wild are JSON lines.
    if suffix == ".jsonl" or text.lstrip()[0] == "{":
        return _problem_in_json_lines(path, text, is_whole), _columns(text.lstrip())
    return _problem_in_json(path, text, is_whole), _columns(text.lstrip().removeprefix("[").lstrip())


def _columns(text: str) -> list[str] | None:
    """The names in the JSON object that ``text`` begins with; None if it is cut short."""
    import json

    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return list(record) if isinstance(record, dict) else None


def _problem_in_json_lines(path: str, text: str, is_whole: bool) -> str | None:
    import json

    # Not splitlines(), which also breaks at U+2028 and U+0085; JSON allows both inside a text.
    lines = text.split("\n")
    if text.lstrip().startswith("["):
        return f"{path}:1: This is one JSON list, not one object per line; name the file .json."
    for number, line in enumerate(lines, 1):
        # A single line longer than what was read cannot be judged.
        if not line.strip() or (len(lines) == 1 and not is_whole):
            continue
        try:
            if not isinstance(json.loads(line), dict):
                return f"{path}:{number}: Each line must be a JSON object in braces."
        except (ValueError, RecursionError) as error:
            if number == 1 and path.endswith(".json"):
                return f"{path}: A JSON dataset is a list of objects, beginning with '[', or one object per line."
            return f"{path}:{number}: This line is not JSON: {getattr(error, 'msg', 'nested too deep')}."
    return None


def _problem_in_json(path: str, text: str, is_whole: bool) -> str | None:
    import json

    if text.lstrip()[0] != "[":
        return f"{path}: A JSON dataset is a list of objects, beginning with '[', or one object per line."
    if not is_whole:
        return None
    try:
        examples = json.loads(text)
    except RecursionError:
        return f"{path}: The JSON is nested too deep."
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        return f"{path}:{line}: This is not JSON: {getattr(error, 'msg', error)}."
    if not examples or not isinstance(examples[0], dict):
        return f"{path} holds no list of objects."
    return None
