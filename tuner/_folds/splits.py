"""Who trains on what: folds for choosing, fresh folds for electing, outer folds for reporting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Literal

import numpy as np

from tuner._folds.partitions import draws, windows
from tuner._rows.data import Dataset
from tuner._types import IntArray
from tuner.exceptions import InputError

Kind = Literal["stratified", "plain", "groups", "blocks", "group_blocks", "forward", "group_forward"]

# Small tables have few partitions: after so many vain draws we say there is no other.
_VAIN_DRAWS = 16
# Least rows a finer fold tests: a handful is a noisy judge, and of ranks a flattering one.
ROWS_A_FOLD = 10


@dataclass(frozen=True, eq=False)
class Fold:
    """One train and test part; both are sorted row numbers.

    Attributes
    ----------
    repeat : int
        The repeat the fold belongs to, from 0.
    index : int
        Its number within the repeat, in time order where there is one; dropped folds leave a hole.
    train : ndarray of intp of shape (n_train,)
    test : ndarray of intp of shape (n_test,)
    """

    repeat: int
    index: int
    train: IntArray
    test: IntArray


def tested_share(folds: Sequence[Fold]) -> float:
    """Return n_test / n_train of folds, on average: what `corrected_t` wants of them."""
    return float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Folds drawn once from the seed; two plans are the same where their hashes are.

    Attributes
    ----------
    kind : str
        How rows were divided.
    folds : tuple of Fold
        Repeat after repeat.
    notes : tuple of str
        What differs from what was asked, as sentences.
    """

    kind: Kind
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the kind and all row numbers."""
        digest = sha256(self.kind.encode())
        for fold in self.folds:
            header = [fold.repeat, fold.index, fold.train.size, fold.test.size]
            for part in (np.array(header), fold.train, fold.test):
                digest.update(part.astype("<i8").tobytes())
        return digest.hexdigest()[:12]

    @property
    def train_rows(self) -> float:
        """How many rows a fold trains on, on average."""
        return float(np.mean([len(fold.train) for fold in self.folds]))

    @property
    def first_folds(self) -> tuple[Fold, ...]:
        """The folds that test every row once."""
        return tuple(fold for fold in self.folds if fold.repeat == 0)

    @property
    def first_repeat(self) -> list[int]:
        """Positions of the first folds."""
        return [position for position, fold in enumerate(self.folds) if fold.repeat == 0]

    @property
    def repeats(self) -> list[list[int]]:
        """Positions of the folds of each repeat."""
        places: dict[int, list[int]] = {}
        for position, fold in enumerate(self.folds):
            places.setdefault(fold.repeat, []).append(position)
        return list(places.values())

    @property
    def n_repeats(self) -> int:
        """How many repeats there are."""
        return len({fold.repeat for fold in self.folds})


def plan_choosing(dataset: Dataset, *, n_folds: int, n_repeats: int, seed: int) -> FoldPlan:
    """Draw the folds every trial is judged on.

    Plain rows: stratified (classes) or shuffled K-fold. Groups: whole groups, dealt with classes balanced.
    Copies of a row (`Dataset.copies`) go together, as if they were one row.
    Time: contiguous blocks, each validated by a model of all others; a further repeat shifts the
    boundaries by 1/4, 3/4, 1/8, ... of a block, so it has one block more, the first and last partial.
    Groups with time: the same, with groups placed whole by their median time.
    A draw that leaves fewer than 2 folds to train is passed over for the next.

    Parameters
    ----------
    dataset : Dataset
    n_folds : int
        At least 2; shrinks, with a note, to the rarest class, the groups or the distinct times.
    n_repeats : int
        At least 1; shrinks, with a note, to the number of distinct partitions there are.
    seed : int
        The seed of the run.

    Returns
    -------
    FoldPlan
        Every row is tested once a repeat, except in folds dropped because one class only would train.

    Raises
    ------
    InputError
        For fewer than 2 rows, groups or distinct times, and where fewer than 2 folds can train.
    """
    kind, size, notes = _scheme(dataset, n_folds, forward=False)
    repeats = _accept(dataset, draws(dataset, size, "choosing", seed), n_repeats, taken=())
    if not repeats:
        raise InputError(
            "At least 2 folds must have two classes or more in their training part.",
            _class_counts(dataset),
            "Add rows of the rarest class, or raise `n_folds`.",
        )
    return _plan(dataset, kind, repeats, (*notes, *_fewer_repeats(len(repeats), n_repeats)))


def plan_fresh(
    dataset: Dataset,
    *,
    n_folds: int,
    n_repeats: int,
    seed: int,
    n_choosing_folds: int | None = None,
    n_choosing_repeats: int | None = None,
) -> FoldPlan | None:
    """Draw repeats the search never saw, of the same kind as the choosing folds.

    They are fresh partitions of the same rows: they elect among finalists and prove nothing.
    Plain rows and groups get a new seed; time gets boundaries shifted by 1/2, then 1/4, 3/4, ...

    Parameters
    ----------
    dataset : Dataset
    n_folds : int
        At least 2; shrinks, with a note, as for `plan_choosing`.
    n_repeats : int
        Fresh repeats wanted; fewer, with a note, where there are fewer.
    seed : int
        The seed of the run, as given to `plan_choosing`.
    n_choosing_folds, n_choosing_repeats : int, optional
        What `plan_choosing` was asked for; its repeats are all avoided here. As `n_folds` and `n_repeats`
        where not given.

    Returns
    -------
    FoldPlan or None
        None where no other partition exists, such as one fold a group or too few distinct times.

    Raises
    ------
    InputError
        For fewer than 2 rows, groups or distinct times.
    """
    kind, size, notes = _scheme(dataset, n_folds, forward=False)
    _, seen_size, _ = _scheme(dataset, n_choosing_folds or n_folds, forward=False)
    seen = _accept(
        dataset, draws(dataset, seen_size, "choosing", seed), n_choosing_repeats or n_repeats, taken=()
    )
    repeats = _accept(dataset, draws(dataset, size, "fresh", seed), n_repeats, taken=seen)
    if not repeats:
        return None
    return _plan(dataset, kind, repeats, (*notes, *_fewer_repeats(len(repeats), n_repeats)))


def finer(dataset: Dataset, n_folds: int, *, judges_rows: bool) -> int:
    """Return twice the folds where plain rows allow it, else as many as given.

    The models of a bag then train on more of the rows: on 9 of 10 instead of 4 of 5. Groups and blocks keep
    their number: a smaller block is nearer to the rows around it than new rows will be.

    Parameters
    ----------
    n_folds : int
        The folds that choose.
    judges_rows : bool
        Whether a fold's loss is a mean over its rows (or the root of one). Each finer fold must test
        ROWS_A_FOLD rows; where rows are ranked instead, so many of the rarest class.
    """
    if dataset.groups is not None or dataset.time is not None:
        return n_folds
    rarest, _ = min(_limits(dataset, forward=False))
    needed = 2 * n_folds * ROWS_A_FOLD
    enough = dataset.n_rows >= needed and rarest >= (2 * n_folds if judges_rows else needed)
    return 2 * n_folds if enough else n_folds


def plan_reporting(dataset: Dataset, *, n_folds: int, seed: int) -> FoldPlan:
    """Draw the outer folds, whose test rows the whole procedure never sees.

    Plain rows and groups: as for choosing, with another seed. Time: forward windows; of
    ``n_folds + 1`` blocks in time order, fold j trains on blocks 0 to j and tests on block j + 1.
    Groups with time: groups are placed by their median time; with b the first median in block j + 1,
    train takes the earlier blocks' rows before b, test the rows of block j + 1 from b on.

    Parameters
    ----------
    dataset : Dataset
    n_folds : int
        At least 2; shrinks with a note. A single forward window can remain.
    seed : int
        The seed of the run; forward windows do not depend on it.

    Returns
    -------
    FoldPlan
        One repeat.

    Raises
    ------
    InputError
        For fewer than 2 rows, groups or distinct times, and where no fold can train.
    """
    kind, size, notes = _scheme(dataset, n_folds, forward=dataset.time is not None, option="outer_folds")
    if dataset.time is not None:
        parts = enumerate(windows(dataset.time, dataset.groups, size))
        folds = [Fold(0, index, train, test) for index, (train, test) in parts]
    else:
        folds = folds_of(next(draws(dataset, size, "reporting", seed)))
    plan = _plan(dataset, kind, [folds], notes)
    if not plan.folds:
        raise InputError(
            "An outer fold must have rows to test and, for classes, two of them in its training part.",
            f"none among {len(folds)}",
            "Add rows, or set `estimate=None`.",
        )
    return plan


def _scheme(
    dataset: Dataset, n_folds: int, *, forward: bool, option: str = "n_folds"
) -> tuple[Kind, int, tuple[str, ...]]:
    """Return the kind of plan, the number of folds the rows allow, and notes."""
    if dataset.n_rows < 2:
        raise InputError("There must be at least 2 rows.", dataset.n_rows, "Add rows.")
    limit, reason = min(_limits(dataset, forward=forward))
    size = min(n_folds, limit)
    notes = (f"`{option}` shrank from {n_folds} to {size}: {reason}.",) if size < n_folds else ()
    return _kind(dataset, forward=forward), size, notes


def _kind(dataset: Dataset, *, forward: bool) -> Kind:
    grouped = dataset.groups is not None
    if dataset.time is not None and forward:
        return "group_forward" if grouped else "forward"
    if dataset.time is not None:
        return "group_blocks" if grouped else "blocks"
    if grouped:
        return "groups"
    return "plain" if dataset.task == "regression" else "stratified"


def _limits(dataset: Dataset, *, forward: bool) -> Iterator[tuple[int, str]]:
    """Yield upper bounds on the number of folds, each with its reason."""
    yield dataset.n_rows, f"there are {dataset.n_rows} rows"
    apart = dataset.time is None and dataset.groups is None
    if apart and dataset.copies is not None:
        n_distinct = np.unique(dataset.copies).size
        yield n_distinct, f"there are {n_distinct} distinct rows"
    spare = 1 if forward else 0  # the first block is never tested
    first_trains = ", and the first block only trains" if forward else ""
    if dataset.groups is not None:
        n_groups = np.unique(dataset.groups).size
        if n_groups < 2:
            raise InputError("There must be at least 2 groups.", n_groups, "Give a finer `groups`, or none.")
        yield n_groups - spare, f"there are {n_groups} groups{first_trains}"
    if dataset.time is not None:
        n_times = np.unique(dataset.time).size
        if n_times < 2:
            raise InputError("There must be at least 2 distinct times.", n_times, "Leave `time` out.")
        if dataset.groups is None:
            yield n_times - spare, f"there are {n_times} distinct times{first_trains}"
    elif dataset.task != "regression":
        yield _class_limit(dataset)


def _class_limit(dataset: Dataset) -> tuple[int, str]:
    counts = _class_counts(dataset)
    if dataset.groups is None and dataset.copies is not None:
        counts = _class_counts(dataset.take(np.unique(dataset.copies, return_index=True)[1]))
    rarest = min(counts)
    # Of two classes, one with a lone row: the fold that tests it cannot train, so two others are needed.
    floor = 3 if len(counts) == 2 and rarest == 1 else 2
    return max(rarest, floor), f"the rarest class has {rarest} row{'' if rarest == 1 else 's'}"


def _class_counts(dataset: Dataset) -> list[int]:
    """Return the rows of each class that is present."""
    return [int(n) for n in np.unique(dataset.y, return_counts=True)[1]]


def folds_of(fold_of: IntArray, repeat: int = 0) -> list[Fold]:
    """Return the folds of one repeat from the fold number of every row."""
    return [
        Fold(repeat, index, np.flatnonzero(fold_of != index), np.flatnonzero(fold_of == index))
        for index in range(int(fold_of.max()) + 1)
    ]


def can_train(dataset: Dataset, fold: Fold) -> bool:
    """Return whether a fold has rows to test, and rows of some weight, of two classes, to train on."""
    if not fold.train.size or not fold.test.size:
        return False
    y = dataset.y[fold.train]
    if dataset.weights is not None:
        y = y[dataset.weights[fold.train] > 0]
    return len(y) > 0 if dataset.task == "regression" else np.unique(y).size > 1


def _accept(
    dataset: Dataset, candidates: Iterable[IntArray], n_wanted: int, *, taken: Iterable[list[Fold]]
) -> list[list[Fold]]:
    """Return the first wanted repeats that differ from all others and have 2 folds that can train."""
    seen = {_signature(folds) for folds in taken}
    accepted: list[list[Fold]] = []
    vain = -len(seen)
    for fold_of in candidates:
        folds = folds_of(fold_of, repeat=len(accepted))
        signature = _signature(folds)
        if signature in seen or sum(can_train(dataset, fold) for fold in folds) < 2:
            vain += 1
        else:
            seen.add(signature)
            accepted.append(folds)
        if len(accepted) == n_wanted or vain == _VAIN_DRAWS:
            break
    return accepted


def _signature(folds: list[Fold]) -> frozenset[bytes]:
    """Return what identifies a partition, whatever the order of its folds."""
    return frozenset(fold.test.tobytes() for fold in folds)


def _plan(dataset: Dataset, kind: Kind, repeats: list[list[Fold]], notes: tuple[str, ...]) -> FoldPlan:
    """Drop folds that cannot train, with a note, and join the repeats."""
    drawn = [fold for folds in repeats for fold in folds]
    kept = tuple(fold for fold in drawn if can_train(dataset, fold))
    n_empty = sum(not (fold.train.size and fold.test.size) for fold in drawn)
    n_one_class = len(drawn) - len(kept) - n_empty
    if n_empty:
        notes += (f"{n_empty} of {len(drawn)} folds dropped: groups overlap in time and a part is empty.",)
    if n_one_class:
        few = "no row of any weight" if dataset.task == "regression" else "one class only"
        notes += (f"{n_one_class} of {len(drawn)} folds dropped: the training part has {few}.",)
    return FoldPlan(kind, kept, notes)


def _fewer_repeats(n_found: int, n_wanted: int) -> tuple[str, ...]:
    if n_found == n_wanted:
        return ()
    return (f"`n_repeats` shrank from {n_wanted} to {n_found}: these rows allow no other partition.",)
