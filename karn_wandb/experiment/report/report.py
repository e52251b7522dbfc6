"""The report: built from runs and claims, written three ways."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from karn_wandb.errors import KarnError, UsageError
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.build import build_content
from karn_wandb.experiment.report.content import Content
from karn_wandb.experiment.report.document import document
from karn_wandb.experiment.report.html import to_html
from karn_wandb.experiment.report.markdown import to_markdown
from karn_wandb.experiment.report.plain import plain

FORMAT = "karn-report"
"""What the JSON form says it is; `schema.json` beside this module describes it."""

VERSION = 1
"""Version of the JSON form."""


@dataclass(frozen=True, slots=True)
class Report:
    """What runs show, ready to be written; the same input gives the same bytes.

    Attributes:
        content: All it says.
    """

    content: Content

    def to_json(self) -> str:
        """The content as JSON in ASCII, names exact, NaN as null; described by `schema.json`."""
        return json.dumps({"format": FORMAT, "version": VERSION, **plain(self.content)}, indent=1) + "\n"

    def to_markdown(self) -> str:
        """Words and tables, no pictures."""
        return to_markdown(document(self.content))

    def to_html(self) -> str:
        """One page with everything in it, no script.

        Raises:
            KarnError: vl-convert, which draws the charts, is not installed.
        """
        return to_html(document(self.content))

    def save(self, path: str | Path) -> Path:
        """Write the report as its name's ending says: .html, .md or .json.

        Raises:
            UsageError: The ending is another.
            KarnError: The file cannot be written.
        """
        writers = {".html": self.to_html, ".md": self.to_markdown, ".json": self.to_json}
        target = Path(path)
        if target.suffix not in writers:
            raise UsageError("a report is saved as .html, .md or .json", got=repr(target.name))
        text = writers[target.suffix]()
        try:
            target.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise KarnError(f"the report cannot be written to {str(path)!r}", got=error.strerror or str(error)) from error
        return target


def build_report(experiment: Experiment, claims: str | Path | None = None, title: str | None = None) -> Report:
    """Compare the arms of an experiment and say what that shows.

    Args:
        experiment: The runs.
        claims: Path of a claims file. Without one every other value of config `arm` (else `controller`) is compared with
            the host alone ("none", "host_only", "control", "baseline"), or with the first in sorted order, and the report
            calls that exploratory; without arms it describes the runs.
        title: Title of the report.

    Raises:
        SourceError: There are no runs.
        ClaimsError: The claims file is wrong, or a claim names an arm or a column that there is not.
    """
    return Report(build_content(experiment, claims, title))
