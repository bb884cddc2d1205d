"""Which spaces are searched: those of the families asked for, with the user's changes, as the rows allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from search_spaces import (
    COSTLY_FAMILIES,
    DEFAULT_FAMILIES,
    PORTFOLIOS,
    SPACES,
    Categorical,
    Dimension,
    SearchSpace,
    SpaceError,
    augmentation,
)
from tuner._options.rules import check_known, check_mapping, is_list
from tuner._types import Scalar
from tuner.exceptions import InputError

SpaceChanges = Mapping[str, Mapping[str, Dimension | Scalar]]


def resolve_spaces(
    families: Sequence[str] | None, changes: SpaceChanges | None, *, has_images: bool | None = None
) -> tuple[SearchSpace, ...]:
    """Return the spaces of the chosen families with the user's changes, the default family first.

    Parameters
    ----------
    families, changes
        `families` and `search_space` of the config, not checked yet.
    has_images : bool or None
        Whether the rows are images; None where that is not known yet.
    """
    given = DEFAULT_FAMILIES if families is None else families
    if not is_list(given) or not (names := tuple(given)):
        raise InputError("`families` must be a list of names.", repr(given), 'Try ["lightgbm"].')
    for family in names:
        check_known("family", family, tuple(SPACES))
    if len(set(names)) < len(names):
        raise InputError("`families` must name each family once.", list(names), "Drop the repeated name.")
    changes = {} if changes is None else changes
    check_mapping("search_space", changes)
    for family, change in changes.items():
        check_known("family in `search_space`", family, names)
        check_mapping(f'search_space["{family}"]', change)
    ordered = sorted(names, key=lambda family: family != "lightgbm")
    try:
        return tuple(_space(family, has_images).override(changes.get(family, {})) for family in ordered)
    except SpaceError as error:
        raise InputError(error.rule, error.value, error.cure) from error


def default_families(asked: Iterable[str]) -> tuple[str, ...]:
    """Return the default families without the costly ones, but for those that were asked for."""
    return tuple(name for name in DEFAULT_FAMILIES if name not in COSTLY_FAMILIES or name in asked)


def _space(family: str, has_images: bool | None) -> SearchSpace:  # noqa: FBT001
    space = SPACES[family]
    return space if has_images is None else space.narrowed(has_images=has_images)


def with_augmentation(
    space: SearchSpace, changes: Mapping[str, Dimension | Scalar], kind: str
) -> SearchSpace:
    """Let augmentation vary where the rows are images or the user names some of it, and nowhere else."""
    if "augment" not in space.dimensions:
        return space
    named = {
        kind_named
        for kind_named, names in (("image", augmentation.IMAGE), ("table", augmentation.TABLE))
        if names.keys() & changes.keys() or kind_named in _choices(changes.get("augment"))
    }
    for unfit in named - ({"image", "table"} if kind == "image" else {kind}):
        wanted = "images of shape (n, h, w) or (n, h, w, c)" if unfit == "image" else "a dense table"
        raise InputError(
            f"Augmentation of kind {unfit!r} needs {wanted}.",
            f"`search_space` for {space.family!r} on {'sparse rows' if kind == 'sparse' else 'a table'}",
            "Leave it out, or pass the rows in that form.",
        )
    if "augment" in changes:
        return space
    kinds = sorted(named | ({"image"} if kind == "image" else set()))
    return (
        space.override({"augment": Categorical(("none", *kinds))}) if kinds else augmentation.without(space)
    )


def without_idle(
    space: SearchSpace,
    changes: Mapping[str, Dimension | Scalar],
    *,
    has_categories: bool,
    has_classes: bool,
    is_sparse: bool,
    is_large: bool,
) -> SearchSpace:
    """Fix what changes nothing on such rows and, unless the user names it, what brings too little there."""
    changes_nothing = (
        *(() if has_categories else space.for_categories),
        *(() if has_classes else space.for_classes),
        *(space.for_dense if is_sparse else ()),
    )
    brings_little = (
        *(space.for_numbers if has_classes else ()),
        *(space.costly if is_sparse or is_large else ()),
    )
    return space.fixed({*changes_nothing, *(set(brings_little) - changes.keys())})


def _choices(change: object) -> tuple[object, ...]:
    return change.choices if isinstance(change, Categorical) else (change,)


def known_good(space: SearchSpace, *, has_images: bool) -> tuple[Mapping[str, Scalar], ...]:
    """Return the family's known-good configurations, on images in turn with one of each kind of transform.

    For boosting transforms come last: it grows a tree a class and round, on the copies too, and gains least.
    A configuration with linear leaves or dropout is left out where the space has them off.
    """
    first = augmentation.FIRST if has_images and "augment" in space.dimensions else ()
    known = [each for each in PORTFOLIOS.get(space.family, ()) if _can_switch_on(space, each)]
    if space.family == "lightgbm":
        return (*known, *first)
    pairs = zip_longest(first, known)
    return tuple(each for pair in pairs for each in pair if each is not None)


def _can_switch_on(space: SearchSpace, partial: Mapping[str, Scalar]) -> bool:
    completed = space.complete(partial)
    switches = [name for name, value in partial.items() if value is True or name == "dropout"]
    return all(completed.get(name) for name in switches)
