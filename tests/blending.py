"""What the slots of small test networks have in common."""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn


class BlendingSlot(nn.Module):
    """A slot whose `alpha` can be set for a while."""

    alpha: float

    @contextmanager
    def force_alpha(self, alpha):
        before, self.alpha = self.alpha, alpha
        try:
            yield
        finally:
            self.alpha = before
