"""In which order to look at validation examples, so that any number of them is a fair sample."""

from __future__ import annotations

import numpy as np

from karn_wandb.attribution.games import IntArray


def stratified_order(classes: IntArray, rng: np.random.Generator) -> IntArray:
    """A random order of which every beginning is stratified by class.

    Among the first m of N examples, a class of n examples has its share m * n / N, to less than one example: the order of
    the classes is Tijdeman's ("The chairman assignment problem", 1980), which is never farther than 1 - 1 / (2k - 2) from
    it for k classes, and no order can promise less. Within a class the order is random.

    Args:
        classes: The class of each example, shape [N].
        rng: Decides the order within each class.

    Returns:
        Indices of the examples, shape [N].
    """
    _, members, counts = np.unique(classes, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(classes))
    queues = np.split(shuffled[np.argsort(members[shuffled], kind="stable")], np.cumsum(counts)[:-1])
    taken = np.zeros(len(counts), dtype=np.int64)
    order = np.empty(len(classes), dtype=np.int64)
    total, slack = len(classes), max(1, 2 * len(counts) - 2)
    for place in range(total):
        behind = (counts * (place + 1) - taken * total) * slack  # of its share, in units of 1 / (N * slack) examples
        due = np.where(behind >= total, (total * (slack - 1) - behind) / counts, np.inf)
        chosen = int(due.argmin())
        order[place] = queues[chosen][taken[chosen]]
        taken[chosen] += 1
    return order
