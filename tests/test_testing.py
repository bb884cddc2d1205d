"""The contracts for users: what is here passes them, and each broken rule is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_spaces import SPACES, augmentation
from tuner._augmentation.images import IMAGE_TRANSFORMS, shifted
from tuner._augmentation.tables import TABLE_TRANSFORMS
from tuner._rows.table import Table
from tuner.families import FAMILIES
from tuner.families.kernel import KernelFamily
from tuner.testing import check_augmentation, check_family

IMAGES = np.random.default_rng(0).uniform(2, 5, (12, 6, 6))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_the_contract(name):
    """The check can be passed; what it returns is nothing."""
    assert check_family(FAMILIES[name], SPACES[name].default()) is None


class Leaking(KernelFamily):
    """Moves training targets by what held-out rows look like."""

    def prepare(self, params, rows, *, seed):
        """Add the held-out rows' mean to the targets."""
        prepared = super().prepare(params, rows, seed=seed)
        if rows.task != "regression":
            return prepared
        return replace(prepared, labels=prepared.labels + np.nanmean(rows.validation.numeric))


class Drifting(KernelFamily):
    """Draws from no seed."""

    n_starts = 0

    def start(self, params, prepared, *, seed):
        """Start from another seed every time."""
        Drifting.n_starts += 1
        width = params["width"] * (1 + 0.1 * Drifting.n_starts)
        return super().start({**params, "width": width}, prepared, seed=seed)


@pytest.mark.parametrize(
    ("family", "said"), [(Leaking(), "held-out rows are not learned from"), (Drifting(), "same bits")]
)
def test_a_family_that_breaks_a_rule_is_found(family, said):
    """The error names the rule."""
    with pytest.raises(AssertionError, match=said):
        check_family(family, SPACES["kernel"].default())


@pytest.mark.parametrize("name", IMAGE_TRANSFORMS)
def test_every_image_transform_keeps_the_contract(name):
    """At its largest strength."""
    strength = augmentation.IMAGE[name].choices[-1]
    assert check_augmentation(IMAGE_TRANSFORMS[name], IMAGES.copy(), strength) is None


def changes_its_input(copies, strength, generator, rows):
    """Write into the copies."""
    copies[:] = shifted(copies, strength, generator, rows)
    return copies


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (changes_its_input, "input is left"),
        (lambda copies, *_: copies + 0.1, "another generator"),
        (lambda copies, *_: copies[:, :-1], "shape"),
        (lambda copies, *_: copies.copy(), "changes something"),
        (lambda copies, *_: copies * np.nan, "finite"),
    ],
    ids=["input", "generator", "shape", "nothing", "finite"],
)
def test_a_transform_that_breaks_a_rule_is_found(transform, said):
    """The error names the rule."""
    with pytest.raises(AssertionError, match=said):
        check_augmentation(transform, IMAGES.copy(), 0.2)


def table():
    """Return twenty rows of three numbers, one of them missing, and two columns of categories."""
    generator = np.random.default_rng(0)
    numeric = generator.normal(size=(20, 3))
    numeric[0, 0] = np.nan
    return Table(numeric, generator.integers(0, 4, (20, 2)).astype(np.int32))


@pytest.mark.parametrize("name", TABLE_TRANSFORMS)
def test_every_table_transform_keeps_the_contract(name):
    """At its largest strength, with a missing number among the cells."""
    strength = augmentation.TABLE[name].choices[-1]
    assert check_augmentation(TABLE_TRANSFORMS[name], table(), strength) is None


def changes_the_tables_cells(copies, strength, generator, rows):
    """Write into the copies."""
    copies.numeric[:] = TABLE_TRANSFORMS["augment_noise"](copies, strength, generator, rows).numeric
    return copies


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (changes_the_tables_cells, "input is left"),
        (lambda copies, *_: copies.take(np.arange(3)), "shape"),
        (lambda copies, *_: Table(copies.numeric * np.inf, copies.categorical), "finite or missing"),
        (lambda copies, *_: Table(copies.numeric, copies.categorical + 9), "categories are known"),
        (lambda copies, *_: Table(copies.numeric.copy(), copies.categorical), "changes something"),
        (lambda copies, *_: Table(copies.numeric + 0.1, copies.categorical), "another generator"),
    ],
    ids=["input", "shape", "finite", "categories", "nothing", "generator"],
)
def test_a_table_transform_that_breaks_a_rule_is_found(transform, said):
    """The error names the rule."""
    with pytest.raises(AssertionError, match=said):
        check_augmentation(transform, table(), 0.2)
