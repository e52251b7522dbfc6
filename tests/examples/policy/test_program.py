"""The program: each controller is tried on the same unseen hosts, and everything the policy does is in the run."""

import math
import sys

import pytest
import torch

import karn_wandb
from examples.policy.__main__ import main, parsed
from karn_wandb.records import CounterfactualMatrix, EpisodeContext, EpisodeOutcome, PolicySnapshot, PPOUpdate

pytestmark = pytest.mark.offline

HOSTS, UPDATES, EPISODES, REGRETS = 2, 2, 2, 3
CONTROLLERS = ("policy", "untrained", "random", "none", "heuristic")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A run of each controller, with one random seed."""
    out = tmp_path_factory.mktemp("policies")
    few = {"--hosts": HOSTS, "--updates": UPDATES, "--episodes": EPISODES, "--regrets": REGRETS, "--out": out}
    words = [str(word) for option in few.items() for word in option]
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        for controller in CONTROLLERS:
            kept = ["--checkpoint", str(out / "policy.pt")] if controller == "policy" else []
            patch.setattr(sys, "argv", ["policy", "--controller", controller, "--seed", "7", *words, *kept])
            main()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    return karn_wandb.load_experiment(out)


def run_of(experiment, controller):
    (run,) = [run for run in experiment.runs if run.config["controller"] == controller]
    return run


def of(experiment, controller, kind, env_id=None):
    events = run_of(experiment, controller).telemetry
    return [event.data for event in events if isinstance(event.data, kind) and env_id in (None, event.env_id)]


def test_every_controller_is_tried_on_the_same_hosts(experiment):
    episodes = experiment.episodes
    assert len(episodes) == len(CONTROLLERS) * HOSTS
    by_controller = episodes.groupby("config.controller")["base_seed"].apply(tuple)
    assert set(by_controller) == {(7_500_000, 7_500_001)}
    assert set(episodes["state"]) == {"finished"}
    assert set(episodes["config.seed"]) == {7}
    assert (episodes["epochs"] == 16).all()


def test_the_return_is_the_sum_of_the_decisions_rewards(experiment):
    for controller in CONTROLLERS:
        rows = experiment.episodes[experiment.episodes["config.controller"] == controller]
        decisions = of(experiment, controller, PolicySnapshot, env_id=1)
        assert rows["reward_total"].sum() == pytest.approx(sum(decision.reward_total for decision in decisions))
        outcomes = of(experiment, controller, EpisodeOutcome)
        assert sorted(rows["reward_total"]) == pytest.approx(sorted(outcome.reward_total for outcome in outcomes))


def test_a_reward_is_the_sum_of_its_parts(experiment):
    for decision in of(experiment, "policy", PolicySnapshot):
        parts = [part for part in decision.reward_components.to_plain().values() if isinstance(part, float)]
        assert decision.reward_total == pytest.approx(sum(parts), abs=1e-6)


def test_a_policys_decision_is_logged_with_all_there_is_to_know_of_it(experiment):
    decision = of(experiment, "policy", PolicySnapshot, env_id=0)[5]
    assert len(decision.observation_vector) == 36
    assert set(decision.action_log_probs) == {"op", "slot", "blueprint", "blend"}
    assert decision.entropy > 0
    for name in ("value_estimate", "advantage", "kl_divergence", "explained_variance", "advantage_stats", "ratio_stats"):
        assert getattr(decision, name) is not None
    assert set(decision.per_head_kl) == {"op", "slot", "blueprint", "blend"}
    assert decision.heuristic_action is not None


def test_each_decision_is_explained_in_words(experiment):
    for controller in ("policy", "heuristic"):
        for decision in of(experiment, controller, PolicySnapshot, env_id=1):
            assert decision.explanation.startswith(decision.action.op)
            assert "on the steering part" in decision.explanation
            assert f"; the heuristic says {decision.heuristic_action.op}" in decision.explanation
    drawn = of(experiment, "policy", PolicySnapshot, env_id=1)[3]
    probability = math.exp(sum(drawn.action_log_probs.values()))
    assert f"; with probability {probability:.2f}; after epoch 3, " in drawn.explanation


def test_updates_are_logged_with_lstm_health(experiment):
    updates = of(experiment, "policy", PPOUpdate)
    assert len(updates) == UPDATES
    assert all(update.lstm is not None and update.explained_variance is not None for update in updates)
    assert not of(experiment, "untrained", PPOUpdate)


def test_training_and_evaluation_are_apart(experiment):
    assert len(of(experiment, "policy", PolicySnapshot, env_id=0)) == UPDATES * EPISODES * 16
    assert len(of(experiment, "policy", PolicySnapshot, env_id=1)) == HOSTS * 16
    assert not of(experiment, "random", PolicySnapshot, env_id=0)


def test_the_regret_of_some_disagreements_is_known(experiment):
    asked = [decision for decision in of(experiment, "policy", PolicySnapshot, env_id=1) if decision.regret is not None]
    assert len(asked) == REGRETS
    assert all(math.isfinite(decision.regret) for decision in asked)
    assert not [d for d in of(experiment, "none", PolicySnapshot) if d.regret is not None]


def test_the_heuristic_agrees_with_itself_and_who_waits_does_not_always(experiment):
    def agreeing(controller):
        decisions = of(experiment, controller, PolicySnapshot, env_id=1)
        return sum(decision.action == decision.heuristic_action for decision in decisions) / len(decisions)

    assert agreeing("heuristic") == 1
    assert agreeing("none") < 1


def test_every_host_ends_with_its_coalitions_evaluated(experiment):
    for controller in CONTROLLERS:
        matrices = of(experiment, controller, CounterfactualMatrix)
        assert len(matrices) == HOSTS
        assert all(len(matrix.configs) == 8 for matrix in matrices)


def test_each_episode_says_which_host_it_was_and_the_run_which_policy(experiment):
    contexts = of(experiment, "policy", EpisodeContext)
    assert contexts[0].base_seed == 7
    assert [context.base_seed for context in contexts if context.max_epochs == 16] == [7_500_000, 7_500_001]
    assert all(context.data_hash for context in contexts)


def test_the_weight_of_each_part_of_the_reward_is_an_option():
    options = parsed(["--rent", "0.5", "--shaping", "0", "--attribution", "0.1", "--accuracy", "0"])
    assert (options.rent, options.shaping, options.attribution, options.accuracy) == (0.5, 0.0, 0.1, 0.0)
