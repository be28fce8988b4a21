"""One written value against its key: the value in the key's type, or what is wrong with it."""

from typing import Any, NoReturn

from fttui_engine.spec.findings import nearest, quoted
from fttui_engine.spec.keys import Key
from fttui_engine.spec.nodes import Block, Items, Node, Scalar

TRUE = frozenset({"true", "yes", "on"})
FALSE = frozenset({"false", "no", "off"})

# Steps, seeds and sizes beyond this are slips of the keyboard.
WHOLE_LIMIT = 2**31 - 1
# Rate-like numbers beyond this overflow float32.
NUMBER_LIMIT = 3.4e38


class MismatchError(Exception):
    """A value does not fit its key."""

    def __init__(self, found: str, allowed: str, suggestion: str | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.allowed = allowed
        self.suggestion = suggestion


def convert(key: Key, node: Node) -> Any:
    """The value of ``node`` in the type of ``key``; None when it was written as null or an empty list."""
    if isinstance(node, Scalar) and node.is_null:
        return None
    match key.kind:
        case "flag":
            return _flag(key, node)
        case "whole" | "number" | "interval" | "amount":
            return _number(key, node)
        case "choice":
            return _choice(key, node)
        case "texts":
            return _texts(key, node)
        case "settings":
            return _settings(key, node)
        case "text" | "path":
            return _text(key, node)
        case _:
            from fttui_engine.spec.run_block import convert_run_value

            return convert_run_value(key, node)


def allowed_text(key: Key) -> str:
    """What ``key`` takes, in words."""
    match key.kind:
        case "flag":
            return "true or false"
        case "choice":
            return "one of " + ", ".join(key.choices) if len(key.choices) > 1 else key.choices[0]
        case "texts":
            return "a text, or a list of texts"
        case "settings":
            return "a block of NAME: value, or NAME=value,NAME=value"
        case "text":
            return "a text"
        case "path":
            return "a path or name"
        case "whole":
            return " or ".join(key.choices) or "a whole number" + _range_text(key)
        case "interval":
            return "a whole number of steps of at least 1, or a fraction of the run below 1" + (
                " (0 for none)" if key.at_least == 0 else ""
            )
        case "amount":
            return "a whole number of examples, or a fraction between 0 and 1"
        case _:
            return "a number" + _range_text(key)


def text_of(node: Node) -> str:
    """``node`` as it is quoted back to the user."""
    match node:
        case Scalar():
            return quoted(node.text)
        case Items():
            return f"a list of {len(node.items)}"
        case Block():
            return f"a block of {len(node.entries)} keys"


def plain_text(key: Key, node: Node) -> str:
    """The text of a scalar, refused if it is none or holds what no path, name or argument may hold."""
    if not isinstance(node, Scalar):
        raise MismatchError(text_of(node), allowed_text(key))
    forbidden = "\0" if key.name == "default_system" else "\0\n\r\x1b"
    if any(character in node.text for character in forbidden):
        raise MismatchError(quoted(node.text), "a text without control characters")
    if any("\ud800" <= character <= "\udfff" for character in node.text):
        raise MismatchError(quoted(node.text), "a text in UTF-8")
    return node.text


def _range_text(key: Key) -> str:
    parts = []
    if key.at_least is not None:
        parts.append(f"of at least {key.at_least}")
    if key.above is not None:
        parts.append(f"above {key.above}")
    if key.at_most is not None:
        parts.append(f"of at most {key.at_most}")
    if key.below is not None:
        parts.append(f"below {key.below}")
    return " " + " and ".join(parts) if parts else ""


def _mismatch(key: Key, node: Node, suggestion: str | None = None) -> NoReturn:
    raise MismatchError(text_of(node), allowed_text(key), suggestion)


def _flag(key: Key, node: Node) -> bool:
    if isinstance(node, Scalar):
        word = node.text.lower()
        if word in TRUE:
            return True
        if word in FALSE:
            return False
        _mismatch(key, node, {"1": "true", "0": "false"}.get(word) or nearest(word, ("true", "false")))
    _mismatch(key, node)


def _number(key: Key, node: Node) -> int | float:
    if not isinstance(node, Scalar) or not node.text.isascii():
        _mismatch(key, node)
    try:
        number = float(node.text)
    except ValueError:
        _mismatch(key, node, _number_suggestion(node.text))
    # The comparison is False for nan as well.
    if not abs(number) < NUMBER_LIMIT:
        _mismatch(key, node)
    is_whole = number.is_integer() and abs(number) <= WHOLE_LIMIT
    if key.kind == "whole" and key.at_most is None and number > WHOLE_LIMIT:
        raise MismatchError(text_of(node), f"{allowed_text(key)}, and of at most {WHOLE_LIMIT}")
    if key.kind == "whole" and not (number.is_integer() and abs(number) <= (key.at_most or WHOLE_LIMIT)):
        _mismatch(key, node)
    if key.kind in ("interval", "amount") and not (is_whole or 0 < number < 1):
        _mismatch(key, node)
    if not _in_range(key, number) or (key.choices and f"{number:g}" not in key.choices):
        _mismatch(key, node)
    return number if key.kind == "number" or not number.is_integer() else int(number)


def _number_suggestion(text: str) -> str | None:
    """``0.0001`` for ``0,0001``: a comma is how much of the world writes the point."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return None
    return text.replace(",", ".")


def _in_range(key: Key, number: float) -> bool:
    if key.kind == "amount" and number < 0:
        return False
    return (
        (key.at_least is None or number >= key.at_least)
        and (key.above is None or number > key.above)
        and (key.at_most is None or number <= key.at_most)
        and (key.below is None or number < key.below)
    )


def _choice(key: Key, node: Node) -> str | None:
    # transformers 4 wrote some choices as lists, empty for none.
    if isinstance(node, Items) and not node.items:
        return None
    if not isinstance(node, Scalar):
        _mismatch(key, node)
    if node.text not in key.choices:
        suggestion = (
            "no" if node.text.lower() == "false" and "no" in key.choices else nearest(node.text, key.choices)
        )
        _mismatch(key, node, suggestion)
    return node.text


def _text(key: Key, node: Node) -> str:
    text = plain_text(key, node)
    if not text.strip():
        _mismatch(key, node)
    return text


def _texts(key: Key, node: Node) -> list[str] | None:
    if isinstance(node, Items):
        texts = [plain_text(key, item).strip() for item in node.items]
        if not all(texts):
            raise MismatchError("an empty entry in the list", allowed_text(key))
    else:
        # LLaMA-Factory writes lists as one text with commas.
        texts = [part.strip() for part in plain_text(key, node).split(",")]
        if not all(texts):
            _mismatch(key, node)
    return texts or None


def _settings(key: Key, node: Node) -> dict[str, bool | int | float | str] | None:
    """``{"min_lr": 1e-6}``: also from the ``min_lr=1e-6`` that transformers takes for its optimizers."""
    if isinstance(node, Block):
        pairs = [(name.text, plain_text(key, value)) for name, value in node.entries]
    else:
        parts = [part.partition("=") for part in plain_text(key, node).replace(" ", "").split(",")]
        pairs = [(name, text if equals else "") for name, equals, text in parts]
    for name, text in pairs:
        if not (name.isidentifier() and name.isascii() and text):
            _mismatch(key, node)
    return {name: _setting(text) for name, text in pairs} or None


def _setting(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
