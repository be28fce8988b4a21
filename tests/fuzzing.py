"""What others may have written: bytes, JSON of the right keys with the wrong values, files that were cut."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(
    max_examples=40,
    # On a busy machine; what hangs takes for ever.
    deadline=timedelta(seconds=10),
    # The same examples in every run: a failure in CI is one that can be had again.
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "NaN", "Infinity", "running", "train", "../../etc", "\x1b]52;c;\x07", "a\0b", "\ud800", "-1"]
    ),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """Return a file that was once good: with some values replaced or gone, cut, or something else altogether."""
    value: Any = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        place = value
        key = draw(st.sampled_from(sorted(place)))
        while isinstance(place[key], dict) and place[key] and draw(st.booleans()):
            place = place[key]
            key = draw(st.sampled_from(sorted(place)))
        if draw(st.integers(0, 4)):
            place[key] = draw(ANYTHING)
        elif len(place) > 1:
            del place[key]
    if draw(st.integers(0, 9)) == 0:
        value = draw(ANYTHING)
    content = json.dumps(value).encode("utf-8", "surrogatepass") + b"\n"
    if draw(st.integers(0, 9)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    if draw(st.integers(0, 19)) == 0:
        content = draw(st.binary(max_size=60)) + content
    return content
