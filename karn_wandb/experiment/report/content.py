"""What a report says, before it is laid out: one set of values that HTML, Markdown and JSON are written from."""

from __future__ import annotations

from dataclasses import dataclass

from karn_wandb.experiment.claims import Correction, Test
from karn_wandb.experiment.declarations import Declaration
from karn_wandb.experiment.report.bands import DifferenceCurve, MeanCurve
from karn_wandb.experiment.report.policy import PolicyAgreement
from karn_wandb.experiment.report.robustness import Robustness
from karn_wandb.records import CausalContributions, CounterfactualValidityNote, ExperimentAggregation, Scaling
from karn_wandb.statistics.sequential import Spending


@dataclass(frozen=True, slots=True)
class Declared:
    """What a claims file declared.

    Attributes:
        family: Name of the family of claims.
        correction: How it is corrected for several claims.
        planned_runs: Runs planned for each arm; None when not declared.
        looks: Runs of an arm at which the comparisons are looked at; empty for one look.
        spending: Which part of the level each look may use; None for one look.
        claims: How many claims there are.
        sha256: Hash of the file's bytes.
        found: What the runs show of when it was declared.
        sentences: The same in words.
        changes: What it says otherwise than what runs were started with: what that concerns, and what was and is.
    """

    family: str
    correction: Correction
    planned_runs: int | None
    looks: tuple[int, ...]
    spending: Spending | None
    claims: int
    sha256: str
    found: Declaration
    sentences: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ArmFlow:
    """What became of the runs of one arm.

    Attributes:
        arm: Its label.
        started: Runs the filter selects.
        crashed: Of these, left out because nothing says how they ended: killed, or still running, which files cannot tell.
        failed: Left out because they ended with an error.
        running: Left out because W&B says that they go on.
        without_metric: Left out because they finished without a finite value of the metric.
        excluded: All that were left out.
        counted: Not finished or without the metric, and analysed by the claim's rule all the same.
        unmatched: Without a partner.
        analysed: The rest.
        pairs: Pairs that they are in; 0 when unpaired.
    """

    arm: str
    started: int
    crashed: int
    failed: int
    running: int
    without_metric: int
    excluded: int
    counted: int
    unmatched: int
    analysed: int
    pairs: int


@dataclass(frozen=True, slots=True)
class ClaimContent:
    """A comparison and what may be said about it.

    Attributes:
        name: What is claimed.
        declared: Whether it stood in a claims file; an undeclared comparison is exploratory and never supported.
        test: What had to be shown.
        treatment: Label of the treatment arm.
        control: Label of the control arm.
        unit: Unit of a difference, "" when the metric has none.
        margin: Largest difference that does not matter; None without one.
        confidence: Confidence of the interval.
        level: Level of the one-sided test.
        p: Its one-sided p; None without inference.
        p_adjusted: The same, corrected over the family.
        supported: Whether the corrected p is at or below the level; None when exploratory.
        sentences: The verdict in words.
        flow: Runs of the treatment and of the control arm.
        robustness: The same by other tests, aggregates and rules for failed runs; None where there is nothing to compare.
        aggregation: All numbers.
    """

    name: str
    declared: bool
    test: Test
    treatment: str
    control: str
    unit: str
    margin: float | None
    confidence: float
    level: float
    p: float | None
    p_adjusted: float | None
    supported: bool | None
    sentences: tuple[str, ...]
    flow: tuple[ArmFlow, ArmFlow]
    robustness: Robustness | None
    aggregation: ExperimentAggregation

    @property
    def badge(self) -> str:
        """The verdict in two words."""
        said = "Exploratory" if self.supported is None else "Supported" if self.supported else "Not supported"
        found = self.aggregation.comparison
        return f"{said}: {found.verdict}" if found else said


@dataclass(frozen=True, slots=True)
class RunContent:
    """A run, analysed or not.

    Attributes:
        run_id: Its id.
        name: Its display name.
        arm: Label of its arm, "" when it is in none.
        source: Where it was read from, as given, without the folders of an absolute path.
        state: "finished", "failed", "crashed" or "running".
        reason: Why it did not finish, "" when that is unknown or it did.
        episodes: Episodes in it.
        base_seed: Its random seed; None when it has none or several.
        epochs: Epochs of its longest episode.
        final_accuracy: Mean over its episodes, percent; None when one lacks it.
        final_loss: Mean over its episodes; None when one lacks it.
        host_params: Parameters of the host.
        total_params: Parameters at the last epoch.
        analysed: Whether it is in a comparison.
        left_out: Why it is not in a comparison it belongs to, reason by reason.
    """

    run_id: str
    name: str
    arm: str
    source: str
    state: str
    reason: str
    episodes: int
    base_seed: int | None
    epochs: int | None
    final_accuracy: float | None
    final_loss: float | None
    host_params: float | None
    total_params: float | None
    analysed: bool
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A learning curve.

    Attributes:
        run_id: The run.
        label: The same, with its environment and episode when it holds several.
        arm: Label of its arm.
        finished: Whether the run finished.
        epochs: Epochs with a value.
        values: The metric at those.
    """

    run_id: str
    label: str
    arm: str
    finished: bool
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """The learning curves of all runs.

    Attributes:
        metric: Column of the epochs that is shown; "" when none was logged.
        curves: One for every run and episode.
        means: The mean of each arm that has runs enough.
        differences: The mean difference of the pairs of each comparison that has enough.
    """

    metric: str
    curves: tuple[Curve, ...]
    means: tuple[MeanCurve, ...]
    differences: tuple[DifferenceCurve, ...]


@dataclass(frozen=True, slots=True)
class SlotValue:
    """A slot's Shapley value in one run, at its last evaluated epoch.

    Attributes:
        run_id: The run.
        epoch: The epoch.
        mean: The value; the mean over episodes when there are several.
        ci_low: Lower end of its own 95 % interval; None when unknown.
        ci_high: Upper end of it.
        algorithm: How it was computed.
        exact: Whether every coalition was evaluated.
    """

    run_id: str
    epoch: int
    mean: float
    ci_low: float | None
    ci_high: float | None
    algorithm: str
    exact: bool


@dataclass(frozen=True, slots=True)
class SlotAttribution:
    """A slot's Shapley value across the finished runs of an arm, each run one observation.

    Attributes:
        arm: Label of the arm.
        slot: The slot.
        unit: Unit of the value.
        mean: Mean over runs.
        ci_low: Lower end of the 95 % t interval of the mean; None below three runs.
        ci_high: Upper end of it.
        p: Two-sided p of the t test against zero; None below three runs.
        p_adjusted: The same by Holm over the slots of the arm.
        runs: Each run's own value.
    """

    arm: str
    slot: str
    unit: str
    mean: float
    ci_low: float | None
    ci_high: float | None
    p: float | None
    p_adjusted: float | None
    runs: tuple[SlotValue, ...]


@dataclass(frozen=True, slots=True)
class SlotVerdict:
    """What control runs show of a slot, in words.

    Attributes:
        slot: The slot.
        badge: The verdict in two words.
        sentences: Causal contribution, removal cost, and how far they are apart.
    """

    slot: str
    badge: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContributionsContent:
    """Removal cost against causal contribution, from control runs of one controller.

    Attributes:
        where: What these runs have in common, "" when nothing was chosen.
        unit: Unit of a contribution, "" when the metric has none.
        verdicts: What may be said, slot by slot.
        found: All numbers.
    """

    where: str
    unit: str
    verdicts: tuple[SlotVerdict, ...]
    found: CausalContributions


@dataclass(frozen=True, slots=True)
class ScalingContent:
    """Host-only runs of several sizes against one kind of cost, and what grown runs are equivalent to.

    Attributes:
        axis: What the cost is called.
        unit: Its unit.
        sentences: What may be said.
        found: All numbers.
    """

    axis: str
    unit: str
    sentences: tuple[str, ...]
    found: Scaling


@dataclass(frozen=True, slots=True)
class ArmParameters:
    """Accuracy and parameters of an arm's finished runs on hosts of one size; neither is read without the other.

    Attributes:
        arm: Label of the arm.
        runs: Runs that have both.
        accuracy: Mean final accuracy, percent.
        host_params: Parameters of the host; None when unknown.
        total_params: Mean parameters at the last epoch.
        accuracy_per_million: Mean accuracy over mean parameters, percent for a million; rewards shrinking.
        on_front: Whether no other row has as few parameters and as much accuracy, and better in one of the two.
    """

    arm: str
    runs: int
    accuracy: float
    host_params: float | None
    total_params: float
    accuracy_per_million: float
    on_front: bool


@dataclass(frozen=True, slots=True)
class Threat:
    """Something that could make a conclusion wrong, found in the data.

    Attributes:
        topic: What it is about.
        text: What was found.
    """

    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """All a report says.

    Attributes:
        title: Its title.
        filters: What the runs were chosen by when they were read; "" for all.
        declared: What was declared; None without a claims file.
        claims: The comparisons, in the order of the file.
        arms: Labels of the arms, in the order of their colours.
        runs: Every run that was found.
        curves: Their learning curves.
        scaling: What grown runs are equivalent to, for each kind of cost that is known; empty without a scaling curve.
        no_scaling: Why there is no scaling curve, in a sentence; "" when there is one.
        attribution: Shapley values by arm and slot.
        contributions: What control runs show of each slot; empty without control runs.
        policy: How often the policy did what the heuristic would have done, by arm; empty where no decision says so.
        validity: What attribution measures, and what not.
        parameters: Accuracy and parameters by arm and size of the host.
        threats: What could make a conclusion wrong.
        methods: Paragraphs that can be pasted into a paper.
        citations: What they refer to.
        versions: Version of everything numbers depend on.
        input_hash: SHA-256 of what the report was computed from.
    """

    title: str
    filters: str
    declared: Declared | None
    claims: tuple[ClaimContent, ...]
    arms: tuple[str, ...]
    runs: tuple[RunContent, ...]
    curves: Curves
    scaling: tuple[ScalingContent, ...]
    no_scaling: str
    attribution: tuple[SlotAttribution, ...]
    contributions: tuple[ContributionsContent, ...]
    policy: tuple[PolicyAgreement, ...]
    validity: CounterfactualValidityNote
    parameters: tuple[ArmParameters, ...]
    threats: tuple[Threat, ...]
    methods: tuple[str, ...]
    citations: tuple[str, ...]
    versions: dict[str, str]
    input_hash: str

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Every verdict as one text: what it is about, what was shown, and the sentences."""
        claims = [(claim.name, claim.badge, claim.sentences) for claim in self.claims]
        slots = [(f"training with {v.slot}", v.badge, v.sentences) for group in self.contributions for v in group.verdicts]
        return tuple(f"{name} ({badge}). {' '.join(sentences)}" for name, badge, sentences in (*claims, *slots))
