"""Policy against heuristic, decision by decision: what is compared, and what of it a run keeps."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from report_runs import Made, run

from karn_wandb.analysis.policy import MOST_NAMES, OTHER, PolicyAnalyzer
from karn_wandb.experiment.agreement import Agreement, OpCount, agreement
from karn_wandb.experiment.packed import pack, unpack
from karn_wandb.records import FactoredAction, PolicySnapshot

WAIT = FactoredAction("WAIT")
EARLY, LATE = FactoredAction("GERMINATE", "early", "conv"), FactoredAction("GERMINATE", "late", "conv")

actions = st.sampled_from([WAIT, EARLY, LATE, FactoredAction("PRUNE", "late"), FactoredAction("GERMINATE", "early")])


def decided(*pairs):
    return [PolicySnapshot((), ours, heuristic_action=heuristic, regret=(*regret, None)[0]) for ours, heuristic, *regret in pairs]


def test_heads_are_compared_where_the_op_is_the_same_and_the_heuristic_filled_them():
    found = agreement(decided((WAIT, WAIT), (EARLY, LATE), (WAIT, EARLY), (EARLY, EARLY), (WAIT, None)))
    assert found == Agreement(
        decisions=4,
        compared={"action": 4, "op": 4, "slot": 2, "blueprint": 2},
        agreed={"action": 2, "op": 3, "slot": 1, "blueprint": 2},
        ops=(OpCount("GERMINATE", "GERMINATE", 2), OpCount("WAIT", "GERMINATE", 1), OpCount("WAIT", "WAIT", 1)),
    )


def test_regrets_are_summed_by_pair_of_ops_where_the_two_differ():
    found = agreement(
        decided(
            (EARLY, WAIT, 0.5),
            (LATE, WAIT, -2.0),
            (EARLY, WAIT),
            (EARLY, WAIT, math.nan),
            (EARLY, LATE, 4.0),
            (EARLY, EARLY, 100.0),
            (WAIT, None, 100.0),
        )
    )
    assert found.ops == (OpCount("GERMINATE", "WAIT", 4, 2, -1.5), OpCount("GERMINATE", "GERMINATE", 2, 1, 4.0))


def test_without_a_heuristic_there_is_nothing_to_compare():
    assert agreement(decided((WAIT, None))) is None
    assert agreement([]) is None


@given(st.lists(st.tuples(actions, st.none() | actions, st.none() | st.integers(-9, 9).map(float))))
def test_it_counts_as_the_reading_while_training_does(pairs):
    live = PolicyAnalyzer()
    for decision in decided(*pairs):
        live.observe(decision)
    told, found = live.comparison(), agreement(decided(*pairs))
    if found is None:
        assert told.decisions == 0
    else:
        assert (found.decisions, found.agreed["action"], found.agreed["op"]) == (
            told.decisions,
            told.agreements,
            told.op_agreements,
        )
        assert sum(pair.decisions for pair in found.ops) == found.decisions
        regrets = sum(pair.regrets for pair in found.ops)
        assert regrets == told.regrets
        if regrets:
            assert math.isclose(sum(pair.regret_sum for pair in found.ops) / regrets, told.regret_mean, abs_tol=1e-12)
        assert Agreement.from_plain(found.to_plain()) == found


def test_a_controller_that_makes_up_ops_does_not_fill_the_cache():
    found = agreement(decided(*((FactoredAction(f"OP{n}"), WAIT) for n in range(3 * MOST_NAMES))))
    assert len(found.ops) == MOST_NAMES + 1
    assert found.ops[0] == OpCount(OTHER, OTHER, 2 * MOST_NAMES)


def test_it_is_a_fact_of_the_episode_and_comes_back_from_the_cache():
    telemetry = run(Made("a", finals=(60.0, 61.0), decisions=[(WAIT, WAIT), (EARLY, WAIT, 0.1)])).telemetry
    facts = telemetry.facts
    assert [episode.policy.decisions for episode in facts.episodes] == [2, 2]
    assert [episode.policy.ops[0] for episode in facts.episodes] == [OpCount("GERMINATE", "WAIT", 1, 1, 0.1)] * 2
    assert unpack(pack(telemetry, {})).facts == facts


def test_decisions_alone_make_no_episode():
    telemetry = run(Made("a", decisions=[(WAIT, WAIT)])).telemetry
    strayed = [replace(e, episode_idx=7) if isinstance(e.data, PolicySnapshot) else e for e in telemetry]
    (episode,) = type(telemetry)(strayed).facts.episodes
    assert episode.policy is None
