"""The layers that a configuration is made of: profile < file < command line, merged key by key."""

from typing import TYPE_CHECKING, NamedTuple

from fttui_engine.spec.document import parse_document, parse_node, read_document
from fttui_engine.spec.findings import Findings, Ignored, Place, Translated, quoted
from fttui_engine.spec.foreign_files import foreign_file
from fttui_engine.spec.keys import BLOCKS, KEYS
from fttui_engine.spec.nodes import Block, DocumentError, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

COMMAND_LINE = "--set"


class Entry(NamedTuple):
    """One key as it was written in one layer."""

    key: str
    node: Node
    place: Place


def file_entries(path: "Path", layer: str, findings: Findings, text: str | None = None) -> list[Entry]:
    """What the YAML file at ``path`` says, or ``text`` in its place; what cannot be used becomes an error."""
    try:
        document = read_document(path) if text is None else parse_document(text)
    except DocumentError as error:
        findings.error("", error.message, Place(layer, error.line))
        return []
    if sentence := foreign_file(document):
        findings.error("", sentence, Place(layer))
        return []
    return _flatten(document, layer, "", findings)


def override_entries(overrides: "Sequence[str]", findings: Findings) -> list[Entry]:
    """What ``KEY=VALUE`` words of the command line say."""
    entries = []
    place = Place(COMMAND_LINE)
    for word in overrides:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not equals or not key:
            findings.error(
                key or word, f"{quoted(word)} is not of the form KEY=VALUE.", place, allowed="KEY=VALUE"
            )
            continue
        try:
            node = _override_node(key, text)
        except DocumentError as error:
            findings.error(
                key, f"The value of {key} is a list or block that YAML cannot read: {error.message}", place
            )
            continue
        if key in BLOCKS:
            entries += _flatten(
                Block([(Scalar(key, 1), node)], 1), COMMAND_LINE, "", findings, with_lines=False
            )
        elif key.startswith("run.environment."):
            entries.append(Entry("run.environment", Block([(Scalar(key[16:], 1), node)], 1), place))
        else:
            entries.append(Entry(key, node, place))
    return entries


def merge(layers: "Iterable[list[Entry]]", findings: Findings) -> dict[str, Entry]:
    """One entry per key, the last layer's; old spellings are translated on the way."""
    merged: dict[str, Entry] = {}
    for layer in layers:
        written: dict[str, Entry] = {}
        for entry, current in _in_todays_spelling(layer, findings):
            earlier = written.get(current.key)
            if earlier is not None and earlier.place.layer != COMMAND_LINE:
                _report_twice(entry, current, earlier, findings)
            adds_up = current.key == "run.environment" and current.key in merged
            added = _with_variables_of(merged[current.key], current) if adds_up else current
            written[current.key] = merged[current.key] = added
    return merged


def _in_todays_spelling(layer: list[Entry], findings: Findings) -> "Iterator[tuple[Entry, Entry]]":
    """The entries as they were written, each with what it is called here."""
    for entry in layer:
        if entry.key in KEYS and not isinstance(entry.node, Scalar):
            yield entry, entry
        else:
            for current in _current(entry, findings):
                yield entry, current


def _override_node(key: str, text: str) -> Node:
    """The value of one ``--set``: only a list or block is read as YAML, anything else is the text as it stands."""
    if text.lstrip()[:1] not in ("[", "{"):
        return Scalar(text.strip(), 1)
    known = KEYS.get(key)
    if known is not None and known.kind == "text":
        return Scalar(text, 1)
    return parse_node(text) or Scalar("", 1)


def _flatten(
    block: Block, layer: str, prefix: str, findings: Findings, *, with_lines: bool = True
) -> list[Entry]:
    entries = []
    for key, node in block.entries:
        name = prefix + key.text
        place = Place(layer, key.line if with_lines else None)
        if name not in BLOCKS:
            unfolded = _unfolded(name, node, place, findings) if isinstance(node, Block) else None
            entries += [Entry(name, node, place)] if unfolded is None else unfolded
        elif isinstance(node, Block):
            entries += _flatten(node, layer, name + ".", findings, with_lines=with_lines)
        elif not (isinstance(node, Scalar) and node.is_null):
            findings.error(
                name,
                f"{name} must be a block of indented keys.",
                place,
                found="a list" if not isinstance(node, Scalar) else quoted(node.text),
                allowed="a block of keys",
            )
    return entries


def _unfolded(name: str, block: Block, place: Place, findings: Findings) -> list[Entry] | None:
    """The keys that a block of another project stands for; None if it is none."""
    from fttui_engine.spec.foreign_blocks import GROUPING, unfold

    if name not in GROUPING:
        return None
    entries = []
    for read in unfold(name, block):
        line = read.line if place.line is not None else None
        if read.key is None:
            findings.ignored.append(Ignored(read.path, read.why, line))
        else:
            findings.translated.append(Translated(read.path, read.key, line, read.why))
            entries.append(Entry(read.key, read.node, Place(place.layer, line)))
    return entries


def _current(entry: Entry, findings: Findings) -> list[Entry]:
    """``entry`` in today's spelling: one, seldom two, and none where it only says what is so anyway."""
    from fttui_engine.spec.spellings import says_nothing, translate

    value = entry.node if isinstance(entry.node, Scalar) else None
    if why := says_nothing(entry.key, value):
        findings.ignored.append(Ignored(entry.key, why, entry.place.line))
        return []
    entries = []
    for new_key, new_value, why in translate(entry.key, value):
        node = entry.node if new_value is None else new_value
        shown = (entry.key, new_key)
        if value is not None and new_value is not None and new_value.text != value.text:
            shown = (f"{entry.key}: {value.text}", f"{new_key}: {new_value.text}")
        findings.translated.append(Translated(*shown, entry.place.line, why))
        entries.append(Entry(new_key, node, entry.place))
    return entries or [entry]


def _report_twice(entry: Entry, current: Entry, earlier: Entry, findings: Findings) -> None:
    also = "" if entry.key == current.key else f" (as {entry.key})"
    findings.error(
        current.key,
        f"{current.key} is given twice{also}; the first time in line {earlier.place.line}. Remove one of them.",
        entry.place,
        found=f"lines {earlier.place.line} and {entry.place.line}",
        allowed="each key once",
    )


def _with_variables_of(earlier: Entry, later: Entry) -> Entry:
    """Environment variables add up over the layers instead of replacing each other."""
    if not isinstance(earlier.node, Block) or not isinstance(later.node, Block):
        return later
    names = {name.text for name, _ in later.node.entries}
    kept = [(name, node) for name, node in earlier.node.entries if name.text not in names]
    return later._replace(node=Block(kept + later.node.entries, later.node.line))
