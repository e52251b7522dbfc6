"""Statistics of a PPO update: against plain NumPy, against known divergences, and without reading a value on the way."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from karn_wandb.capture import ppo
from karn_wandb.capture.ppo import advantage_stats, explained_variance, lstm_health, ppo_update, ratio_stats
from karn_wandb.errors import UsageError
from karn_wandb.records import AdvantageStats, LSTMHealth, PPOUpdate, RatioStats

few = settings(max_examples=50, deadline=None)
NAN, INF = math.nan, math.inf


@st.composite
def batches(draw):
    """Double-precision tensors of a batch of two heads, with a mask that leaves at least one step."""
    n = draw(st.integers(1, 12))
    numbers = st.lists(st.floats(-100, 100), min_size=n, max_size=n)
    logs = st.lists(st.floats(-5, 0), min_size=n, max_size=n)
    tensors = {name: torch.tensor(draw(numbers), dtype=torch.float64) for name in ("advantages", "returns", "values")}
    for name in ("log_probs", "old_log_probs", "entropy"):
        tensors[name] = {head: torch.tensor(draw(logs), dtype=torch.float64) for head in ("op", "slot")}
    mask = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    return tensors, torch.tensor(mask)


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@few
@given(batches(), st.sampled_from([0.1, 0.2]), st.floats(0.5, 50))
def test_every_statistic_is_its_definition_over_the_valid_steps(batch, eps, clip):
    """The reference selects the valid steps first and is written in NumPy."""
    tensors, mask = batch
    valid = mask.numpy()
    a, g, v = (tensors[name].numpy()[valid] for name in ("advantages", "returns", "values"))
    logs = {head: (tensors["log_probs"][head] - tensors["old_log_probs"][head]).numpy()[valid] for head in ("op", "slot")}
    update = ppo_update(**tensors, clip_eps=eps, advantage_clip=clip, mask=mask)
    joint = np.exp(logs["op"] + logs["slot"])

    assert update.advantages.mean == close(a.mean())
    assert update.advantages.std == close(a.std())
    assert (update.advantages.min, update.advantages.max) == (a.min(), a.max())
    assert update.advantages.fraction_clipped == close((abs(a) > clip).mean())
    assert update.return_std == close(g.std())
    assert update.value_std == close(v.std())
    if np.ptp(g) == 0:
        assert (update.return_std, update.explained_variance, update.value_nrmse) == (0.0, None, None)
    elif g.std() > 1e-3:
        assert update.explained_variance == pytest.approx(1 - (g - v).var() / g.var(), rel=1e-6, abs=1e-6)
        assert update.value_nrmse == pytest.approx(np.sqrt(((g - v) ** 2).mean()) / g.std(), rel=1e-6)
    assert update.ratios.mean == close(joint.mean())
    assert update.ratios.fraction_clipped_high == close((joint > 1 + eps).mean())
    assert update.ratios.fraction_clipped_low == close((joint < 1 - eps).mean())
    assert update.kl_divergence == close((joint - 1 - np.log(joint)).mean())
    for head, log in logs.items():
        ratio = np.exp(log)
        assert update.per_head_kl[head] == close((ratio - 1 - log).mean())
        assert update.ratios.per_head_clip_rates[head] == close(((ratio > 1 + eps) | (ratio < 1 - eps)).mean())
        assert update.per_head_entropy[head] == close(tensors["entropy"][head].numpy()[valid].mean())
    assert update.entropy == close(sum(update.per_head_entropy.values()))


@few
@given(batches())
def test_padding_makes_no_difference_whatever_is_in_it(batch):
    tensors, mask = batch

    def padded(values):
        return {h: padded(v) for h, v in values.items()} if isinstance(values, dict) else values.masked_fill(~mask, NAN)

    def chosen(values):
        return {h: chosen(v) for h, v in values.items()} if isinstance(values, dict) else values[mask]

    masked = ppo_update(**{name: padded(values) for name, values in tensors.items()}, mask=mask)
    assert numbers(masked) == pytest.approx(numbers(ppo_update(**{name: chosen(values) for name, values in tensors.items()})))


def numbers(record, name=""):
    """All numbers of a record by name."""
    if isinstance(record, float):
        return {name: record}
    if isinstance(record, dict):
        return {k: v for key, value in record.items() for k, v in numbers(value, f"{name}/{key}").items()}
    if record is None or isinstance(record, int):
        return {}
    return numbers({f.name: getattr(record, f.name) for f in fields(record)}, name)


class TestKL:
    @pytest.mark.parametrize("shift", [0.05, 0.3, 1.0])
    def test_estimates_the_divergence_from_old_to_new_on_actions_of_the_old_policy(self, shift):
        """Within five standard errors of the exact value, which the other direction is not for a large shift."""
        logits = torch.tensor([1.0, 0.0, -1.0, 0.5])
        old = Categorical(logits=logits)
        new = Categorical(logits=logits + shift * torch.tensor([1.0, -2.0, 0.0, 3.0]))
        actions = torch.multinomial(old.probs, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
        update = ppo_update(log_probs=new.log_prob(actions), old_log_probs=old.log_prob(actions))
        log_ratio = new.log_prob(actions) - old.log_prob(actions)
        error = (log_ratio.exp() - 1 - log_ratio).std().item() / math.sqrt(len(actions))
        assert update.kl_divergence == pytest.approx(kl_divergence(old, new).item(), abs=5 * error)
        assert abs(kl_divergence(new, old).item() - update.kl_divergence) > 5 * error or shift < 0.1
        assert update.ratios.mean == pytest.approx(1.0, abs=5 * log_ratio.exp().std().item() / math.sqrt(len(actions)))

    def test_of_independent_heads_adds_up(self):
        generator = torch.Generator().manual_seed(1)
        old = {head: Categorical(logits=torch.randn(k, generator=generator)) for head, k in (("op", 3), ("slot", 5))}
        new = {
            head: Categorical(logits=dist.logits + 0.3 * torch.randn(dist.logits.shape, generator=generator))
            for head, dist in old.items()
        }
        taken = {h: torch.multinomial(d.probs, 100_000, replacement=True, generator=generator) for h, d in old.items()}
        update = ppo_update(
            log_probs={h: d.log_prob(taken[h]) for h, d in new.items()},
            old_log_probs={h: d.log_prob(taken[h]) for h, d in old.items()},
        )
        exact = {h: kl_divergence(old[h], new[h]).item() for h in old}
        assert update.per_head_kl == pytest.approx(exact, rel=0.05)
        assert update.kl_divergence == pytest.approx(sum(exact.values()), rel=0.05)

    @few
    @given(st.lists(st.floats(-(2**-10), 2**-10, width=32), min_size=1, max_size=20))
    def test_is_never_negative_and_keeps_its_digits_when_small(self, logs):
        """In single precision, where exp(d) - 1 - d would be mere rounding."""
        log_ratio = torch.tensor(logs)
        measured = ppo_update(log_probs=log_ratio, old_log_probs=torch.zeros(len(logs))).kl_divergence
        exact = (log_ratio.double().expm1() - log_ratio.double()).mean().item()
        assert measured >= 0
        assert measured == pytest.approx(exact, rel=1e-2, abs=1e-10)

    def test_of_the_same_policy_is_zero(self):
        logs = torch.tensor([-0.1, -2.0, -30.0])
        assert ppo_update(log_probs=logs, old_log_probs=logs) == PPOUpdate(
            kl_divergence=0.0, ratios=RatioStats(mean=1.0, fraction_clipped_high=0.0, fraction_clipped_low=0.0)
        )


class TestRatios:
    def test_by_hand(self):
        """Ratios 0.5, 1, 1.2 (just inside), 2."""
        new = torch.tensor([0.5, 1.0, 1.2 - 1e-9, 2.0], dtype=torch.float64).log()
        found = ratio_stats(new, torch.zeros(4, dtype=torch.float64))
        assert found == RatioStats(found.mean, fraction_clipped_high=0.25, fraction_clipped_low=0.25)
        assert found.mean == pytest.approx(1.175)
        assert ratio_stats(new + 2e-9, torch.zeros(4, dtype=torch.float64)).fraction_clipped_high == 0.5

    def test_of_one_head_are_the_joint_ones(self):
        new, old = torch.tensor([0.0, 0.3, -0.5, 0.1]), torch.zeros(4)
        found = ratio_stats({"op": new}, {"op": old})
        assert found.per_head_clip_rates == {"op": found.fraction_clipped_high + found.fraction_clipped_low} == {"op": 0.5}
        assert ratio_stats(new, old) == RatioStats(found.mean, 0.25, 0.25)

    def test_heads_that_move_in_opposite_directions_cancel_in_the_joint_ratio(self):
        zero = torch.zeros(2)
        found = ratio_stats({"op": zero + 1, "slot": zero - 1}, {"op": zero, "slot": zero})
        assert found == RatioStats(1.0, 0.0, 0.0, per_head_clip_rates={"op": 1.0, "slot": 1.0})

    def test_that_overflow_are_infinite_and_clipped(self):
        found = ppo_update(log_probs=torch.tensor([200.0, 0.0]), old_log_probs=torch.zeros(2))
        assert (found.ratios.mean, found.kl_divergence, found.ratios.fraction_clipped_high) == (INF, INF, 0.5)


class TestAdvantages:
    def test_by_hand(self):
        found = advantage_stats(torch.tensor([-4.0, 0.0, 0.0, 4.0]), clip=3.9)
        assert found == AdvantageStats(mean=0.0, std=found.std, min=-4.0, max=4.0, fraction_clipped=0.5)
        assert found.std == pytest.approx(math.sqrt(8))

    def test_on_the_threshold_is_not_above_it(self):
        assert advantage_stats(torch.tensor([-4.0, 4.0]), clip=4.0).fraction_clipped == 0.0

    def test_without_a_threshold_three_standard_deviations_are_it_on_any_scale(self):
        """One in twenty is sqrt(19) = 4.4 standard deviations out, one in ten exactly 3: on the edge."""
        for scale, offset in ((1.0, 0.0), (1000.0, 0.0), (1.0, 50.0)):
            outlier = offset + scale * torch.cat([torch.ones(1), torch.zeros(19)]).double()
            assert advantage_stats(outlier).fraction_clipped == 0.05
            assert advantage_stats(outlier[:9]).fraction_clipped == 0.0

    def test_that_are_all_the_same_are_not_clipped(self):
        """0.1 is no binary fraction, so that the mean of many would be rounded."""
        tenth = torch.tensor(0.1).item()
        assert advantage_stats(torch.full((1000,), 0.1)) == AdvantageStats(tenth, 0.0, tenth, tenth, 0.0)


class TestExplainedVariance:
    def test_of_a_perfect_critic_the_mean_and_a_worse_one(self):
        returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
        assert explained_variance(returns, returns) == 1.0
        assert explained_variance(torch.full((4,), 2.5), returns) == 0.0
        assert explained_variance(-returns, returns) == pytest.approx(-3.0)

    def test_knows_nothing_of_an_offset_but_the_nrmse_does(self):
        returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
        update = ppo_update(values=returns + 10, returns=returns)
        assert (update.explained_variance, update.value_nrmse) == (1.0, pytest.approx(10 / math.sqrt(1.25)))

    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1e-30])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
    def test_is_missing_when_returns_do_not_vary(self, constant, dtype):
        if dtype is torch.float16:
            constant = max(constant, -1e4)
        update = ppo_update(returns=torch.full((777,), constant, dtype=dtype), values=torch.randn(777))
        assert (update.return_std, update.explained_variance, update.value_nrmse) == (0.0, None, None)
        assert update.value_std > 0.5

    def test_of_returns_that_barely_vary_is_a_number_with_the_spread_beside_it(self):
        returns = torch.tensor([1.0, 1.0001])
        update = ppo_update(returns=returns, values=torch.tensor([1.0, 0.0]))
        assert update.explained_variance < -1e6
        assert update.return_std == pytest.approx(5e-5, rel=1e-2)
        assert update.value_nrmse > 1000

    def test_needs_both(self):
        assert ppo_update(returns=torch.tensor([0.0, 2.0])) == PPOUpdate(return_std=1.0)
        assert ppo_update(values=torch.tensor([0.0, 2.0])) == PPOUpdate(value_std=1.0)


class TestLSTM:
    def test_by_hand(self):
        """0.9 itself is not above 0.9."""
        found = lstm_health(torch.tensor([[0.95, -0.95], [0.0, 0.9]]).double(), torch.tensor([1.0, 3.0]))
        assert found == LSTMHealth(found.hidden_mean, found.hidden_std, 2.0, 1.0, 0.5)
        assert (found.hidden_mean, found.hidden_std) == pytest.approx((0.225, math.sqrt(2.615 / 4 - 0.225**2)))

    def test_takes_the_mask_of_steps_where_it_has_their_shape(self):
        mask = torch.tensor([[True, False], [True, True]])
        hidden = torch.zeros(2, 2, 3)
        hidden[0, 1] = 1.0
        assert lstm_health(hidden, hidden, mask=mask).saturation_fraction == 0.0
        assert lstm_health(hidden, hidden).saturation_fraction == 0.25
        assert lstm_health(hidden[None], hidden[None], mask=mask).saturation_fraction == 0.25

    @pytest.mark.parametrize("bad", [NAN, INF])
    def test_shows_what_is_not_finite(self, bad):
        found = lstm_health(torch.tensor([bad, 0.0]), torch.tensor([0.0, 2.0]))
        assert not math.isfinite(found.hidden_mean)
        assert math.isnan(found.hidden_std)
        assert (found.cell_mean, found.cell_std) == (1.0, 1.0)
        assert found.saturation_fraction == pytest.approx(NAN if math.isnan(bad) else 0.5, nan_ok=True)


class TestPrecision:
    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_is_computed_in_single(self, half):
        """The sum of these is beyond what 16 bits hold, or count exactly."""
        returns = torch.tensor([300.0, 302.0], dtype=half).repeat(1000)
        update = ppo_update(advantages=returns, returns=returns, values=torch.zeros(2000, dtype=half))
        assert update.advantages.mean == pytest.approx(301.0, rel=1e-6)
        assert update.return_std == pytest.approx(1.0, rel=1e-4)

    def test_double_stays_double_among_others(self):
        advantages = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
        update = ppo_update(advantages=advantages, returns=torch.ones(2), policy_loss=torch.tensor(0.5))
        assert update.advantages.max - update.advantages.min == pytest.approx(1e-12, rel=1e-3)
        assert update.policy_loss == 0.5

    def test_whole_numbers_are_taken(self):
        assert ppo_update(returns=torch.tensor([0, 2])).return_std == 1.0


class TestNotFinite:
    @pytest.mark.parametrize("name", ["advantages", "returns", "values", "log_probs", "entropy"])
    def test_nan_comes_out_where_it_went_in_and_nowhere_else(self, name):
        good = dict.fromkeys(
            ["advantages", "returns", "values", "log_probs", "old_log_probs", "entropy"], torch.tensor([1.0, 2.0])
        )
        found = numbers(ppo_update(**good | {name: torch.tensor([1.0, NAN])}))
        from_it = {
            "advantages": {n for n in found if n.startswith("/advantages")},
            "returns": {"/return_std", "/explained_variance", "/value_nrmse"},
            "values": {"/value_std", "/explained_variance", "/value_nrmse"},
            "log_probs": {"/kl_divergence", "/ratios/mean", "/ratios/fraction_clipped_high", "/ratios/fraction_clipped_low"},
            "entropy": {"/entropy"},
        }[name]
        assert {n for n, value in found.items() if math.isnan(value)} == from_it

    def test_an_infinite_advantage_is_above_any_threshold(self):
        found = advantage_stats(torch.tensor([-INF, 0.0]), clip=1.0)
        assert (found.mean, found.min, found.max, found.fraction_clipped) == (-INF, -INF, 0.0, 0.5)
        assert math.isnan(found.std)

    def test_infinite_returns_have_no_spread_that_is_known(self):
        update = ppo_update(returns=torch.full((3,), INF), values=torch.zeros(3))
        assert math.isnan(update.return_std)
        assert math.isnan(update.explained_variance)


class TestMissing:
    def test_what_is_not_given_is_none(self):
        assert ppo_update() == PPOUpdate()
        assert ppo_update(mask=torch.tensor([True])) == PPOUpdate()

    @pytest.mark.parametrize(("steps", "mask"), [(0, None), (0, torch.ones(0).bool()), (3, torch.zeros(3).bool())])
    def test_without_a_valid_step_only_what_is_not_measured_on_steps_is_left(self, steps, mask):
        x = torch.ones(steps)
        update = ppo_update(
            advantages=x, returns=x, values=x, log_probs={"op": x}, old_log_probs={"op": x}, entropy={"op": x}, mask=mask,
            hidden=torch.ones(steps, 4), cell=torch.ones(steps, 4), policy_loss=torch.tensor(2.0), ppo_epochs=3,
        )  # fmt: skip
        assert update == PPOUpdate(policy_loss=2.0, ppo_epochs=3)
        assert advantage_stats(x, mask=mask) is None
        assert ratio_stats(x, x, mask=mask) is None
        assert explained_variance(x, x, mask=mask) is None
        assert lstm_health(x, x, mask=mask) is None

    def test_a_joint_entropy_with_a_head_missing_is_none(self):
        update = ppo_update(entropy={"op": torch.ones(2), "slot": 0.5}, mask=torch.zeros(2))
        assert (update.entropy, update.per_head_entropy) == (None, {"slot": 0.5})

    def test_state_that_the_mask_does_not_fit_stays_without_a_valid_step(self):
        assert ppo_update(hidden=torch.ones(4), cell=torch.ones(4), mask=torch.zeros(3)).lstm.hidden_mean == 1.0


class TestSingleNumbers:
    def test_are_taken_as_numbers_or_tensors(self):
        update = ppo_update(
            policy_loss=torch.tensor([0.25]), value_loss=np.float32(0.5), grad_norm=torch.tensor(2.0, requires_grad=True),
            learning_rate=3e-4, ppo_epochs=4, entropy=torch.tensor(1.5),
        )  # fmt: skip
        assert update == PPOUpdate(
            policy_loss=0.25, value_loss=0.5, grad_norm=2.0, learning_rate=3e-4, ppo_epochs=4, entropy=1.5
        )  # fmt: skip

    def test_an_entropy_may_be_given_as_means_by_head_or_step_by_step(self):
        update = ppo_update(entropy={"op": torch.tensor(1.0), "slot": 0.5, "tempo": torch.tensor([0.0, 1.0])})
        assert (update.entropy, update.per_head_entropy) == (2.0, {"op": 1.0, "slot": 0.5, "tempo": 0.5})
        assert ppo_update(entropy=torch.tensor([1.0, 2.0])) == PPOUpdate(entropy=1.5)

    def test_names_of_heads_may_hold_anything(self):
        x = torch.zeros(2)
        update = ppo_update(log_probs={"a/b": x, "mean": x}, old_log_probs={"a/b": x, "mean": x}, entropy={"a/b": x})
        assert update.per_head_kl == update.ratios.per_head_clip_rates == {"a/b": 0.0, "mean": 0.0}
        assert update.per_head_entropy == {"a/b": 0.0}


class TestReading:
    def batch(self, device, mask):
        x = torch.ones(4, 2, device=device, dtype=torch.bfloat16)
        return ppo._Batch(
            advantages=x, returns=x, values=x, log_probs={"op": x, "slot": x}, old_log_probs={"op": x, "slot": x},
            entropies={"": x}, hidden=x, cell=x, mask=x.bool() if mask else None,
        )  # fmt: skip

    @pytest.mark.parametrize("mask", [True, False])
    @pytest.mark.parametrize("clip", [None, 3.0])
    def test_measuring_reads_no_value(self, mask, clip):
        """On the meta device there are no values: reading one raises."""
        measured = ppo._measure(self.batch("meta", mask), 0.2, clip)
        tensors = [tensor for group in measured.values() for tensor in group.values()]
        assert {(t.device.type, t.shape) for t in tensors} == {("meta", ())}
        stacked = ppo._stacked(tensors)
        assert stacked.shape == (len(tensors),)
        with pytest.raises(RuntimeError):
            stacked.tolist()

    def test_all_numbers_come_by_one_copy(self, monkeypatch):
        calls = []
        for name in ("tolist", "item", "__float__", "__bool__", "__int__", "cpu", "numpy"):
            original = getattr(torch.Tensor, name)
            monkeypatch.setattr(torch.Tensor, name, lambda self, o=original, n=name: calls.append(n) or o(self))
        x = torch.rand(5, generator=torch.Generator().manual_seed(0))
        update = ppo_update(
            advantages=x, returns=x, values=-x, log_probs=x, old_log_probs=x, entropy=x, hidden=x, cell=x, mask=x > 0.1,
            policy_loss=x[0], value_loss=x[1], grad_norm=x[2], learning_rate=1e-3,
        )  # fmt: skip
        assert calls == ["tolist"]
        assert {f.name for f in fields(update) if not getattr(update, f.name)} <= {
            "ppo_epochs", "per_head_kl", "per_head_entropy", "kl_divergence",
        }  # fmt: skip

    def test_no_graph_is_kept_and_nothing_changed(self):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        before = x.detach().clone()
        ppo_update(advantages=x * 2, returns=x, values=x, log_probs=x, old_log_probs=x, hidden=x, cell=x, policy_loss=x.sum())
        assert torch.equal(x, before)
        assert x.grad is None


class TestWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                {"returns": torch.ones(3), "values": torch.ones(3, 1)},
                "same shape; got returns (3,), values (3, 1). Squeeze or flatten: one element a step.",
            ),
            ({"advantages": torch.ones(3), "mask": torch.ones(2)}, "got advantages (3,), mask (2,)"),
            (
                {"log_probs": torch.ones(3)},
                "log_probs and old_log_probs belong together; got only one of them. Pass both or neither.",
            ),
            ({"cell": torch.ones(3)}, "hidden and cell belong together"),
            (
                {"log_probs": {"op": torch.ones(3)}, "old_log_probs": torch.ones(3)},
                "log_probs and old_log_probs must have the same heads; got ['op'] and a tensor",
            ),
            ({"log_probs": {"op": torch.ones(3)}, "old_log_probs": {"slot": torch.ones(3)}}, "got ['op'] and ['slot']"),
            (
                {"log_probs": {"op": torch.ones(3)}, "old_log_probs": {"op": torch.ones(2)}},
                "got log_probs/op (3,), old_log_probs/op (2,)",
            ),
            ({"log_probs": torch.ones(3), "old_log_probs": torch.ones(2)}, "got log_probs (3,), old_log_probs (2,)"),
            ({"policy_loss": torch.ones(3)}, "policy_loss must be one number; got a tensor of shape (3,). Take its mean."),
            ({"advantages": np.ones(3)}, "advantages must be a tensor; got a ndarray. Use torch.as_tensor."),
            ({"hidden": [1.0], "cell": [1.0]}, "hidden must be a tensor; got a list"),
        ],
    )
    def test_is_refused_by_name(self, given, message):
        with pytest.raises(UsageError) as error:
            ppo_update(**given)
        assert message in str(error.value)
