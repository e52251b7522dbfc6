"""A small language model as host: six blocks of a decoder-only transformer, and a slot behind every second one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from examples.blueprints import Residual
from examples.host import Host
from examples.slots import SeedSlot

CONTEXT = 64
"""Characters that the host sees at once."""

HEADS = 4
BLOCKS = 6


class GPT(Host):
    """Predicts the next token at every place, with normalisation before each part (Radford et al., GPT-2, 2019).

    Args:
        vocabulary: Number of different tokens.
        width: Features of a token, a multiple of `heads`.
        context: Most tokens it sees.
        heads: Attention heads of a block.
        blocks: Number of blocks, a multiple of 3.
        blend_epochs: Epochs that its slots blend a seed module in.

    Attributes:
        seed_slots: The slots `early`, `mid` and `late`, behind the last block of each third.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        context: int = CONTEXT,
        heads: int = HEADS,
        blocks: int = BLOCKS,
        blend_epochs: int = 5,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.thirds = nn.ModuleList(nn.Sequential(*(Block(width, heads) for _ in range(blocks // 3))) for _ in range(3))
        self.seed_slots = nn.ModuleDict({name: SeedSlot(name, width, blend_epochs) for name in ("early", "mid", "late")})
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False))
        self._initialize()

    def _initialize(self) -> None:
        """As GPT-2: small normal weights, biases at zero."""
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, t, vocabulary) of the token that follows each of `tokens` (n, t)."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for third, slot in zip(self.thirds, self.slots(), strict=True):
            x = slot(third(x))
        logits: Tensor = self.head(x)
        return logits


class Block(nn.Sequential):
    """Causal attention, then a perceptron, each added to what it is given."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(
            Residual(nn.LayerNorm(width), CausalAttention(width, heads), nn.Linear(width, width)),
            Residual(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
        )


class CausalAttention(nn.Module):
    """What each place gathers from itself and those before it (Vaswani et al., 2017), without the projection behind it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, t, width)."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
