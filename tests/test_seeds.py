from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuner._seeds import child_seed


def test_values_are_pinned():
    """A stored run stays reproducible: these values never change between versions."""
    assert child_seed(0, "choosing") == 1580928501
    assert child_seed(7, "sampler", 3, 1) == 1427443155


@given(st.integers(0, 2**32 - 1), st.text(), st.lists(st.integers(0, 10**6), max_size=3))
def test_seed_is_a_pure_function_in_range(seed, purpose, index):
    """Equal arguments give equal seeds, whatever was called between; all lie in [0, 2**31 - 1)."""
    first = child_seed(seed, purpose, *index)
    child_seed(seed, purpose + "?", *index)
    assert child_seed(seed, purpose, *index) == first
    assert 0 <= first < 2**31 - 1


def test_seed_purpose_and_every_index_matter():
    """Seeds, purposes, indices and numbers of indices (trailing zeros too) give different children."""
    arguments = [
        (seed, purpose, *index)
        for seed in range(10)
        for purpose in ("choosing", "fresh", "")
        for index in [(), (0,), (0, 0), (1,), (0, 1), (1, 0)]
    ]
    assert len({child_seed(*each) for each in arguments}) == len(arguments)  # 10 * 3 * 6 = 180
