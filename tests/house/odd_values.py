"""What the tests of readers share: values of any kind, put at any place of a document, and what may come of it."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError

ODD = (0, -1, 1, 2**31, 2**63, -(10**30), 0.5, 1e308, "", "0", "-5", "nan", "inf", "a\nb", "../x", "\x00", "/", [], {})
VALUES = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def places(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document, as the keys that lead to it."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    return [place for key in keys for place in [(*above, key), *places(document[key], (*above, key))]]


@st.composite
def altered(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any] = VALUES) -> Any:
    """The document with a value of another kind at one of its places, or that place missing."""
    document = copy.deepcopy(document)
    *way, last = draw(st.sampled_from(places(document)))
    holder = document
    for key in way:
        holder = holder[key]
    if draw(st.integers(0, 4)) == 0:
        del holder[last]
    else:
        holder[last] = draw(values)
    return document


def is_read(read: Callable[[], object]) -> bool:
    """Whether it was read; False when it was refused in one line. Any other error is the test's."""
    try:
        read()
    except BallspotError as error:
        assert len(str(error).splitlines()) == 1
        return False
    return True
