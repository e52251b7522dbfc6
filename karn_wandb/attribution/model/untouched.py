"""An evaluation in the middle of training: eval mode, the same random numbers each time, and no trace of it afterwards."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module, loader: object, device: torch.device) -> Iterator[None]:
    """Eval mode without gradients, loaders' generators at a fixed state; afterwards everything as it was.

    What `torch.compile` made runs as it was written: the graphs know nothing of coalitions, and none is compiled for them.
    """
    training = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with _fixed_randomness(loader, device), torch.no_grad(), _eager():
        try:
            model.eval()
            yield
        finally:
            for module, flag in training:
                module.training = flag
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def _eager() -> AbstractContextManager[object]:
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled, and loading it would take seconds
        return nullcontext()
    stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    return nullcontext() if stance is None else stance("force_eager")


@contextmanager
def _fixed_randomness(loader: object, device: torch.device) -> Iterator[None]:
    """Seed the generators a loader may draw from: Python's, NumPy's, torch's and its own; afterwards put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- whoever draws from the global one is not us
    owners = (loader, getattr(loader, "sampler", None))
    own = [g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)]
    before = [generator.get_state() for generator in own]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 -- the same
            for generator in (torch.default_generator, *own):
                generator.manual_seed(0)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 -- the same
            for generator, state in zip(own, before, strict=True):
                generator.set_state(state)
