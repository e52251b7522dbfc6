"""What telemetry is: frozen records, checked when constructed, stored without loss. No input or output here."""

from karn_wandb.records._json import TAG
from karn_wandb.records._record import Record
from karn_wandb.records.bits import Bits
from karn_wandb.records.codec import SCHEMA_VERSION, decode_event, decode_header, encode_event, encode_header, event_from_plain
from karn_wandb.records.comparison import Comparison, ExcludedRun, ExperimentAggregation, Pair, Unfinished, Verdict
from karn_wandb.records.config import KarnConfig
from karn_wandb.records.controls import CausalContributions, RemovalCost, SlotContribution
from karn_wandb.records.counterfactual import (
    Coalition,
    CounterfactualConfig,
    CounterfactualMatrix,
    CounterfactualResult,
    CounterfactualValidityNote,
    Estimator,
    Evaluation,
    EvaluationMethod,
    GroupSizes,
    InteractionEstimate,
    Metric,
    Regime,
    ShapleyEstimate,
)
from karn_wandb.records.episode import EpisodeContext, EpisodeOutcome, HostBaseline, RunInfo
from karn_wandb.records.events import RECORD_OF, TelemetryEvent, TelemetryEventType, utc_now
from karn_wandb.records.layers import (
    SEED_LAYER_NORM,
    ActivationStatistics,
    GradientHistogram,
    LayerStatistics,
    SeedLayerNorm,
    SeedLayerNorms,
    SeedLayers,
)
from karn_wandb.records.policy import (
    AdvantageStats,
    FactoredAction,
    LSTMHealth,
    PolicySnapshot,
    PPOUpdate,
    RatioStats,
    RewardComponents,
)
from karn_wandb.records.readings import Alert, ClaimReading, HealthReport, PolicyComparisonSummary, SeedContributionSummary
from karn_wandb.records.snapshots import EpochSnapshot, Gate, HostSnapshot, SlotSnapshot
from karn_wandb.records.stages import GATE_BEFORE, LEGAL_TRANSITIONS, OCCUPIED, SeedStage, check_transition
from karn_wandb.records.traces import BatchMetrics, DenseTrace, DenseTraceTrigger, GateEvaluationTrace, StageTransition

__all__ = [
    "GATE_BEFORE",
    "LEGAL_TRANSITIONS",
    "OCCUPIED",
    "RECORD_OF",
    "SCHEMA_VERSION",
    "SEED_LAYER_NORM",
    "TAG",
    "ActivationStatistics",
    "AdvantageStats",
    "Alert",
    "BatchMetrics",
    "Bits",
    "CausalContributions",
    "ClaimReading",
    "Coalition",
    "Comparison",
    "CounterfactualConfig",
    "CounterfactualMatrix",
    "CounterfactualResult",
    "CounterfactualValidityNote",
    "DenseTrace",
    "DenseTraceTrigger",
    "EpisodeContext",
    "EpisodeOutcome",
    "EpochSnapshot",
    "Estimator",
    "Evaluation",
    "EvaluationMethod",
    "ExcludedRun",
    "ExperimentAggregation",
    "FactoredAction",
    "Gate",
    "GateEvaluationTrace",
    "GradientHistogram",
    "GroupSizes",
    "HealthReport",
    "HostBaseline",
    "HostSnapshot",
    "InteractionEstimate",
    "KarnConfig",
    "LSTMHealth",
    "LayerStatistics",
    "Metric",
    "PPOUpdate",
    "Pair",
    "PolicyComparisonSummary",
    "PolicySnapshot",
    "RatioStats",
    "Record",
    "Regime",
    "RemovalCost",
    "RewardComponents",
    "RunInfo",
    "SeedContributionSummary",
    "SeedLayerNorm",
    "SeedLayerNorms",
    "SeedLayers",
    "SeedStage",
    "ShapleyEstimate",
    "SlotContribution",
    "SlotSnapshot",
    "StageTransition",
    "TelemetryEvent",
    "TelemetryEventType",
    "Unfinished",
    "Verdict",
    "check_transition",
    "decode_event",
    "decode_header",
    "encode_event",
    "encode_header",
    "event_from_plain",
    "utc_now",
]
