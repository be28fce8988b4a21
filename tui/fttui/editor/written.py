"""Values as people read and type them, and as they are written into a YAML text."""

import json
from typing import Any

from fttui_engine.spec.document import parse_node
from fttui_engine.spec.keys import Key
from fttui_engine.spec.nodes import Block, DocumentError, Items, Node, Scalar
from fttui_engine.spec.values import MismatchError, allowed_text, convert

YAML_1_1_WORDS = frozenset({"", "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"})
LISTS_AND_BLOCKS = frozenset(
    {"texts", "settings", "gpus", "nodes", "rank_batches", "environment", "command", "slurm_lines"}
)
"""Kinds of keys whose values may be lists or blocks."""


def shown(node: Node) -> str:
    """Return a value on one line, as a person would type it."""
    if isinstance(node, Scalar):
        text = node.text
        is_ambiguous = not node.plain and (Scalar(text, 1).is_null or text[:1] in "\"'[{")
        return quoted(text) if is_ambiguous or not text.isprintable() else text
    return _flow(node)


def shown_value(value: Any) -> str:
    """Return a value of the configuration, such as a default, in the same way."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_word(str(item)) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_word(shown_value(item))}" for name, item in value.items()) + "}"
    return str(value)


def typed_as_yaml(key: Key, typed: str) -> str:
    """Return the YAML of what was typed for a key; raises MismatchError that says what would be right."""
    typed = typed.strip()
    node = _parsed(typed)
    if key.kind in LISTS_AND_BLOCKS:
        if node is None:
            raise MismatchError(quoted(typed), allowed_text(key))
        convert(key, node)
        return typed
    if isinstance(node, Scalar) and (not node.plain or node.text == typed):
        convert(key, node)
        return typed
    convert(key, Scalar(typed, 1, plain=False))
    return quoted(typed)


def value_as_yaml(value: Any) -> str:
    """Return the YAML of a value of the configuration, such that YAML 1.1 takes texts for texts and numbers for numbers."""
    if isinstance(value, str):
        return quoted(value) if _is_something_else(value) else _word(value)
    if isinstance(value, float):
        mantissa, mark, exponent = shown_value(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}" if mark else mantissa
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_as_yaml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {value_as_yaml(item)}" for name, item in value.items()) + "}"
    return shown_value(value)


def _is_something_else(text: str) -> bool:
    """Whether YAML 1.1 takes a bare text for a number or a truth value."""
    try:
        float(text.replace("_", ""))
    except ValueError:
        return text.lower() in YAML_1_1_WORDS
    return True


def quoted(text: str) -> str:
    """Return a text in double quotes, as YAML and JSON write it."""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped)


def _parsed(typed: str) -> Node | None:
    """The value that YAML reads behind ``key: ``; None where it reads none."""
    if "\n" in typed:
        return None
    try:
        document = parse_node(f"key: {typed}")
    except DocumentError:
        return None
    if not isinstance(document, Block) or len(document.entries) != 1:
        return None
    return document.entries[0][1]


def _word(text: str) -> str:
    """A text as it may stand in brackets."""
    if text and text.isprintable() and not set(text) & set(",[]{}:#&*!|>'\"%@`") and text.strip() == text:
        return (
            quoted(text) if Scalar(text, 1).is_null or (text[0] in "-?" and text[1:2] in ("", " ")) else text
        )
    return text if _is_plain_path(text) else quoted(text)


def _is_plain_path(text: str) -> bool:
    """Texts such as ``demo:tiny``: a colon without a space is no mark."""
    node = _parsed(f"[{text}]")
    return (
        isinstance(node, Items)
        and len(node.items) == 1
        and isinstance(node.items[0], Scalar)
        and node.items[0] == (text, node.items[0].line, True)
    )


def _flow(node: Node) -> str:
    match node:
        case Scalar():
            return _word(node.text) if node.plain or node.text else quoted(node.text)
        case Items():
            return "[" + ", ".join(_flow(item) for item in node.items) + "]"
        case Block():
            return "{" + ", ".join(f"{_word(key.text)}: {_flow(value)}" for key, value in node.entries) + "}"
