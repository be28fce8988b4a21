"""What is said about a configuration: errors, warnings, translations, and keys without effect."""

from typing import Any, NamedTuple

# Texts longer than this are cut when they are quoted back to the user.
QUOTED_LENGTH = 80


class Place(NamedTuple):
    """Where a value was written: a layer such as ``file demo.yaml`` or ``--set``, and a line if it has one."""

    layer: str
    line: int | None = None

    @property
    def origin(self) -> str:
        """The place as it is stored with a value: ``file demo.yaml:12``."""
        return self.layer if self.line is None else f"{self.layer}:{self.line}"

    @property
    def shown(self) -> str:
        """The place as it stands in front of a message: ``demo.yaml:12``."""
        return self.origin.removeprefix("file ")


class Finding(NamedTuple):
    """One thing that is wrong or doubtful; ``message`` is complete in itself: where, what, and what to do."""

    key: str
    message: str
    line: int | None = None
    found: str | None = None
    allowed: str | None = None
    suggestion: str | None = None
    layer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as ``fttui check --json`` prints it."""
        return self._asdict()


class Translated(NamedTuple):
    """An old spelling that was understood, and what it was read as."""

    old: str
    new: str
    line: int | None
    why: str

    def to_json(self) -> dict[str, Any]:
        """The translation as ``fttui check --json`` prints it."""
        return {"from": self.old, "to": self.new, "line": self.line, "why": self.why}


class Ignored(NamedTuple):
    """A key that is known elsewhere and has no effect here."""

    key: str
    why: str
    line: int | None

    def to_json(self) -> dict[str, Any]:
        """The key as ``fttui check --json`` prints it."""
        return self._asdict()


class Findings:
    """All that was found, in the order in which it was found."""

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []
        self.translated: list[Translated] = []
        self.ignored: list[Ignored] = []

    def error(self, key: str, text: str, place: Place | None = None, **details: Any) -> None:
        """Add an error; ``text`` is the sentence without the place."""
        self.errors.append(_finding(key, text, place, details))

    def warn(self, key: str, text: str, place: Place | None = None, **details: Any) -> None:
        """Add a warning; ``text`` is the sentence without the place."""
        self.warnings.append(_finding(key, text, place, details))


def _finding(key: str, text: str, place: Place | None, details: dict[str, Any]) -> Finding:
    if place is None:
        return Finding(key, text, **details)
    return Finding(key, f"{place.shown}: {text}", line=place.line, layer=place.layer, **details)


def quoted(text: str) -> str:
    """``text`` in quotes on one line, cut when it is long, with control characters made visible."""
    shown = text if len(text) <= QUOTED_LENGTH else text[: QUOTED_LENGTH - 3] + "..."
    return repr(shown)


def nearest(word: str, candidates: "list[str] | tuple[str, ...]") -> str | None:
    """The candidate that ``word`` was probably meant to be, if one is near enough."""
    # difflib costs 3 ms to import; most configurations are spelled right.
    import difflib

    # Similarity takes quadratic time, so a word of a megabyte is not even looked at.
    if len(word) > QUOTED_LENGTH:
        return None
    lowered = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), list(lowered), n=1, cutoff=0.7)
    if not found:
        found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.7)
    return lowered[found[0]] if found else None
