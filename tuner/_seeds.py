"""Child seeds, derived by purpose and index and never by the order of calls."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from tuner._types import IntArray

_SEED_LIMIT = 2**31 - 1


def child_seed(seed: int, purpose: str, *index: int) -> int:
    """Derive the seed of one purpose from the seed of the run.

    Parameters
    ----------
    seed : int
        The seed of the run; not negative.
    purpose : str
        What the randomness is for: ``"choosing"``, ``"sampler"``.
    *index : int
        Which one of its kind: a repeat, a trial, a fold; not negative.

    Returns
    -------
    int
        In [0, 2**31 - 1); the same on every platform, for every order of calls and every worker.

    Notes
    -----
    Two different arguments can give the same seed with probability about 2**-31.

    Examples
    --------
    >>> child_seed(0, "choosing", 1) == child_seed(0, "choosing", 1)
    True
    >>> child_seed(0, "choosing", 1) == child_seed(0, "choosing", 2)
    False
    """
    # SeedSequence pads with zeros, so [1] and [1, 0] would be one seed: the length goes in as well.
    entropy = [crc32(purpose.encode()), len(index), *index, seed]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return int(state[0]) % _SEED_LIMIT


def some_rows(n_rows: int, n_most: int, seed: int) -> IntArray:
    """Return at most ``n_most`` row numbers in order: all rows, or a sample without replacement."""
    if n_rows <= n_most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, n_most, replace=False))
