"""The text of Python's own help topics (`pydoc_data.topics` of this Python), a character at a time.

Topics quote each other at length: a fifth of the characters stand in paragraphs that were there before. A paragraph that is
repeated is left out, or a host could know half of the validation text by heart. What is left is cut into blocks with a gap
between them; eight of ten are for training, one for validation and one for steering, so that all parts see the whole range of
topics and no two share a character.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pydoc_data.topics import topics

import torch
from torch import Tensor

from examples.dataset import Dataset, Part
from examples.gpt import CONTEXT
from examples.tasks import TEXT

BLOCK = 4000
GAP = 128
OWNER = (0, 0, 0, 0, 1, 0, 0, 0, 0, 2)
"""Which part every block of ten belongs to: 0 training, 1 steering, 2 validation."""

STRIDE = 16
"""Characters between the beginnings of two training examples, which overlap."""

PER_EPOCH = 768
"""Training examples of an epoch: a sixth of the training text."""


@dataclass(frozen=True, slots=True)
class Text(Dataset):
    """A text to predict.

    Attributes:
        text: The text that the parts were cut from.
    """

    text: str = field(kw_only=True, repr=False)

    def sha256(self) -> str:
        """Hash of the text in UTF-8, for the episode context."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def help_topics(context: int = CONTEXT, per_epoch: int = PER_EPOCH) -> Text:
    """The help topics of this Python, as examples of `context` characters each with the one that follows it."""
    return cut(distinct_paragraphs(topics.values()), "pydoc_topics", context, per_epoch)


def cut(text: str, name: str, context: int, per_epoch: int) -> Text:
    """A text as training, steering and validation examples.

    Validation examples predict all they can of their blocks, each character once; steering examples half as much, because a
    controller evaluates on them several times an epoch.
    """
    characters = tuple(sorted(set(text)))
    index = {character: number for number, character in enumerate(characters)}
    encoded = torch.tensor([index[character] for character in text])
    parts = [windows(encoded, part, context, stride) for part, stride in enumerate((STRIDE, 2 * context, context))]
    bigram = bigram_bits([encoded[block] for block in blocks(len(text), 0)], parts[2], len(characters))
    return Text(name, TEXT, characters, *parts, per_epoch=per_epoch, references={"bigram_bits_per_character": bigram}, text=text)


def distinct_paragraphs(pieces: Iterable[str]) -> str:
    """All paragraphs, each where it stands first; those that differ in white space only count as the same."""
    paragraphs: dict[str, str] = {}
    for paragraph in (paragraph for piece in pieces for paragraph in piece.split("\n\n")):
        paragraphs.setdefault(" ".join(paragraph.split()), paragraph.strip("\n"))
    return "\n\n".join(paragraph for words, paragraph in paragraphs.items() if words)


def blocks(length: int, part: int) -> list[slice]:
    """Where the blocks of a part are in a text of so many characters; the last of all may be shorter."""
    starts = range(0, length, BLOCK + GAP)
    return [slice(start, min(start + BLOCK, length)) for i, start in enumerate(starts) if OWNER[i % len(OWNER)] == part]


def windows(encoded: Tensor, part: int, context: int, stride: int) -> Part:
    """Examples that begin every `stride` characters, each wholly inside a block of the part."""
    inside = [encoded[block] for block in blocks(len(encoded), part)]
    cuts = torch.cat([block.unfold(0, context + 1, stride) for block in inside if len(block) > context])
    return Part(cuts[:, :-1], cuts[:, 1:])


def bigram_bits(training: Iterable[Tensor], validation: Part, size: int) -> float:
    """Bits per character of a bigram model: the next character from the present one alone.

    Its probabilities are the counts of all neighbours in the training blocks, each plus one (Laplace's rule of succession),
    and it predicts exactly the characters that the host predicts.

    Args:
        training: Blocks of class indices.
        validation: What it is measured on.
        size: Number of different characters.
    """
    counts = torch.ones(size, size, dtype=torch.float64)
    for block in training:
        counts.index_put_((block[:-1], block[1:]), torch.ones(len(block) - 1, dtype=torch.float64), accumulate=True)
    bits = -(counts / counts.sum(1, keepdim=True)).log2()
    return float(bits[validation.inputs, validation.targets].mean())
