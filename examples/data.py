"""Real colour patches in ten classes, from the photographs inside scikit-image's wheel; or CIFAR-10, if you have it.

Each photograph is a class. It is cut into a grid of blocks with a gap between them; every other block is for
training, the rest alternate between validation and steering, so that no two parts share a pixel and all see the
whole photograph. Patches are random crops inside a block: those of one block overlap, so 2,000 validation patches
are worth fewer than 2,000 independent ones.

The steering part is what a controller may look at. What is reported comes from the validation part alone, which
nothing was chosen by.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from numpy.typing import NDArray
from skimage.io import imread
from torch import Generator, Tensor

from examples.dataset import Dataset, Part
from examples.tasks import IMAGES

Pixels = NDArray[np.uint8]

SIDE = 32
BLOCK = 48
GAP = 8

PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
    "retina": "retina.jpg",
    "galaxy": "hubble_deep_field.jpg",
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
}
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def mirrored(images: Tensor, generator: Generator) -> Tensor:
    """Each square image in one of its eight orientations, at random."""
    for turn in (lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.transpose(2, 3)):
        here = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
        images = torch.where(here, turn(images), images)
    return images


def standardized(pixels: Pixels, labels: list[int]) -> Part:
    """Images (n, 32, 32, 3) of bytes as a part: (n, 3, 32, 32), each of zero mean and unit variance.

    Brightness and contrast are removed, or they alone would tell classes.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float()
    mean, std = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
    return Part((images - mean) / (std + 10), torch.tensor(labels))


def photo_patches(training: int = 3000, steering: int = 1000, validation: int = 2000, seed: int = 0) -> Dataset:
    """Patches of the ten photographs, equally many of each; the same numbers and seed give the same patches."""
    generator = np.random.default_rng(seed)
    photographs = [photograph(name) for name in PHOTOGRAPHS]
    parts = []
    for part, size in enumerate((training, steering, validation)):
        crops = [crop for photo in photographs for crop in random_crops(photo, part, size // len(photographs), generator)]
        labels = [label for label in range(len(photographs)) for _ in range(size // len(photographs))]
        parts.append(standardized(np.stack(crops), labels))
    return Dataset("photo_patches", IMAGES, tuple(PHOTOGRAPHS), *parts, augment=mirrored)


def photograph(name: str) -> Pixels:
    """A bundled photograph (height, width, 3), read from the installed package: nothing is downloaded."""
    pixels: Pixels = imread(Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[name])
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)


def blocks(height: int, width: int, part: int) -> list[tuple[int, int]]:
    """Top left corners of the blocks that belong to a part: 0 training, 1 steering, 2 validation."""
    pitch = BLOCK + GAP
    rows, columns = (height + GAP) // pitch, (width + GAP) // pitch
    owner = (0, 1, 0, 2)
    return [(i * pitch, j * pitch) for i in range(rows) for j in range(columns) if owner[(i + j) % 4] == part]


def random_crops(pixels: Pixels, part: int, count: int, generator: np.random.Generator) -> list[Pixels]:
    """Crops (32, 32, 3), each wholly inside a block of the part."""
    height, width = pixels.shape[:2]
    corners = blocks(height, width, part)
    crops = []
    for block in generator.integers(len(corners), size=count):
        top, left = corners[block] + generator.integers(BLOCK - SIDE + 1, size=2)
        crops.append(pixels[top : top + SIDE, left : left + SIDE])
    return crops


def cifar10(root: Path, steering: int = 5000) -> Dataset:
    """CIFAR-10 from the files of `cifar-10-python.tar.gz`; the last `steering` training images become that part.

    Raises:
        FileNotFoundError: The folder lacks one of the six batches.
        pickle.UnpicklingError: A batch holds anything but arrays and plain values.
    """
    folder = root / "cifar-10-batches-py" if (root / "cifar-10-batches-py").is_dir() else root
    batches = [read_batch(folder / f"data_batch_{i}") for i in range(1, 6)]
    pixels = np.concatenate([images for images, _ in batches])
    labels = [label for _, some in batches for label in some]
    held = len(labels) - steering
    return Dataset(
        "cifar10",
        IMAGES,
        CIFAR_CLASSES,
        standardized(pixels[:held], labels[:held]),
        standardized(pixels[held:], labels[held:]),
        standardized(*read_batch(folder / "test_batch")),
        augment=mirrored,
    )


def read_batch(path: Path) -> tuple[Pixels, list[int]]:
    """Images (n, 32, 32, 3) and labels of one batch file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: unpack cifar-10-python.tar.gz and name its folder")
    with path.open("rb") as file:
        batch = ArraysOnly(file, encoding="bytes").load()
    pixels: Pixels = batch[b"data"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return pixels, [int(label) for label in batch[b"labels"]]


class ArraysOnly(pickle.Unpickler):
    """Reads pickles of NumPy arrays and plain values; a pickle that names any other function could run it, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The three names that a pickled array needs, under their old and their new address."""
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return super().find_class("numpy._core.multiarray", name)
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"refused to load {module}.{name}: a CIFAR-10 batch holds arrays and plain values only")


def load(data_root: Path | None = None) -> Dataset:
    """CIFAR-10 when a folder is named, else the photo patches."""
    return photo_patches() if data_root is None else cifar10(data_root)
