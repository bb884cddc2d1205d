"""Augmentation: changed copies of training rows, made after the split, from nothing but these rows.

`made_rows` is the one place where rows are made. It is given the training rows of one fold and never learns
that there are others, so nothing of a held-out row can be in a copy, and no copy can be held out. Copies
carry the weight of the row they come from, and its number (`source`), by which groups or anything else
follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner._augmentation.images import IMAGE_TRANSFORMS
from tuner._augmentation.tables import TABLE_TRANSFORMS, MixedRows, minority_rows, mixed_rows
from tuner._rows.table import Table
from tuner._types import FloatArray, IntArray, Scalar

TABLE_COPIES = 2  # of every row


@dataclass(frozen=True, eq=False)
class MadeRows:
    """Rows to fit on beside the training rows; nobody is ever scored on them.

    Attributes
    ----------
    table : Table
    y : array of shape (n_made,)
    weights : array of shape (n_made,)
        Those of the rows they come from; parts of them where one row is mixed of two.
    source : int array of shape (n_made,)
        The training row each comes from.
    """

    table: Table
    y: Any
    weights: FloatArray
    source: IntArray


def made_rows(
    chosen: Mapping[str, Scalar],
    table: Table,
    y: Any,
    weights: FloatArray | None,
    *,
    image_shape: tuple[int, ...] | None,
    has_classes: bool,
    seed: int,
) -> MadeRows:
    """Make changed copies of the training rows of one fold.

    Parameters
    ----------
    chosen : mapping
        What `augmentation_of` returned; not empty.
    table, y, weights
        Training rows only.
    image_shape : tuple of int or None
        Of one image, where the rows are images.
    has_classes : bool
        Whether ``y`` holds class codes.
    seed : int
        Decides alone, with the rows.
    """
    generator = np.random.default_rng(seed)
    is_image = chosen["augment"] == "image"
    plain = np.ones(table.n_rows) if weights is None else weights
    made: list[MadeRows] = []
    transforms: Mapping[str, Callable[..., Any]] = IMAGE_TRANSFORMS if is_image else TABLE_TRANSFORMS
    if any(name in transforms for name in chosen):
        copies = int(chosen["augment_copies"]) if is_image else TABLE_COPIES
        source = np.tile(np.arange(table.n_rows), copies)
        copied = table.take(source)
        if is_image:
            images = copied.numeric.reshape(-1, *(image_shape or ()))
            changed = _changed(images, table.numeric, chosen, transforms, generator)
            copied = Table(changed.reshape(len(source), -1), copied.categorical)
        else:
            copied = _changed(copied, table, chosen, transforms, generator)
        made.append(MadeRows(copied, y[source], plain[source], source))
    for name, make in (("augment_mixup", mixed_rows), ("augment_smote", minority_rows)):
        if name in chosen and (has_classes or name != "augment_smote"):
            rows: MixedRows = make(table, y, chosen[name], generator, has_classes=has_classes)
            made.append(MadeRows(rows.table, rows.y, rows.shares * plain[rows.source], rows.source))
    return _joined(made, table, y)


def _changed(
    rows: Any,
    learned_from: Any,
    chosen: Mapping[str, Scalar],
    transforms: Mapping[str, Callable[..., Any]],
    generator: np.random.Generator,
) -> Any:
    for name, transform in transforms.items():
        if name in chosen:
            rows = transform(rows, chosen[name], generator, learned_from)
    return rows


def _joined(made: list[MadeRows], table: Table, y: Any) -> MadeRows:
    if not made:  # the rarest class is as frequent as the others: there is nothing to add
        nothing = np.arange(0)
        return MadeRows(table.take(nothing), y[nothing], np.empty(0), nothing)
    return MadeRows(
        Table(
            np.concatenate([rows.table.numeric for rows in made]),
            np.concatenate([rows.table.categorical for rows in made]),
        ),
        *(np.concatenate([getattr(rows, name) for rows in made]) for name in ("y", "weights", "source")),
    )
