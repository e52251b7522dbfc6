"""Names of artifacts: what W&B allows, told apart by type and run."""

import re

from hypothesis import given
from strategies import texts

from karn_wandb.schema.artifacts import COUNTERFACTUAL, DENSE_TRACE, EPISODE, MODEL, RECORDS, artifact_name


def test_the_types_are_those_of_the_contract():
    assert [EPISODE, COUNTERFACTUAL, DENSE_TRACE, RECORDS, MODEL] == [
        "karn-episode",
        "karn-counterfactual",
        "karn-dense-trace",
        "karn-records",
        "model",
    ]


def test_a_name_says_type_and_run():
    assert artifact_name(RECORDS, "ab12cd34") == "karn-records-ab12cd34"


@given(texts)
def test_whatever_a_run_is_called_wandb_accepts_its_artifacts_names(run_id):
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", artifact_name(RECORDS, run_id))
