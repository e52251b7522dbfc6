"""Episodes side by side: what each controller does, and that nothing depends on who plays beside whom."""

import torch
from playing import EPOCHS, host, network, played

from examples.policy.rollout import Learned, RuleBased, Uniform, Waiting, play, random_numbers, returns


def actions(controller, hosts, seed=0):
    controller.begin(len(hosts))
    uniforms = random_numbers(EPOCHS, len(hosts), torch.Generator().manual_seed(seed))
    return play(hosts, controller, uniforms)


def test_an_episode_is_a_decision_before_each_epoch():
    hosts = [host(0), host(1)]
    decisions = actions(Waiting(), hosts)
    assert len(decisions) == EPOCHS
    assert all(one.done for one in hosts)
    assert {action.op for decision in decisions for action in decision.choice.actions} == {"WAIT"}
    assert returns(decisions).shape == (2,)


def test_the_rules_are_carried_out_as_they_were_asked_for():
    decisions = actions(RuleBased(), [host(0), host(1)])
    for decision in decisions:
        assert decision.choice.actions == tuple(shadow.action for shadow in decision.shadows)


def test_chance_takes_each_legal_op_equally_often():
    decisions = actions(Uniform(), [host(i) for i in range(3)])
    first = decisions[0].choice.drawn
    assert torch.allclose(first.log_probs["op"].exp(), torch.tensor(0.5))
    assert all(decision.choice.thought is None for decision in decisions)


def test_a_policy_remembers_between_decisions_and_forgets_between_episodes():
    policy = Learned(network())
    policy.begin(1)
    before = policy.hidden[0].clone()
    play([host(0)], policy, random_numbers(EPOCHS, 1, torch.Generator().manual_seed(0)))
    assert not torch.equal(policy.hidden[0], before)
    policy.begin(1)
    assert torch.equal(policy.hidden[0], before)


def test_an_episode_is_the_same_whoever_plays_beside_it():
    together, uniforms = played(network(), hosts=3)
    alone = Learned(network())
    alone.begin(1)
    decisions = play([host(1)], alone, uniforms[:, 1:2])
    assert [d.choice.actions[0] for d in decisions] == [d.choice.actions[1] for d in together]
    assert [float(d.rewards[0]) for d in decisions] == [float(d.rewards[1]) for d in together]
