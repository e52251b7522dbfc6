"""What stands in the sections of the live dashboard.

Names and explanations come from runs: they are shown as text, never as markup, and cannot control the terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from karn_wandb.records import (
    ClaimReading,
    CounterfactualMatrix,
    EpisodeContext,
    EpochSnapshot,
    HealthReport,
    InteractionEstimate,
    SeedStage,
)
from karn_wandb.sinks.dashboard_slots import PARAMS_UNIT, Contribution, GateResult, StageChange
from karn_wandb.sinks.dashboard_state import DashboardState, EpisodeState

TITLE = "KARN · MORPHOGENETIC TRAINING MONITOR"
WIN = "✓ WIN"
ACTIONS = 8
"""Newest actions that are shown."""

MOST_PAIRS = 2
"""Pairs of slots whose interaction is shown."""

LONGEST = 200
"""Characters of an explanation that are shown."""

LONGEST_REASON = 80
"""Characters of a gate's reason that are shown, in a narrow column."""


def clean(text: object) -> str:
    """A text on one line, without characters that control a terminal or reorder what stands around them."""
    return "".join(c if c.isprintable() else " " if c.isspace() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def sections(state: DashboardState) -> Iterator[tuple[str, RenderableType]]:
    """The sections there is something to say in, from top to bottom, by name."""
    episode = state.shown
    yield "title", _title(state, episode)
    yield "claims", _claims(episode)
    matrix = episode.latest(CounterfactualMatrix)
    if matrix is not None and episode.contributions():
        yield "contributions", _contributions(matrix, episode.contributions())
    if episode.slots:
        yield "slots", _slots(episode)
    if episode.decision is not None or state.ppo is not None:
        yield "policy", _policy(state, episode)
    yield "capture", _capture(state, episode)
    yield "alerts", _alerts(state, episode)


def _title(state: DashboardState, episode: EpisodeState) -> RenderableType:
    context = episode.latest(EpisodeContext)
    planned = f"/{context.max_epochs}" if context is not None and context.max_epochs else ""
    epoch = "no epoch yet" if episode.epoch is None else f"Epoch {episode.epoch}{planned}"
    name = (state.run.name or state.run.run_id) if state.run is not None else ""
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(Text(TITLE, "bold"), Text(epoch, "bold"))
    rows: list[RenderableType] = [grid]
    if name:
        rows.append(_text(name, "dim"))
    if episode.scoped:
        where = f"environment {episode.env_id} (of {state.environments}), episode {episode.episode_idx}"
        rows.append(Text(f"{where}; {_count(state.episodes_done, 'episode')} done", "dim"))
    return Group(*rows)


def _claims(episode: EpisodeState) -> RenderableType:
    snapshot = episode.latest(EpochSnapshot)
    if snapshot is None:
        return Text("waiting for the first epoch", "dim")
    host, claim = snapshot.host, episode.claim()
    grid = _labelled()
    accuracy = Text("not measured" if host.val_accuracy is None else f"{host.val_accuracy:.2f} %")
    if claim is not None and claim.accuracy_delta is not None:
        accuracy.append(f", {claim.accuracy_delta:+.2f} points against the host alone")
    grid.add_row("ACCURACY", accuracy)
    against = _against(episode, claim)
    if against:
        grid.add_row("", Text(against, "dim"))
    if host.total_params and host.host_params:
        ratio = Text(f"{host.total_params / host.host_params:.2f}x the host's parameters")
        ratio.append(f" ({_compact(host.total_params)} / {_compact(host.host_params)})", "dim")
        grid.add_row("PARAM RATIO", ratio)
    if claim is not None and None not in (claim.param_efficiency, claim.accuracy, claim.baseline_accuracy):
        grid.add_row("EFFICIENCY", Text(f"{claim.param_efficiency:.2f}x the host alone's accuracy per parameter"))
    return grid


def _against(episode: EpisodeState, claim: ClaimReading | None) -> str:
    """What the accuracy is compared with, and what that cannot say; "" between an epoch and its reading."""
    if claim is not None and claim.baseline_accuracy is not None:
        return f"host alone: {claim.baseline_accuracy:.2f} %; one run: no interval"
    if not episode.has_host_only_run:
        return "no host-only run to compare with"
    return "" if claim is None else "the host-only run has no accuracy at this epoch"


def _contributions(matrix: CounterfactualMatrix, found: Sequence[Contribution]) -> RenderableType:
    kind = "Shapley" if matrix.shapley_values else "removal cost"
    unit, decimals = ("points", 2) if matrix.metric == "accuracy" else ("loss", 4)
    grid = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False, expand=False)
    grid.add_column("  slot", overflow="ellipsis", no_wrap=True, max_width=18)
    grid.add_column(f"{unit} ± 95 %" if any(each.margin is not None for each in found) else unit, no_wrap=True)
    grid.add_column("kind, params", overflow="ellipsis", no_wrap=True)
    grid.add_column("efficiency", justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True, min_width=len(WIN))
    for each in found:
        margin = "" if each.margin is None else f" ± {each.margin:.{decimals}f}"
        module = ", ".join(part for part in (each.blueprint_id, _compact(each.seed_params)) if part)
        grid.add_row(
            _text(f"  {clean(each.slot_id)}", raw=True),
            Text(f"{each.value:+.{decimals}f}{margin}"),
            _text(module),
            Text(_efficiency(each.efficiency)),
            Text(WIN if each.positive else "", "bold green"),
        )
    notes = [*_pairs(matrix, decimals), f"Efficiency: {unit} per {PARAMS_UNIT:,} parameters."]
    if any(each.positive for each in found):
        notes.append(f"{WIN}: the interval is above zero.")
    notes.append("By switching slots off now, not by training without them.")
    if any(e.evaluation_method == "binomial_bound" for e in (matrix.shapley_values or {}).values()):
        notes.append("The intervals are upper bounds: only accuracies are known, no outcomes.")
    if not matrix.complete:
        notes.append(f"Cut short: {matrix.stop_reason}")
    heading = _heading("SEED CONTRIBUTIONS", f"({kind}, epoch {matrix.epoch})")
    return Group(heading, grid, *(_indented(note, "dim") for note in notes))


def _pairs(matrix: CounterfactualMatrix, decimals: int) -> list[str]:
    """The strongest pairs of slots that help or hinder each other, where that is decided."""
    decided = [(pair, e) for pair, e in matrix.interactions.items() if e.regime in ("synergy", "interference")]
    strongest = sorted(decided, key=lambda found: -abs(found[1].effect))[:MOST_PAIRS]
    return [f"{e.regime} {'+'.join(map(clean, pair))} {e.effect:+.{decimals}f}{_span(e, decimals)}" for pair, e in strongest]


def _span(estimate: InteractionEstimate, decimals: int) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return ""
    return f" [{estimate.ci_low:.{decimals}f}, {estimate.ci_high:.{decimals}f}]"


def _slots(episode: EpisodeState) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="ellipsis", no_wrap=True, max_width=18)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    dormant = [clean(slot_id) for slot_id, slot in episode.slots.items() if slot.stage is SeedStage.DORMANT]
    for slot_id, slot in episode.slots.items():
        if slot.stage is not SeedStage.DORMANT:
            alphas = " -> ".join(f"{alpha:.2f}" for alpha in slot.alpha_changes())
            name = _text(f"  {clean(slot_id)}", raw=True)
            grid.add_row(name, Text(slot.stage.name), Text(alphas and f"alpha {alphas}"), _gate(slot.gate))
    rows: list[RenderableType] = [Text("SLOTS", "bold")]
    if grid.row_count:
        rows.append(grid)
    if dormant:
        rows.append(_indented(f"dormant: {', '.join(dormant)}", "dim"))
    for change in episode.changes:
        when = "" if change.epoch is None else f"epoch {change.epoch}  "
        rows.append(_indented(f"{when}{change_in_words(change)}", "dim"))
    return Group(*rows)


def _gate(gate: GateResult | None) -> Text:
    if gate is None:
        return Text("")
    if gate.passed:
        return Text(f"{gate.gate} passed", "green")
    return _text(f"{gate.gate} not passed" + (f": {gate.why}" if gate.why else ""), "yellow", longest=LONGEST_REASON)


def change_in_words(change: StageChange) -> str:
    """A change of stage on one line."""
    why = f" ({clean(change.why)})" if change.why else ""
    return f"{clean(change.slot_id)}: {change.before.name} -> {change.after.name}{why}"


def _policy(state: DashboardState, episode: EpisodeState) -> RenderableType:
    grid = _labelled(indent=2)
    policy, decision = episode.policy, episode.decision
    for label, value, unit in (
        ("Value variance", policy.recent_value_variance(), ""),
        ("Entropy", policy.recent_entropy(), " nats"),
    ):
        if value is not None:
            grid.add_row(f"  {label}", Text(f"{value:.3g}{unit}"))
    if decision is not None:
        actions = policy.recent_actions()
        grid.add_row("  Recent actions", _text(" ".join(actions[-ACTIONS:])))
        if decision.explanation:
            grid.add_row("  Why", _text(f"{actions[-1]}: {decision.explanation}"))
    kl = state.ppo.kl_divergence if state.ppo else decision.kl_divergence if decision else None
    explained = state.ppo.explained_variance if state.ppo else decision.explained_variance if decision else None
    learned = [f"{name} {value:.3g}" for name, value in (("KL", kl), ("explained variance", explained)) if value is not None]
    if learned:
        grid.add_row("  PPO", Text(", ".join(learned)))
    newest = f"(newest {_count(min(policy.decisions, 20), 'decision')})" if policy.decisions else ""
    return Group(_heading("POLICY HEALTH", newest), grid)


def _capture(state: DashboardState, episode: EpisodeState) -> RenderableType:
    grid = _labelled()
    health = episode.latest(HealthReport)
    if health is not None:
        grid.add_row("MODE", Text(health.mode))
    traces = ", ".join(f"{number} {reason}" for reason, number in state.traces.most_common())
    grid.add_row("DENSE TRACES", _text(traces or "none"))
    dropped = state.dropped_records
    grid.add_row("DROPPED", Text(_count(dropped, "record"), "bold red") if dropped else Text("no records"))
    return grid


def _alerts(state: DashboardState, episode: EpisodeState) -> RenderableType:
    health, alerts = episode.latest(HealthReport), episode.alerts()
    elsewhere = f"and in {_count(state.alerting_elsewhere, 'other environment')}" if state.alerting_elsewhere else ""
    if not alerts:
        return Text(f"ALERTS: {elsewhere.removeprefix('and ') or 'none'}", "bold yellow" if elsewhere else "bold")
    style = "red" if health is not None and health.status == "critical" else "yellow"
    rows = [_indented(clean(alert), style) for alert in alerts]
    return Group(Text("ALERTS:", f"bold {style}"), *rows, *([_indented(elsewhere, "dim")] if elsewhere else []))


def _labelled(indent: int = 0) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="" if indent else "bold", no_wrap=True, min_width=14)
    grid.add_column(overflow="fold")
    return grid


def _heading(name: str, beside: str) -> Text:
    return Text.assemble((name, "bold"), " ", (beside, "dim"))


def _indented(text: str, style: str) -> RenderableType:
    return Padding(_text(text, style), (0, 0, 0, 2))


def _text(text: str, style: str = "", *, raw: bool = False, longest: int = LONGEST) -> Text:
    shown = text if raw else clean(text)
    return Text(shown if len(shown) <= longest else f"{shown[: longest - 1]}…", style)


def _compact(count: int | None) -> str:
    """A number of parameters in a few characters: 100, 2.1K, 37K, 1.2M; "" for none."""
    if not count:
        return ""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return (f"{count / size:.1f}".removesuffix(".0") if count < 10 * size else f"{count / size:.0f}") + unit
    return str(count)


def _efficiency(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
