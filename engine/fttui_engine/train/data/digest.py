"""A short text that differs where prepared data does."""

import zlib
from collections.abc import Sequence
from typing import Any

# Of more examples this many, evenly spread, are looked at: all of a large set would delay each start.
_MOST_EXAMPLES = 20_000


def digest(examples: Sequence[Any]) -> str:
    """Return what tells these examples from others: their number, and a checksum of their tokens in order."""
    count = len(examples)
    looked_at = range(count) if count <= _MOST_EXAMPLES else range(0, count, -(-count // _MOST_EXAMPLES))
    checksum = 0
    for index in looked_at:
        for values in examples[index]:
            checksum = zlib.crc32(values.tobytes(), checksum)
    return f"{count}-{checksum:08x}"
