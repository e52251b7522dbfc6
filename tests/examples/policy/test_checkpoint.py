"""A policy in training is kept on the disk; whoever loads it goes on as if nothing had happened."""

import torch
from playing import EPOCHS, host, network

from examples.policy import checkpoint
from examples.policy.ppo import PPO, Learner
from examples.policy.rollout import Learned, play, random_numbers


def updated(learner, generator, updates):
    for _ in range(updates):
        policy = Learned(learner.network)
        policy.begin(2)
        learner.learn(play([host(learner.updates), host(9)], policy, random_numbers(EPOCHS, 2, generator)))


def started():
    return Learner(network(), PPO(updates=3)), torch.Generator().manual_seed(1)


def test_training_that_was_interrupted_ends_as_one_that_was_not(tmp_path):
    whole, numbers = started()
    updated(whole, numbers, 3)

    first, numbers = started()
    updated(first, numbers, 2)
    path = tmp_path / "policies" / "policy.pt"
    checkpoint.save(path, first, numbers)
    second, numbers = started()
    checkpoint.load(path, second, numbers)
    assert second.updates == 2
    updated(second, numbers, 1)

    for name, parameter in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], parameter)


def test_a_newer_one_takes_the_place_of_the_older_and_leaves_nothing_beside_it(tmp_path):
    learner, numbers = started()
    for _ in range(2):
        updated(learner, numbers, 1)
        checkpoint.save(tmp_path / "policy.pt", learner, numbers)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.pt"]
    again, numbers = started()
    checkpoint.load(tmp_path / "policy.pt", again, numbers)
    assert again.updates == 2
