"""Handwritten digits of 8 x 8 pixels, from scikit-learn's wheel: a host learns them in a fraction of a second."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from examples.dataset import Dataset, Part
from examples.tasks import DIGITS

BRIGHTEST = 16
"""Pixels are counts from 0 to it."""


def digits(training: int = 1000, steering: int = 400, seed: int = 0) -> Dataset:
    """The 1,797 digits, cut into parts at random; the validation part is what the other two leave.

    An epoch is 512 of the training digits, so that many short epochs make a short training.
    """
    pixels, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy(pixels).float() / (BRIGHTEST / 2) - 1
    targets = torch.from_numpy(labels)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    cuts = order.tensor_split((training, training + steering))
    return Dataset("digits", DIGITS, tuple("0123456789"), *(Part(inputs[cut], targets[cut]) for cut in cuts), per_epoch=512)
