"""The YAML that nearly every configuration is written in, read without a YAML library.

``key: word`` lines, comments, blocks by indentation, and ``[a, b]`` of words. Importing PyYAML takes as much CPU time
as starting Python one and a half times (15 to 20 ms, most of it regular expressions), and `fttui start` may take six
in all. Whatever is not plainly of this form is left to PyYAML, so this module only ever says "yes, it is this" or
nothing; the tests compare it with PyYAML on tens of thousands of texts.
"""

from fttui_engine.spec.nodes import MAX_DEPTH, Block, Items, Node, Scalar

# Far below the length that could hold more values than are allowed.
MOST_CHARACTERS = 32 * 1024

WORD_MARKS = str.maketrans("", "", "_./+-")


def parse_simple(text: str) -> Block | None:
    """The mapping in ``text``; None if it is not plainly of the simple form."""
    # Tabs, carriage returns and everything beyond ASCII have rules of their own.
    if len(text) > MOST_CHARACTERS or not text.isascii() or not text.replace("\n", "").isprintable():
        return None
    root = Block([], 0)
    open_blocks = [(0, root)]
    for number, line in enumerate(text.split("\n"), 1):
        content = line.lstrip(" ")
        if not content or content[0] == "#":
            continue
        entry = _entry(content, number)
        if entry is None:
            return None
        indent = len(line) - len(content)
        if indent > open_blocks[-1][0]:
            block = _opened(open_blocks[-1][1], number)
            if block is None or len(open_blocks) == MAX_DEPTH:
                return None
            open_blocks.append((indent, block))
        while indent < open_blocks[-1][0]:
            open_blocks.pop()
        if indent != open_blocks[-1][0]:
            return None
        open_blocks[-1][1].entries.append(entry)
    return Block(root.entries, root.entries[0][0].line) if root.entries else None


def _opened(parent: Block, line: int) -> Block | None:
    """The block that a deeper line begins under the last key of ``parent``, which must have no value of its own."""
    if not parent.entries:
        return None
    key, value = parent.entries[-1]
    if not isinstance(value, Scalar) or value.text:
        return None
    block = Block([], line)
    parent.entries[-1] = (key, block)
    return block


def _entry(content: str, line: int) -> tuple[Scalar, Node] | None:
    key, colon, rest = content.partition(":")
    if not colon or not key.replace("_", "").isalnum() or (rest and rest[0] != " "):
        return None
    written = rest.partition(" #")[0].strip(" ")
    value = _value(written, line)
    return None if value is None else (Scalar(key, line), value)


def _value(written: str, line: int) -> Node | None:
    if not written or _is_word(written):
        return Scalar(written, line)
    if written[0] == "[" and written[-1] == "]":
        words = [word.strip(" ") for word in written[1:-1].split(",")]
        if all(_is_word(word) and ":" not in word for word in words):
            return Items([Scalar(word, line) for word in words], line)
    return None


def _is_word(text: str) -> bool:
    """Whether YAML takes ``text`` as it stands: letters, digits, ``_ . / + -`` and a colon between them."""
    bare = text.translate(WORD_MARKS)
    return (
        bare.replace(":", "").isalnum()
        and (text[0].isalnum() or text[0] in "./_" or text[1:2].isalnum())
        and text[0] != ":"
        and text[-1] != ":"
    )
