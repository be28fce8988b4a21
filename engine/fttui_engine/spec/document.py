"""One YAML text as a tree of texts with lines: the file is read here, two parsers share the rest."""

import stat
from typing import TYPE_CHECKING

from fttui_engine.spec.nodes import MAX_BYTES, Block, DocumentError, Node, Scalar
from fttui_engine.spec.simple_yaml import parse_simple

if TYPE_CHECKING:
    from pathlib import Path


def read_document(path: "Path") -> Block:
    """The mapping in the file at ``path``."""
    return parse_document(read_text(path))


def read_text(path: "Path") -> str:
    """The text of the file at ``path``, where it may be a configuration."""
    try:
        status = path.stat()
        # A pipe or a device could block for ever or never end.
        if stat.S_ISDIR(status.st_mode):
            raise DocumentError("This is a folder; give the YAML file itself.")
        if not stat.S_ISREG(status.st_mode):
            raise DocumentError("This is not a regular file.")
        if status.st_size > MAX_BYTES:
            raise DocumentError(f"The file has {status.st_size:,} bytes; {MAX_BYTES:,} are allowed.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise DocumentError("There is no such file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DocumentError(f"The file cannot be read: {reason}.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError("The file is not UTF-8 text.", line) from None


def parse_document(text: str) -> Block:
    """The mapping that ``text`` holds."""
    root = parse_node(_json_as_yaml(text) if text.lstrip()[:1] == "{" else text)
    if root is None or (isinstance(root, Scalar) and root.is_null):
        raise DocumentError("There is nothing in it; a configuration is lines of `key: value`.")
    if not isinstance(root, Block):
        raise DocumentError(
            "A configuration is lines of `key: value`, not a list or a single value.", root.line
        )
    return root


def parse_node(text: str) -> Node | None:
    """The single value, list or mapping that ``text`` holds; None when it is empty."""
    if len(text) > MAX_BYTES:
        raise DocumentError(f"The text has more than {MAX_BYTES:,} characters.")
    simple = parse_simple(text)
    if simple is not None:
        return simple
    from fttui_engine.spec.full_yaml import parse_full

    return parse_full(text)


def _json_as_yaml(text: str) -> str:
    """JSON with what YAML's notation in braces does not have: tabs, comments, and escaped pairs of surrogates."""
    import re

    def pair(match: "re.Match[str]") -> str:
        high, low = int(match[1], 16), int(match[2], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    def part(match: "re.Match[str]") -> str:
        found = match[0]
        if found.startswith('"'):
            return re.sub(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", pair, found, flags=re.IGNORECASE)
        # The lines keep their numbers.
        return re.sub(r"[^\n]", " ", found)

    comment = r"(?<![^\s,{\[\]}])(?://[^\n]*|/\*.*?\*/)"
    return re.sub(rf'"(?:\\.|[^"\\])*"|{comment}|\t', part, text, flags=re.DOTALL)
