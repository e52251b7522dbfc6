"""Short episodes of small hosts, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from examples.digits import digits
from examples.policy.environment import Growth
from examples.policy.network import PolicyNetwork
from examples.policy.reward import Weights
from examples.policy.rollout import Learned, play, random_numbers

EPOCHS = 6


@cache
def data():
    return digits()


def host(number):
    return Growth(data(), replace(data().task.recipe, epochs=EPOCHS), 500 + number, Weights())


def network(seed=0):
    torch.manual_seed(seed)
    example = host(0)
    return PolicyNetwork(len(example.observation()), example.space, units=16)


def played(policy, hosts=3, seed=0):
    """Decisions and the random numbers they used."""
    uniforms = random_numbers(EPOCHS, hosts, torch.Generator().manual_seed(seed))
    controller = Learned(policy)
    controller.begin(hosts)
    return play([host(i) for i in range(hosts)], controller, uniforms), uniforms
