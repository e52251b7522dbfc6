"""The policy's updates: advantages by their definition, the clipped loss, when a pass is the last, and that it learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import network, played

from examples.policy.actions import stacked
from examples.policy.ppo import PPO, Learner, generalized_advantages

numbers = st.floats(-5, 5, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_advantages_are_the_discounted_sum_of_td_errors(steps, discount, trace):
    """Equation 16 of Schulman et al. (2016), written out: A_t = sum over l of (gamma lambda)^l delta_(t+l)."""
    rewards, values = (torch.tensor(column, dtype=torch.float64).unsqueeze(1) for column in zip(*steps, strict=True))
    ahead = torch.cat((values[1:], torch.zeros(1, 1, dtype=torch.float64)))
    errors = rewards + discount * ahead - values
    expected = [sum((discount * trace) ** (k - t) * errors[k, 0].item() for k in range(t, len(steps))) for t in range(len(steps))]
    found = generalized_advantages(rewards, values, discount, trace)
    assert found.squeeze(1).tolist() == pytest.approx(expected, abs=1e-9)


def test_without_discount_and_with_full_trace_they_are_what_is_still_to_come_minus_what_was_expected():
    rewards, values = torch.rand(5, 2), torch.rand(5, 2)
    still_to_come = rewards.flip(0).cumsum(0).flip(0)
    assert torch.allclose(generalized_advantages(rewards, values, 1.0, 1.0), still_to_come - values)


def test_an_update_says_what_it_did():
    policy = network()
    decisions, _ = played(policy)
    learner = Learner(policy, PPO(updates=2, passes=3, max_kl=1e9))
    learnt = learner.learn(decisions)
    update = learnt.update
    assert learnt.advantages.shape == (len(decisions), 3)
    assert (update.ppo_epochs, update.learning_rate) == (3, 3e-3)
    assert update.kl_divergence > 0
    assert set(update.per_head_kl) == set(update.per_head_entropy) == {"op", "slot", "blueprint", "blend"}
    assert update.entropy == pytest.approx(sum(update.per_head_entropy.values()))
    assert update.advantages.mean == pytest.approx(0, abs=1e-5)
    assert update.lstm.hidden_std > 0
    assert update.return_std > 0


def test_learning_rate_falls_to_nothing_with_the_updates():
    policy = network()
    decisions, _ = played(policy)
    learner = Learner(policy, PPO(updates=4, passes=1))
    assert [learner.learn(decisions).update.learning_rate for _ in range(4)] == pytest.approx([3e-3, 2.25e-3, 1.5e-3, 0.75e-3])


def test_no_further_pass_is_made_once_the_policy_has_moved_too_far():
    policy = network()
    decisions, _ = played(policy)
    update = Learner(policy, PPO(passes=10, lr=0.05, max_kl=0.01)).learn(decisions).update
    assert update.ppo_epochs < 10
    assert update.kl_divergence > 0.01


def test_an_update_makes_better_actions_likelier_and_worse_ones_less_likely():
    policy = network()
    decisions, _ = played(policy)
    learnt = Learner(policy, PPO(passes=4)).learn(decisions)
    before = torch.stack([sum(decision.choice.drawn.log_probs.values()) for decision in decisions])
    better = learnt.advantages > learnt.advantages.mean()
    change = _log_probs(policy, decisions) - before
    assert change[better].mean() > 0 > change[~better].mean()


def _log_probs(policy, decisions):
    """Of what was done then, under the policy of now."""
    legal = stacked([decision.legal for decision in decisions])
    with torch.no_grad():
        seen = policy(torch.stack([decision.observations for decision in decisions]), legal, policy.start(3))
    chosen = torch.stack([decision.choice.drawn.chosen for decision in decisions])
    return sum(seen.actions.log_probs(chosen).values())
