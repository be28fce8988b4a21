"""Where each key of a YAML text stands: offsets of key and value, so that one value is changed and nothing else."""

from typing import Any, NamedTuple

from fttui_engine.spec.document import parse_node
from fttui_engine.spec.nodes import DocumentError


class Place(NamedTuple):
    """A key and its value; ``value_end`` is behind the last character that belongs to the value."""

    path: tuple[str, ...]
    key_start: int
    key_end: int
    value_start: int
    value_end: int
    line: int
    column: int
    in_braces: bool
    value_is: str
    """``scalar``, ``items``, ``block``, or ``braces`` for ``{a: 1}``."""
    leaves: tuple[tuple[int, int], ...]
    """From where to where the single values in it go; what is between them may be a comment."""


def find_places(text: str) -> list[Place]:
    """Return every key in the order of the text; raises DocumentError where it is no configuration."""
    # The engine's own parser goes first: it bounds depth and number of values, which PyYAML's composer does not.
    if parse_node(text) is None:
        return []
    root = _compose(text)
    if root is None or root.id == "scalar":
        return []
    if root.id != "mapping":
        raise DocumentError("A configuration is lines of `key: value`.", root.start_mark.line + 1)
    return _places(text, root, ())


def root_is_in_braces(text: str) -> bool:
    """Return whether the whole text stands in braces, as JSON does."""
    return text.lstrip()[:1] == "{"


def _compose(text: str) -> Any:
    import yaml

    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        # JSON with tabs or comments, which the engine's parser takes.
        raise DocumentError("Only the text can be edited: it is no plain YAML.") from None


def _places(text: str, mapping: Any, above: tuple[str, ...]) -> list[Place]:
    found: list[Place] = []
    for key, value in mapping.value:
        if key.id != "scalar":
            continue
        path = (*above, key.value)
        leaves = tuple(_leaves(text, value))
        is_spread = value.id != "scalar" and not value.flow_style
        start = value.start_mark.index
        end = max((leaf[1] for leaf in leaves), default=start) if is_spread else _end(text, value)
        kind = {"scalar": "scalar", "sequence": "items"}.get(value.id, "block" if is_spread else "braces")
        column = key.start_mark.column
        found.append(
            Place(
                path,
                key.start_mark.index,
                key.end_mark.index,
                start,
                end,
                key.start_mark.line + 1,
                column,
                bool(mapping.flow_style),
                kind,
                leaves,
            )
        )
        if value.id == "mapping":
            found += _places(text, value, path)
    return found


def _leaves(text: str, node: Any) -> list[tuple[int, int]]:
    if node.id == "scalar":
        return [(node.start_mark.index, _end(text, node))]
    if not node.value:
        return [(node.start_mark.index, node.end_mark.index)]
    inner = node.value if node.id == "sequence" else [part for pair in node.value for part in pair]
    leaves = [leaf for part in inner for leaf in _leaves(text, part)]
    if node.flow_style:
        # Its closing bracket, which no single value in it reaches.
        leaves.append((node.end_mark.index - 1, node.end_mark.index))
    return leaves


def _end(text: str, node: Any) -> int:
    """The end of a value: PyYAML lets that of a block of text (``|``) reach to whatever comes next."""
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    return start + len(text[start:end].rstrip())
