"""A policy really learns to grow hosts: the whole comparison in small, a minute or two of one core."""

import pytest
import torch

import karn_wandb
from examples.digits import digits
from examples.policy.ppo import PPO, Learner
from examples.policy.reward import Weights
from examples.policy.rollout import Learned, Uniform, Waiting, play, random_numbers, returns
from examples.policy.setting import Setting
from examples.policy.training import improve

pytestmark = pytest.mark.slow

HOSTS = 12


@pytest.fixture(scope="module")
def setting():
    data = digits()
    return Setting(data, data.task.recipe, Weights(), seed=50)


@pytest.fixture(scope="module")
def learned(setting):
    """The policy after 16 updates of 8 episodes each."""
    ppo = PPO(updates=16, episodes=8, lr=5e-3, entropy=0.01)
    learner = Learner(setting.network(), ppo)
    generator = torch.Generator().manual_seed(setting.seed)
    for _ in range(ppo.updates):
        improve(setting, learner, generator)
    return learner.network


def tried(setting, controller):
    """Returns on hosts that the policy was not trained on; the same ones, with the same random numbers, for each controller."""
    controller.begin(HOSTS)
    uniforms = random_numbers(setting.recipe.epochs, HOSTS, torch.Generator().manual_seed(5))
    return returns(play([setting.unseen(i) for i in range(HOSTS)], controller, uniforms)).numpy()


@pytest.mark.parametrize("other", ["untrained", "random", "waiting"])
def test_on_unseen_hosts_the_policy_gets_more_than(setting, learned, other):
    """Host by host: the exact permutation test over 12 pairs."""
    others = {"untrained": Learned(setting.network()), "random": Uniform(), "waiting": Waiting()}
    compared = karn_wandb.compare(tried(setting, Learned(learned)), tried(setting, others[other]), paired=True)
    assert compared.permutation_method == "exact"
    assert compared.mean_delta > 0.4
    assert compared.p_permutation < 0.05
