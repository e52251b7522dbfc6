"""Policy against heuristic, decision by decision: what is compared, and what of it a run keeps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from report_runs import Made, run

from karn_wandb.analysis.policy import MOST_NAMES, OTHER, PolicyAnalyzer
from karn_wandb.experiment.agreement import Agreement, agreement
from karn_wandb.experiment.packed import pack, unpack
from karn_wandb.records import FactoredAction, PolicySnapshot

WAIT = FactoredAction("WAIT")
EARLY, LATE = FactoredAction("GERMINATE", "early", "conv"), FactoredAction("GERMINATE", "late", "conv")

actions = st.sampled_from([WAIT, EARLY, LATE, FactoredAction("PRUNE", "late"), FactoredAction("GERMINATE", "early")])


def decided(*pairs):
    return [PolicySnapshot((), ours, heuristic_action=heuristic) for ours, heuristic in pairs]


def test_heads_are_compared_where_the_op_is_the_same_and_the_heuristic_filled_them():
    found = agreement(decided((WAIT, WAIT), (EARLY, LATE), (WAIT, EARLY), (EARLY, EARLY), (WAIT, None)))
    assert found == Agreement(
        decisions=4,
        compared={"action": 4, "op": 4, "slot": 2, "blueprint": 2},
        agreed={"action": 2, "op": 3, "slot": 1, "blueprint": 2},
        ops=(("GERMINATE", "GERMINATE", 2), ("WAIT", "GERMINATE", 1), ("WAIT", "WAIT", 1)),
    )


def test_without_a_heuristic_there_is_nothing_to_compare():
    assert agreement(decided((WAIT, None))) is None
    assert agreement([]) is None


@given(st.lists(st.tuples(actions, st.none() | actions)))
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
        assert sum(many for *_, many in found.ops) == found.decisions
        assert Agreement.from_plain(found.to_plain()) == found


def test_a_controller_that_makes_up_ops_does_not_fill_the_cache():
    found = agreement(decided(*((FactoredAction(f"OP{n}"), WAIT) for n in range(3 * MOST_NAMES))))
    assert len(found.ops) == MOST_NAMES + 1
    assert found.ops[0] == (OTHER, OTHER, 2 * MOST_NAMES)


def test_it_is_a_fact_of_the_episode_and_comes_back_from_the_cache():
    telemetry = run(Made("a", finals=(60.0, 61.0), decisions=[(WAIT, WAIT), (EARLY, WAIT)])).telemetry
    facts = telemetry.facts
    assert [episode.policy.decisions for episode in facts.episodes] == [2, 2]
    assert unpack(pack(telemetry, {})).facts == facts


def test_decisions_alone_make_no_episode():
    telemetry = run(Made("a", decisions=[(WAIT, WAIT)])).telemetry
    strayed = [replace(e, episode_idx=7) if isinstance(e.data, PolicySnapshot) else e for e in telemetry]
    (episode,) = type(telemetry)(strayed).facts.episodes
    assert episode.policy is None
