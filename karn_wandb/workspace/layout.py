"""Which panels answer which question: keys of the table, tables, and charts, in the order people ask."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from karn_wandb.schema.keys import KEYS

_KEYS = {key.pattern: key for key in KEYS}

STEP = "Step"
"""W&B's step, which every row has."""

ENVIRONMENT = "env/[^/]+/"
"""What keys of an environment begin with."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over their clock, a panel.

    Attributes:
        title: Title of the panel.
        patterns: Keys, as in the table of keys; all of one clock.
        scoped: Whether they are those of each environment, below `env/<id>/`, instead of the run's own.
    """

    title: str
    patterns: tuple[str, ...]
    scoped: bool = False

    @property
    def clock(self) -> str:
        """The x axis: the keys' clock; W&B's step where each environment has a clock of its own."""
        return STEP if self.scoped else _KEYS[self.patterns[0]].clock

    @property
    def keys(self) -> list[str]:
        """The keys, when none has a name in it."""
        return [] if self.regex else list(self.patterns)

    @property
    def regex(self) -> str | None:
        """What finds the keys, when some have a name in them, such as a slot's or an environment's."""
        if not self.scoped and not any("<" in pattern for pattern in self.patterns):
            return None
        return f"^{ENVIRONMENT if self.scoped else ''}({'|'.join(map(_regex, self.patterns))})$"

    def of_environments(self) -> Lines:
        """The same curves of each environment."""
        return replace(self, title=f"{self.title}, each environment", scoped=True)

    def logged_among(self, keys: Collection[str]) -> bool:
        """Whether any of these keys is one of its."""
        found = re.compile(self.regex or f"^({'|'.join(map(_regex, self.patterns))})$")
        return any(map(found.search, keys))


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its panels.

    Attributes:
        name: The question.
        lines: Curves.
        charts: Names of charts logged as media when a run ends.
        tables: Names of tables.
        text: What to know before reading them, as Markdown; "" for nothing.
        compares_runs: Whether what differs between runs' configurations is shown.
    """

    name: str
    lines: tuple[Lines, ...] = ()
    charts: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    text: str = ""
    compares_runs: bool = False


SECTIONS = (
    Section(
        "Winning?",
        (
            Lines("Validation accuracy (%)", ("host/val_accuracy",)),
            Lines("Accuracy minus the paired host-only run (points)", ("claim/accuracy_delta",)),
            Lines("Parameters over the host's", ("params/ratio",)),
            Lines("Loss", ("host/train_loss", "host/val_loss")),
        ),
        tables=("tables/episodes",),
        text="One pair of runs says nothing about other random seeds: `karn-wandb report ENTITY/PROJECT` compares many.",
    ),
    Section(
        "Why?",
        (
            Lines("Shapley value by slot", ("shapley/<slot>/mean",)),
            Lines("Removal cost by slot, now", ("slot/<slot>/removal_cost",)),
            Lines("Interaction by pair of slots", ("interaction/<pair>",)),
        ),
        charts=("slot_values", "waterfall", "coalitions", "interactions", "onset"),
        tables=("tables/shapley", "tables/interactions"),
        text="Removal cost is what is lost when a slot is switched off now. It is not what training with the slot brought.",
    ),
    Section(
        "What failed?",
        (
            Lines("Stage by slot", ("slot/<slot>/stage",)),
            Lines("Alpha by slot", ("slot/<slot>/alpha",)),
            Lines("Gradient norm", ("grad/host_norm", "grad/seed_norm/<slot>")),
            Lines("Gradient across isolation barriers", ("grad/isolation_leakage",)),
            Lines("Loss of each batch", ("batch/loss",)),
            Lines("Dense traces by trigger", ("health/trigger/<name>",)),
            Lines("Lost or not finite", ("health/non_finite_values", "health/dropped_records", "health/sink_lag")),
        ),
        tables=("tables/gates",),
    ),
    Section(
        "Policy",
        (
            Lines("Reward", ("reward/total",)),
            Lines("Entropy of the policy", ("policy/entropy",)),
            Lines("Value, and what the critic missed", ("policy/value", "policy/advantage")),
            Lines("KL divergence of each update", ("ppo/kl_divergence",)),
            Lines("Explained variance", ("ppo/explained_variance",)),
            Lines("Losses of each update", ("ppo/policy_loss", "ppo/value_loss")),
        ),
        tables=("tables/decisions",),
    ),
    Section(
        "Reproduce",
        text=(
            "Commit, random seeds, data hash and versions are in each run's config under `episode`, and in its artifact "
            "`karn-episode`. Every record is in the artifact `karn-records`: `karn_wandb.load_experiment` reads it back."
        ),
        compares_runs=True,
    ),
)
"""The five questions."""


def all_lines() -> Iterator[Lines]:
    """Every panel of curves."""
    return (lines for section in SECTIONS for lines in section.lines)


def lines_for(section: Section, keys: Collection[str], *, environments: bool) -> Iterator[Lines]:
    """The panels of curves of a section, for what runs log.

    Args:
        section: The section.
        keys: Keys that runs have logged.
        environments: Whether runs train several hosts. Then the panels are those of each environment, beside the run's own
            where it has logged their keys.
    """
    for lines in section.lines:
        if not environments or lines.logged_among(keys):
            yield lines
    if environments:
        yield from (lines.of_environments() for lines in section.lines)


def _regex(pattern: str) -> str:
    return "/".join("[^/]+" if part.startswith("<") else re.escape(part) for part in pattern.split("/"))
