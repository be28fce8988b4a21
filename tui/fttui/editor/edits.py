"""Changing one key of a YAML text: comments, order and everything else stay as they are, which each edit proves."""

import re
from pathlib import Path
from typing import Any

from fttui.editor.places import Place, find_places, root_is_in_braces
from fttui.editor.written import quoted
from fttui_engine.errors import FttuiError
from fttui_engine.spec.findings import Findings
from fttui_engine.spec.keys import GROUPS, KEYS
from fttui_engine.spec.layers import Entry, file_entries, merge
from fttui_engine.spec.nodes import Block, Items, Node, Scalar

INDENT = "  "
COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)


class NotEditableError(FttuiError):
    """The form cannot make this change; the text can."""


def set_key(text: str, name: str, value: str) -> str:
    """Return the text with a key set to a value, which is YAML on one line; raises NotEditableError."""
    before = written_entries(text)
    if name in before:
        text = _in_todays_words(text, name, before)
        *doubles, kept = _places_of(text, name, written_entries(text))
        for each in reversed(doubles):
            text = _without(text, each)
            kept = _places_of(text, name, written_entries(text))[-1]
        after = _with_value(text, kept, value)
    else:
        after = _with_new_key(text, name, value)
    _prove(before, after, name, value)
    return after


def unset_key(text: str, name: str) -> str:
    """Return the text without a key, and without its comment at the end of the line; raises NotEditableError."""
    before = written_entries(text)
    after = text
    while name in (entries := written_entries(after)):
        after = _in_todays_words(after, name, entries)
        shorter = _without(after, _places_of(after, name, written_entries(after))[-1])
        if len(shorter) >= len(after):
            raise _not_editable(name, entries[name].place.line)
        after = shorter
    _prove(before, after, name, None)
    return after


def written_entries(text: str) -> dict[str, Entry]:
    """Return what a text says, by today's names of the keys; nothing where it is empty."""
    findings = Findings()
    entries = merge([file_entries(Path(), "file", findings, text)], findings)
    broken = [error for error in findings.errors if not error.key]
    if broken and find_places(text):
        raise NotEditableError(broken[0].message, "change it in the text")
    return entries


def bare(node: Node) -> Any:
    """Return a value without the lines that it stands in, to be compared."""
    match node:
        case Scalar():
            return (node.text, node.is_null)
        case Items():
            return [bare(item) for item in node.items]
        case Block():
            return {key.text: bare(value) for key, value in node.entries}


def _prove(before: dict[str, Entry], text: str, name: str, value: str | None) -> None:
    """Whatever YAML can be: the key says what it was to say, and every other key what it said before."""
    after = written_entries(text)
    others = {key: bare(entry.node) for key, entry in before.items() if key != name}
    if others != {key: bare(entry.node) for key, entry in after.items() if key != name}:
        raise _not_editable(name, before[name].place.line if name in before else None)
    wanted = None if value is None else _entry_of(name, value)
    is_right = name not in after if wanted is None else name in after and bare(after[name].node) == wanted
    if not is_right:
        raise _not_editable(name, before[name].place.line if name in before else None)


def _entry_of(name: str, value: str) -> Any:
    *parents, last = name.split(".")
    lines = [f"{INDENT * depth}{parent}:" for depth, parent in enumerate(parents)]
    text = "\n".join([*lines, f"{INDENT * len(parents)}{last}: {value}"])
    entries = written_entries(text)
    return bare(entries[name].node) if name in entries else None


def _not_editable(name: str, line: int | None) -> NotEditableError:
    where = f" in line {line}" if line else ""
    return NotEditableError(
        f"{name} is written{where} in a way that the form cannot change",
        "ctrl+t shows the text; change it there",
    )


def _places_of(text: str, name: str, entries: dict[str, Entry]) -> list[Place]:
    """Where a key is written: under its own name, or else in the line that it was read from."""
    path = tuple(name.split("."))
    places = find_places(text)
    named = [place for place in places if place.path == path]
    line = entries[name].place.line if name in entries else None
    found = named or [place for place in places if place.line == line and place.value_is != "block"]
    if not found:
        raise _not_editable(name, line)
    return found if named else found[:1]


def _in_todays_words(text: str, name: str, entries: dict[str, Entry]) -> str:
    """The text with the line of an old spelling written as the keys that it stands for."""
    place = _places_of(text, name, entries)[-1]
    if place.path == tuple(name.split(".")) or len(place.path) > 1 or place.in_braces:
        return text
    line = entries[name].place.line
    together = {key: entry.node for key, entry in entries.items() if entry.place.line == line}
    single = {key: node for key, node in together.items() if isinstance(node, Scalar) and "." not in key}
    if len(single) < len(together):
        return text
    tail_at = text.find("\n", place.value_end)
    comment = text[place.value_end : tail_at if tail_at >= 0 else len(text)]
    written = [f"{key}: {node.text if node.plain else quoted(node.text)}" for key, node in single.items()]
    written[0] += comment
    return text[: place.key_start] + "\n".join(written) + (text[tail_at:] if tail_at >= 0 else "")


def _with_value(text: str, place: Place, value: str) -> str:
    colon = text.index(":", place.key_end)
    between = text[colon + 1 : place.value_start]
    is_beside = "\n" not in between and between
    gap = between if is_beside else " "
    if place.value_start == place.value_end and is_beside:
        # `key:   # comment`: what stands between the colon and the comment is all there is.
        return f"{text[: colon + 1]} {value}{text[colon + 1 :]}"
    comments = [
        found[0]
        for found in COMMENT.finditer(text, colon + 1, place.value_end)
        if not any(start <= found.start() < end for start, end in place.leaves)
    ]
    lines = [f"{text[: colon + 1]}{gap}{_in_context(value, place, text)}"]
    if comments and "\n" not in between.partition("#")[0]:
        lines[0] += INDENT + comments.pop(0)
    indent = " " * place.column + INDENT
    lines += [indent + comment for comment in comments]
    rest = text[place.value_end :]
    if len(lines) > 1 and rest.lstrip(" ").startswith("#"):
        rest = f"\n{indent}{rest.lstrip(' ')}"
    return "\n".join(lines) + rest


def _in_context(value: str, place: Place, text: str) -> str:
    return _in_json(value) if place.in_braces and text[place.key_start] == '"' else value


def _in_json(value: str) -> str:
    """A value beside quoted keys: what JSON has no word for is put in quotes too."""
    if value[:1] in '"[{' or value in ("true", "false", "null"):
        return value
    return value if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value) else quoted(value)


def _without(text: str, place: Place) -> str:
    siblings = [each for each in find_places(text) if each.path[:-1] == place.path[:-1]]
    at = siblings.index(place)
    if place.in_braces:
        if at + 1 < len(siblings):
            return text[: place.key_start] + text[siblings[at + 1].key_start :]
        start = siblings[at - 1].value_end if at else place.key_start
        return text[:start] + text[place.value_end :]
    parent = [each for each in find_places(text) if each.path == place.path[:-1]]
    if len(siblings) == 1 and parent and not _comments_between(text, parent[0], place):
        return _without(text, parent[0])
    start = text.rfind("\n", 0, place.key_start) + 1
    end = text.find("\n", place.value_end)
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _comments_between(text: str, parent: Place, child: Place) -> bool:
    return "#" in text[parent.key_end : child.key_start]


def _with_new_key(text: str, name: str, value: str) -> str:
    places = find_places(text)
    path = tuple(name.split("."))
    parent = next((each for each in places if each.path == path[:-1]), None) if path[:-1] else None
    if path[:-1] and parent is None:
        *above, last = path[:-1]
        if not above:
            return _at_the_end(text, [f"{last}:", *_lines(path[1:], value, INDENT)], is_block=True)
        grandparent = next((each for each in places if each.path == tuple(above)), None)
        if grandparent is None:
            return _at_the_end(text, _lines(path, value, ""), is_block=True)
        return _under(text, grandparent, places, path[len(above) :], value)
    if parent is not None:
        return _under(text, parent, places, path[-1:], value)
    top = [each for each in places if len(each.path) == 1]
    if root_is_in_braces(text):
        return _in_braces(text, top, text.index("{") + 1, path, value)
    anchor = _anchor(name, top)
    return (
        _behind(text, anchor, _lines(path, value, ""))
        if anchor
        else _at_the_end(text, _lines(path, value, ""))
    )


def _lines(path: tuple[str, ...], value: str, indent: str) -> list[str]:
    *parents, last = path
    lines = [f"{indent}{INDENT * depth}{parent}:" for depth, parent in enumerate(parents)]
    return [*lines, f"{indent}{INDENT * len(parents)}{last}: {value}"]


def _under(text: str, parent: Place, places: list[Place], path: tuple[str, ...], value: str) -> str:
    children = [each for each in places if each.path[:-1] == parent.path]
    if parent.value_is == "braces":
        return _in_braces(text, children, parent.value_start + 1, path, value)
    if children:
        return _behind(text, children[-1], _lines(path, value, " " * children[0].column))
    return _behind(text, parent, _lines(path, value, " " * parent.column + INDENT))


def _in_braces(text: str, siblings: list[Place], opening: int, path: tuple[str, ...], value: str) -> str:
    is_json = '"' in text[opening : siblings[0].key_end] if siblings else False
    if is_json:
        value = _in_json(value)
    for part in reversed(path[1:]):
        value = f'{{"{part}": {value}}}' if is_json else f"{{{part}: {value}}}"
    entry = f'"{path[0]}": {value}' if is_json else f"{path[0]}: {value}"
    if not siblings:
        return text[:opening] + entry + text[opening:]
    last = siblings[-1]
    line_start = text.rfind("\n", 0, last.key_start) + 1
    before_key = text[line_start : last.key_start]
    gap = f"\n{before_key}" if line_start and not before_key.strip() else " "
    return f"{text[: last.value_end]},{gap}{entry}{text[last.value_end :]}"


def _anchor(name: str, top: list[Place]) -> Place | None:
    """The key that a new one is written behind: the nearest of its group, else the last of the groups before."""
    order = {key: number for number, key in enumerate(KEYS)}
    group_of = {key.name: number for number, keys in enumerate(GROUPS.values()) for key in keys}
    single = [each for each in top if each.value_is != "block"]
    known = [each for each in single if each.path[0] in order]
    beside = [each for each in known if group_of[each.path[0]] == group_of[name]]
    if before := [each for each in beside if order[each.path[0]] < order[name]]:
        return max(before, key=lambda each: order[each.path[0]])
    if beside:
        return min(beside, key=lambda each: order[each.path[0]])
    if earlier := [each for each in known if group_of[each.path[0]] < group_of[name]]:
        return max(earlier, key=lambda each: (group_of[each.path[0]], each.key_start))
    return single[-1] if single else top[-1] if top else None


def _behind(text: str, place: Place, lines: list[str]) -> str:
    end = text.find("\n", place.value_end)
    added = "\n".join(lines)
    return f"{text}\n{added}\n" if end < 0 else f"{text[: end + 1]}{added}\n{text[end + 1 :]}"


def _at_the_end(text: str, lines: list[str], *, is_block: bool = False) -> str:
    if text and not text.endswith("\n"):
        text += "\n"
    gap = "\n" if is_block and text.strip() and not text.endswith("\n\n") else ""
    return text + gap + "\n".join(lines) + "\n"
