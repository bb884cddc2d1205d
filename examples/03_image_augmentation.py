"""Tune a classifier of small images and see which changed copies of them helped: shifts, not flips.

    python examples/03_image_augmentation.py

Offline, about half a minute. Augmentation is part of the search: the clean default is tried first, then one
kind of transform after the other. Copies are made of training rows only, after the split; all scores are of
clean rows. The picture shows what each transform does to one digit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from search_spaces import augmentation
from tuner import TunedClassifier, TuningResult
from tuner._augmentation.images import IMAGE_TRANSFORMS

COPIES = 6


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8)
    X, X_test, y, y_test = train_test_split(images, labels, train_size=400, random_state=0, stratify=labels)

    model = TunedClassifier(
        families=["extra_trees"], time_budget=30, estimate=None, random_state=0, tracking=False
    )
    model.fit(X, y)
    result = model.result_
    print(result)

    print("\nThe mean loss of trials that allow a transform, and of those that do not; lower is better:")
    for name in IMAGE_TRANSFORMS:
        with_it, without = losses_by(result, name)
        if with_it and without:
            means = f"with {np.mean(with_it):.3f} ({len(with_it)} trials), without {np.mean(without):.3f}"
            print(f"{name:26s} {means}")
    error = np.mean(model.predict(X_test) != y_test)
    print(f"\nError on {len(y_test)} images kept back: {error:.3f}")

    path = Path(tempfile.mkdtemp(prefix="tuner-")) / "augmentation.png"
    draw(X, path)
    print(f"Picture: {path}")


def losses_by(result: TuningResult, name: str) -> tuple[list[float], list[float]]:
    """Return the losses of the trials whose configuration allows a transform, and of all others."""
    losses: tuple[list[float], list[float]] = ([], [])
    for trial in result.trials:
        if trial.scores is not None:
            losses[0 if trial.configuration.params.get(name) else 1].append(trial.scores.nested_loss)
    return losses


def draw(images: np.ndarray, path: Path) -> None:
    """Draw one digit and, row by row, what each transform makes of it at its largest strength."""
    figure = Figure(figsize=(7, 8), layout="constrained")
    axes = figure.subplots(len(IMAGE_TRANSFORMS), COPIES + 1)
    generator = np.random.default_rng(0)
    for row, (name, transform) in zip(axes, IMAGE_TRANSFORMS.items(), strict=True):
        strength = augmentation.IMAGE[name].choices[-1]
        copies = transform(np.repeat(images[:1], COPIES, axis=0), strength, generator, images)
        for place, image in zip(row, [images[0], *copies], strict=True):
            place.imshow(image, cmap="gray_r", vmin=images.min(), vmax=images.max())
            place.set(xticks=[], yticks=[])
        label = name.removeprefix("augment_").replace("_", "\n")
        text = label if strength is True else f"{label}\n{strength}"
        row[0].set_ylabel(text, rotation=0, ha="right", va="center")
    axes[0, 0].set_title("original", fontsize=9)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
