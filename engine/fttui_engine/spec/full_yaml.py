"""Any YAML, through PyYAML's parser.

The tree is built from parser events, so no YAML type is ever constructed: a value stays the text that the user wrote
until the table of keys says what it should be. That is why ``learning_rate: 1e-4`` is a number (YAML 1.1 calls it a
text) and ``save_strategy: no`` is not ``False``. Tags, anchors and aliases are refused outright: a flat
configuration has no use for them, and without aliases a small file cannot unfold into gigabytes.
"""

from typing import TYPE_CHECKING, Any

import yaml

from fttui_engine.spec.nodes import MAX_DEPTH, MAX_NODES, Block, DocumentError, Items, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator


def parse_full(text: str) -> Node | None:
    """The single value, list or mapping that ``text`` holds; None when it is empty."""
    # libyaml where PyYAML was built with it (8 times faster), else the parser written in Python.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _tree(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        raise DocumentError(*_complaint(error, text)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError("There is a control character here that YAML does not allow.", line) from None
    except yaml.YAMLError as error:
        raise DocumentError(f"This is not YAML: {error}.") from None


def _tree(events: "Iterator[Any]") -> Node | None:
    """The tree behind a stream of events; stops at the first thing that is not allowed."""
    root: Node | None = None
    open_nodes: list[Items | Block] = []
    # The key that waits for its value, one for each open node.
    waiting: list[Scalar | None] = []
    node_count = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            waiting.pop()
        elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise DocumentError(
                "A second document begins here; one file holds one configuration.", _line(event)
            )
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event)
            node_count += 1
            if node_count > MAX_NODES:
                raise DocumentError(f"There are more than {MAX_NODES:,} values in it.", node.line)
            if open_nodes:
                _attach(node, open_nodes[-1], waiting)
            else:
                root = node
            if not isinstance(node, Scalar):
                open_nodes.append(node)
                waiting.append(None)
            if len(open_nodes) > MAX_DEPTH:
                raise DocumentError(f"Values are nested more than {MAX_DEPTH} levels deep.", node.line)
    return root


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _node(event: Any) -> Node:
    """The node that ``event`` begins; raises DocumentError for what a configuration has no use for."""
    line = _line(event)
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        word = f"*{event.anchor}" if isinstance(event, yaml.AliasEvent) else f"&{event.anchor}"
        raise DocumentError(
            f"{word[:80]} is a YAML anchor or alias, which is not used here; write the value out, or put it in quotes.",
            line,
        )
    # libyaml gives a quoted text the tag "!" in some versions.
    if event.tag not in (None, "!"):
        raise DocumentError(f"The tag {event.tag[:80]} is not allowed; write the plain value.", line)
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, line, plain=not event.style)
    return Items([], line) if isinstance(event, yaml.SequenceStartEvent) else Block([], line)


def _attach(node: Node, parent: Items | Block, waiting: list[Scalar | None]) -> None:
    if isinstance(parent, Items):
        parent.items.append(node)
    elif (key := waiting[-1]) is not None:
        parent.entries.append((key, node))
        waiting[-1] = None
    elif isinstance(node, Scalar):
        waiting[-1] = node
    else:
        raise DocumentError("A key must be a single word.", node.line)


def _complaint(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int | None]:
    """What the parser complains of, in words for people, and the line that is to be changed."""
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    begun = error.context_mark.line + 1 if error.context_mark else line
    character = text[mark.index : mark.index + 1] if mark else ""
    if character == "\t" or "tab" in problem:
        return "There is a tab here; YAML is indented with spaces.", line
    if "mapping values are not allowed" in problem or "could not find expected ':'" in problem:
        return _key_without_value(text, begun if "could not" in problem else line, problem)
    if "alias" in context or "anchor" in context:
        return "A value that begins with * or & must be put in quotes.", line
    if "cannot start any token" in problem:
        return f"A value cannot begin with {character!r}; put it in quotes.", line
    if "quoted scalar" in context:
        return "A text in quotes begins here and does not end.", begun
    if "parsing a flow" in context:
        return "A bracket is opened here and not closed, or a comma is missing behind it.", begun
    if "parsing a block mapping" in context:
        return (
            "This line is indented differently from those before it, or more follows a closing quote.",
            line,
        )
    return f"YAML does not understand this: {context} {problem}.".replace("  ", " "), line


def _key_without_value(text: str, line: int | None, problem: str) -> tuple[str, int | None]:
    """A line that is no `key: value`; where only the space is missing, YAML stumbles over the line behind it."""
    lines = text.split("\n")
    expected = "A line of the form `key: value` was expected here."
    for number in (line or 0, (line or 0) - 1):
        key, colon, value = lines[number - 1].strip().partition(":") if number > 0 else ("", "", "")
        if colon and key.replace("_", "").isalnum() and value and value[0] not in " \t/":
            return f"A space is missing behind the colon: `{key[:40]}: value`.", number
        if key and not colon and key[0] not in "#-":
            return expected, number
    if "could not" in problem:
        return expected, line
    return (
        "There is a second `: ` in this line, or it is indented too far; put texts with a colon in quotes.",
        line,
    )
