"""Does growing help a language model? Train a small GPT alone and grown, several times, offline, and let the report say.

    python -m examples.language [--seeds N] [--epochs N] [--out DIR]

The host learns Python's own help topics character by character, with every random seed once alone and once grown by the
heuristic. The report's claim is in nats, as every loss is. What is printed below it is the same in bits per character, beside
those of a bigram model, which a host must beat to have learned anything from more than one character.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import karn_wandb
from examples import demo
from examples.workers import Planned, options_of, train_and_report

CLAIMS = Path(__file__).parent / "language.claims.yaml"
ARMS = ["none", "heuristic"]


def plan(seeds: int) -> list[Planned]:
    """Every random seed twice: the host alone, then grown."""
    return demo.plan(seeds, task="text")


def bits(episodes: pd.DataFrame) -> pd.DataFrame:
    """Bits per character after the last epoch of finished runs: a row for each random seed, a column for each controller."""
    finished = episodes[episodes["state"] == "finished"]
    measured = finished.assign(bits=finished["final_loss"] / math.log(2))
    return measured.pivot_table(index="base_seed", columns="config.controller", values="bits").reindex(columns=ARMS)


def conclusion(episodes: pd.DataFrame) -> Iterator[str]:
    """What every run reached, the line that it must be below, and the paired comparison, line by line."""
    line = episodes["config.bigram_bits_per_character"].max()
    found = bits(episodes)
    reached = found.to_numpy()
    above = int((reached >= line).sum())
    yield f"Bits per character, where a bigram model needs {line:.3f}:"
    yield found.rename_axis(index="seed", columns=None).to_string(float_format="{:.3f}".format)
    yield "Every run is below the bigram line." if not above else f"Runs that are not below the bigram line: {above}."
    pairs = found.dropna()
    if pairs.empty:
        return
    compared = karn_wandb.compare(pairs["heuristic"].to_numpy(), pairs["none"].to_numpy(), paired=True, higher_is_better=False)
    known = compared.ci_low is not None
    interval = f"95 % interval {compared.ci_low:+.3f} to {compared.ci_high:+.3f}; {compared.ci_method}; " if known else ""
    yield f"heuristic minus none: {compared.mean_delta:+.3f} bits ({interval}n = {len(pairs)}): {compared.verdict}"


def main() -> int:
    """The command line."""
    summary = (__doc__ or "").partition("\n")[0]
    options = options_of(summary, out="language-runs", seeds=3, each="trained twice", images=False)
    code = train_and_report(plan(options.seeds), options, CLAIMS)
    if code == 0:
        print("", *conclusion(karn_wandb.load_experiment(options.out).episodes), sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
