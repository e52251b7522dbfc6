"""Regret by common random numbers: the same episode once more, with one action replaced."""

from dataclasses import replace

import pytest
import torch
from playing import EPOCHS, host, network, played

from examples.policy.regret import Deviating, disagreements, regrets, sampled
from examples.policy.rollout import play, returns
from karn_wandb.analysis import agree


@pytest.fixture(scope="module")
def episode():
    policy = network()
    decisions, uniforms = played(policy)
    return policy, decisions, uniforms


def test_disagreements_are_where_the_heuristic_wanted_something_else(episode):
    _, decisions, _ = episode
    places = disagreements(decisions)
    assert places
    for t, decision in enumerate(decisions):
        for i, action in enumerate(decision.choice.actions):
            assert ((t, i) in places) != agree(action, decision.shadows[i].action)


def test_the_regret_is_the_difference_of_two_episodes_that_differ_in_one_action(episode):
    policy, decisions, uniforms = episode
    places = disagreements(decisions)[:4]
    found = regrets(policy, host, decisions, uniforms, places)
    assert list(found) == places
    for (t, i), regret in found.items():
        deviating = Deviating(policy, [t])
        deviating.begin(1)
        again = play([host(i)], deviating, uniforms[:, [i]])
        own = [decision.choice.actions[i] for decision in decisions]
        assert [d.choice.actions[0] for d in again][:t] == own[:t]
        assert again[t].choice.actions[0] == decisions[t].shadows[i].action
        assert regret == pytest.approx(float(returns(again)[0] - returns(decisions)[i]), abs=1e-5)


def test_a_policy_that_deviates_to_what_it_does_anyway_has_none(episode):
    policy, decisions, uniforms = episode
    place = next((t, i) for t in range(EPOCHS) for i in range(3) if (t, i) not in disagreements(decisions))
    assert regrets(policy, host, decisions, uniforms, [place])[place] == pytest.approx(0, abs=1e-5)


def test_nothing_is_played_where_nothing_is_asked(episode):
    policy, decisions, uniforms = episode
    assert regrets(policy, host, decisions, uniforms, []) == {}


def test_an_episode_that_does_not_repeat_is_an_error(episode):
    policy, decisions, uniforms = episode
    changed = [replace(decisions[0], rewards=decisions[0].rewards + 1), *decisions[1:]]
    with pytest.raises(RuntimeError) as raised:
        regrets(policy, host, changed, uniforms, [(2, 1)])
    assert str(raised.value) == "episode 1 did not repeat: its rewards before decision 2 are not the same"


def test_a_sample_is_of_the_places_in_their_order_each_once():
    places = [(t, i) for t in range(5) for i in range(4)]
    taken = sampled(places, 6, torch.Generator().manual_seed(0))
    assert len(taken) == len(set(taken)) == 6
    assert taken == sorted(taken)
    assert set(taken) < set(places)
    assert sampled(places, 100, torch.Generator().manual_seed(0)) == places
