"""Orders of examples of which every beginning is a fair sample."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.attribution.model.order import stratified_order


@given(classes=st.lists(st.integers(-1, 6), min_size=1, max_size=80), seed=st.integers(0, 9))
def test_in_every_beginning_each_class_has_its_share_to_less_than_an_example(classes, seed):
    classes = np.array(classes)
    order = stratified_order(classes, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(classes)))
    for label, count in zip(*np.unique(classes, return_counts=True), strict=True):
        had = np.cumsum(classes[order] == label)
        assert (np.abs(had - np.arange(1, len(classes) + 1) * count / len(classes)) < 1).all()


def test_the_order_within_a_class_is_random_and_repeatable():
    classes = np.repeat([0, 1], 50)
    orders = [stratified_order(classes, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
    firsts = [stratified_order(classes, np.random.default_rng(seed))[0] for seed in range(200)]
    assert len(set(firsts)) > 20
