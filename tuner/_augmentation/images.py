"""Changed copies of images, by scipy.ndimage; one function a transform, named in `IMAGE_TRANSFORMS`.

Each takes images of shape (n, h, w) or (n, h, w, c), a strength above 0, a generator and the pixels of the
training rows, and returns images of the same shape. What moves in from outside has the nearest pixel's value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from tuner._types import FloatArray, Scalar

ImageTransform = Callable[[FloatArray, Scalar, np.random.Generator, FloatArray], FloatArray]


def shifted(
    images: FloatArray,
    strength: Scalar,
    generator: np.random.Generator,
    pixels: FloatArray,  # noqa: ARG001
) -> FloatArray:
    """Move each image by whole pixels, up to a part of its side."""
    reach = [max(1, round(float(strength) * side)) for side in images.shape[1:3]]
    steps = np.column_stack([generator.integers(-most, most + 1, len(images)) for most in reach])
    rows, columns = (
        np.clip(np.arange(side) - steps[:, [axis]], 0, side - 1)
        for axis, side in enumerate(images.shape[1:3])
    )
    return np.asarray(images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]])


def rotated(
    images: FloatArray,
    strength: Scalar,
    generator: np.random.Generator,
    pixels: FloatArray,  # noqa: ARG001
) -> FloatArray:
    """Turn each image by up to so many degrees either way."""
    angles = np.deg2rad(generator.uniform(-float(strength), float(strength), len(images)))
    cosines, sines = np.cos(angles), np.sin(angles)
    return _warped(images, np.array([[cosines, -sines], [sines, cosines]]).transpose(2, 0, 1))


def zoomed(
    images: FloatArray,
    strength: Scalar,
    generator: np.random.Generator,
    pixels: FloatArray,  # noqa: ARG001
) -> FloatArray:
    """Make each image larger or smaller by up to a part, about its middle."""
    factors = generator.uniform(1 - float(strength), 1 + float(strength), len(images))
    return _warped(images, np.eye(2) / factors[:, None, None])


def _warped(images: FloatArray, matrices: FloatArray) -> FloatArray:
    """Read each image at linearly transformed places, between pixels in proportion to nearness."""
    middle = (np.array(images.shape[1:3]) - 1) / 2
    warped = np.empty_like(images)
    for image, matrix, target in zip(images, matrices, warped, strict=True):
        channels = image[..., None] if image.ndim == 2 else image
        for channel in range(channels.shape[2]):
            moved = ndimage.affine_transform(
                channels[..., channel], matrix, middle - matrix @ middle, order=1, mode="nearest"
            )
            (target[..., None] if image.ndim == 2 else target)[..., channel] = moved
    return warped


def flipped_horizontally(
    images: FloatArray,
    strength: Scalar,  # noqa: ARG001
    generator: np.random.Generator,
    pixels: FloatArray,  # noqa: ARG001
) -> FloatArray:
    """Mirror half of the images left to right."""
    return _mirrored(images, generator, axis=1)


def flipped_vertically(
    images: FloatArray,
    strength: Scalar,  # noqa: ARG001
    generator: np.random.Generator,
    pixels: FloatArray,  # noqa: ARG001
) -> FloatArray:
    """Mirror half of the images top to bottom."""
    return _mirrored(images, generator, axis=0)


def _mirrored(images: FloatArray, generator: np.random.Generator, *, axis: int) -> FloatArray:
    is_mirrored = generator.random(len(images)) < 0.5
    mirrored = images.copy()
    mirrored[is_mirrored] = np.flip(images[is_mirrored], axis=axis + 1)
    return mirrored


def contrasted(
    images: FloatArray, strength: Scalar, generator: np.random.Generator, pixels: FloatArray
) -> FloatArray:
    """Stretch contrast about each image's mean and move brightness, within the range of training pixels."""
    low, high = pixels.min(), pixels.max()
    each = (len(images), *[1] * (images.ndim - 1))
    stretch = generator.uniform(1 - float(strength), 1 + float(strength), each)
    light = generator.uniform(-float(strength), float(strength), each) * (high - low)
    middle = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return np.asarray(np.clip((images - middle) * stretch + middle + light, low, high))


def cut_out(
    images: FloatArray, strength: Scalar, generator: np.random.Generator, pixels: FloatArray
) -> FloatArray:
    """Blot out a square at a random place with the mean of the training pixels."""
    sides = [max(1, round(float(strength) * side)) for side in images.shape[1:3]]
    inside = np.ones((len(images), *images.shape[1:3]), dtype=bool)
    for axis, side in enumerate(sides):
        length = images.shape[axis + 1]
        first = generator.integers(0, length - side + 1, (len(images), 1))
        places = np.arange(length)
        within = (places >= first) & (places < first + side)
        inside &= within[:, :, None] if axis == 0 else within[:, None, :]
    blotted = images.copy()
    blotted[inside] = pixels.mean()
    return blotted


IMAGE_TRANSFORMS: dict[str, ImageTransform] = {
    "augment_flip_horizontal": flipped_horizontally,
    "augment_flip_vertical": flipped_vertically,
    "augment_rotate": rotated,
    "augment_zoom": zoomed,
    "augment_shift": shifted,
    "augment_contrast": contrasted,
    "augment_cutout": cut_out,
}
"""The transforms by the name of their strength, in the order in which they are applied."""
