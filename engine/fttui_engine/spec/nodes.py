"""What a YAML text is to us: a small tree of texts that remember their line."""

from typing import NamedTuple

# The largest configuration we have seen is 6 KiB.
MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NODES = 20_000

NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Scalar(NamedTuple):
    """A single value as it was written."""

    text: str
    line: int
    plain: bool = True

    @property
    def is_null(self) -> bool:
        """Whether the value stands for nothing; a quoted "null" is a text."""
        return self.plain and self.text in NULLS


class Items(NamedTuple):
    """A list of values."""

    items: "list[Node]"
    line: int


class Block(NamedTuple):
    """A mapping; a key that was written twice stands here twice."""

    entries: "list[tuple[Scalar, Node]]"
    line: int


Node = Scalar | Items | Block


class DocumentError(Exception):
    """The text as a whole cannot be used; says in which line, if it is in one."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
