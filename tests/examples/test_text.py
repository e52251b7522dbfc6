"""Text: no part sees another's characters, nothing is there twice, and the bigram reference is what it is called."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from itertools import combinations, pairwise
from pydoc_data.topics import topics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from examples.gpt import CONTEXT
from examples.text import BLOCK, GAP, OWNER, STRIDE, blocks, cut, distinct_paragraphs, help_topics, windows


@pytest.fixture(scope="module")
def data():
    return help_topics()


def positions(part, length, stride, context=CONTEXT):
    """The characters of a text that examples of a part are made of: each character is encoded as its own position."""
    cuts = windows(torch.arange(length), part, context, stride)
    return cuts, set(cuts.inputs.flatten().tolist()) | set(cuts.targets.flatten().tolist())


def test_parts_share_no_character_and_keep_their_distance(data):
    found = [positions(part, len(data.text), stride)[1] for part, stride in enumerate((STRIDE, 2 * CONTEXT, CONTEXT))]
    for one, other in combinations(found, 2):
        assert not one & other
    owner = dict(sorted((place, part) for part, places in enumerate(found) for place in places))
    borders = [after - before for (before, mine), (after, its) in pairwise(owner.items()) if mine != its]
    assert min(borders) > GAP > CONTEXT


def test_every_character_of_a_validation_block_but_its_first_is_predicted_once_at_most(data):
    cuts, _ = positions(2, len(data.text), CONTEXT)
    predicted = cuts.targets.flatten().tolist()
    assert len(predicted) == len(set(predicted))
    of_blocks = sum(block.stop - block.start - 1 for block in blocks(len(data.text), 2))
    assert 0.95 * of_blocks < len(predicted) <= of_blocks


@given(st.integers(0, 2 * (BLOCK + GAP) * len(OWNER)))
def test_blocks_lie_inside_the_text_one_after_the_other(length):
    found = sorted((block.start, block.stop) for part in range(3) for block in blocks(length, part))
    assert all(0 <= start < stop <= length and stop - start <= BLOCK for start, stop in found)
    assert all(after[0] - before[1] == GAP for before, after in pairwise(found))


def test_targets_are_the_characters_that_follow(data):
    for part in (data.training, data.steering, data.validation):
        assert part.inputs.shape == part.targets.shape == (len(part.targets), CONTEXT)
        assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
    inputs, targets = data.validation.inputs[3], data.validation.targets[3]
    shown = "".join(data.classes[index] for index in (*inputs.tolist(), targets[-1].item()))
    assert shown in data.text


def test_a_repeated_paragraph_is_left_out_even_when_it_is_indented_otherwise():
    assert distinct_paragraphs(["one\ntwo\n\nthree", "   one\n   two\n\nfour\n\n\n\nthree\n"]) == "one\ntwo\n\nthree\n\nfour"


def test_the_help_topics_lose_nothing_but_repeated_paragraphs(data):
    def paragraphs(text):
        return {" ".join(p.split()) for p in text.split("\n\n")} - {""}

    assert paragraphs(data.text) == set().union(*map(paragraphs, topics.values()))
    counted = Counter(" ".join(p.split()) for p in data.text.split("\n\n"))
    assert max(counted.values()) == 1


def test_little_of_the_validation_text_stands_in_the_training_text(data):
    """A twentieth of its sequences of 40 characters: rules of tables, and phrases. Of the topics as they are, it is half."""

    def sequences(part):
        pieces = [data.text[block] for block in blocks(len(data.text), part)]
        return [piece[i : i + 40] for piece in pieces for i in range(len(piece) - 40)]

    known = set(sequences(0))
    asked = sequences(2)
    assert sum(sequence in known for sequence in asked) < 0.1 * len(asked)


def test_the_hash_is_that_of_the_text(data):
    assert data.sha256() == hashlib.sha256(data.text.encode("utf-8")).hexdigest()
    assert help_topics().sha256() == data.sha256()
    assert cut(data.text + "!", "", CONTEXT, 16).sha256() != data.sha256()


def test_an_epoch_draws_its_number_of_examples_anew(data):
    generator = torch.Generator().manual_seed(0)
    first, second = (list(data.epoch(32, generator)) for _ in range(2))
    assert len(first) == len(second) == data.steps(32) == data.per_epoch // 32
    assert not torch.equal(first[0][0], second[0][0])


def counted_bits(text, context):
    """The bigram reference by counting characters of strings, one after the other."""
    size, pairs, singles = len(set(text)), Counter(), Counter()
    for block in blocks(len(text), 0):
        for here, following in pairwise(text[block]):
            pairs[here, following] += 1
            singles[here] += 1
    bits = []
    for block in blocks(len(text), 2):
        piece = text[block]
        whole = (len(piece) - 1) // context * context
        for here, following in pairwise(piece[: whole + 1]):
            bits.append(-math.log2((pairs[here, following] + 1) / (singles[here] + size)))
    return sum(bits) / len(bits)


def test_the_bigram_reference_is_what_counting_gives(data):
    assert data.references["bigram_bits_per_character"] == pytest.approx(counted_bits(data.text, CONTEXT), rel=1e-12)


def test_no_bigram_model_is_better_than_the_conditional_entropy_of_what_it_predicts(data):
    """Gibbs' inequality (Cover and Thomas, Elements of Information Theory, 2006, section 2.6); and chance is worse."""
    pairs = list(zip(data.validation.inputs.flatten().tolist(), data.validation.targets.flatten().tolist(), strict=True))
    joint, single = Counter(pairs), Counter(here for here, _ in pairs)
    entropy = -sum(n * math.log2(n / single[here]) for (here, _), n in joint.items()) / len(pairs)
    assert entropy < data.references["bigram_bits_per_character"] < math.log2(len(data.classes))


def test_a_text_that_its_present_character_decides_costs_next_to_nothing():
    text = "abcd" * 30_000
    assert cut(text, "cycle", 32, 16).references["bigram_bits_per_character"] == pytest.approx(0, abs=1e-3)
