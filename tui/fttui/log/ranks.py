"""Lines of one rank of several, by the prefix that their launcher gave them."""

import re

_RANK = re.compile(rb"^\[(?:rank|default|trainer)(\d{1,5})\]", re.MULTILINE)


def ranks_in(content: bytes) -> list[int]:
    """Return the ranks whose lines stand in a piece of log."""
    return sorted({int(number) for number in _RANK.findall(content)})


def pattern_of_rank(rank: int) -> str:
    """Return the pattern of a rank's lines; what has no prefix was written by the launcher or by rank 0."""
    own = rf"^\[(?:rank|default|trainer){rank}\]"
    return own if rank else own + r"|^(?!\[(?:rank|default|trainer)\d)"
