"""Does growing help a language model? Train a small GPT alone and grown, several times, offline, and let the report say.

    python -m examples.language [--seeds N] [--epochs N] [--out DIR]

The host learns Python's own help topics, character by character; each random seed as in `examples.demo`. The report's
claim is in nats, as every loss is; beside it stand bits per character, with those of a bigram model: the least that a
host must beat to have learned anything from more than one character.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd

import karn_wandb
from examples import demo
from examples.workers import Planned, options_of, train_and_report

CLAIMS = Path(__file__).parent / "language.claims.yaml"
BIGRAM = "config.bigram_bits_per_character"


def plan(seeds: int) -> list[Planned]:
    """Every random seed twice: the host alone, then grown."""
    return demo.plan(seeds, task="text")


def bits(episodes: pd.DataFrame) -> pd.DataFrame:
    """Final bits per character on the validation part, a row for each random seed and a column for each controller."""
    finished = episodes[episodes["state"] == "finished"]
    measured = finished.assign(bits=finished["final_loss"] / math.log(2))
    return measured.pivot_table(index="base_seed", columns="config.controller", values="bits")


def conclude(folder: Path) -> None:
    """Print what every run reached, the line it must be below, and the paired comparison."""
    episodes = karn_wandb.load_experiment(folder).episodes
    found = bits(episodes)
    print(f"\nBits per character on the validation part; a bigram model needs {episodes[BIGRAM].iloc[0]:.3f}.\n")
    print(found.to_string(float_format="{:.4f}".format))
    pairs = found.reindex(columns=["heuristic", "none"]).dropna()
    if len(pairs):
        compared = karn_wandb.compare(
            pairs["heuristic"].to_numpy(), pairs["none"].to_numpy(), paired=True, higher_is_better=False
        )
        print(f"\nheuristic minus none: {compared.mean_delta:+.4f}", end="")
        if compared.ci_low is not None:
            print(f" (95 % interval {compared.ci_low:+.4f} to {compared.ci_high:+.4f}, {len(pairs)} pairs)", end="")
        print(f": {compared.verdict}")


def main() -> int:
    """The command line."""
    options = options_of((__doc__ or "").partition("\n")[0], out="language-runs", seeds=3, each="trained twice", images=False)
    code = train_and_report(plan(options.seeds), options, CLAIMS)
    if code == 0:
        conclude(options.out)
    return code


if __name__ == "__main__":
    sys.exit(main())
