"""A claims file is read strictly: every mistake is an error that names its line."""

from __future__ import annotations

import hashlib

import pytest

from karn_wandb.errors import ClaimsError
from karn_wandb.experiment.claims import Claim, read_claims

FULL = """\
family: demo
correction: bh
planned_runs: 6
claims:
  - name: growing beats the host alone
    metric: final_loss
    higher_is_better: false
    treatment: {controller: heuristic, optimizer.lr: 0.1}
    control: {controller: none}
    pair_by: null
    test: non_inferiority
    margin: 0.5
    confidence: 0.9
  - name: the second
    treatment: {controller: policy}
    control: {controller: none}
"""


@pytest.fixture
def claims_file(tmp_path, monkeypatch):
    """Writes a claims file; it is named by a relative path, as in a shell."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes) -> str:
        (tmp_path / "claims.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return "claims.yaml"

    return write


def one(fields: str) -> str:
    return f"claims:\n  - {{name: a, treatment: {{arm: x}}, control: {{arm: y}}, {fields}}}\n"


def test_every_field_is_read_and_the_file_is_hashed(claims_file):
    found = read_claims(claims_file(FULL))
    assert (found.family, found.correction, found.planned_runs) == ("demo", "bh", 6)
    assert found.sha256 == hashlib.sha256(FULL.encode()).hexdigest()
    assert found.text == FULL
    assert found.declared
    assert found.claims[0] == Claim(
        name="growing beats the host alone",
        treatment={"controller": "heuristic", "optimizer.lr": 0.1},
        control={"controller": "none"},
        metric="final_loss",
        higher_is_better=False,
        pair_by=None,
        test="non_inferiority",
        margin=0.5,
        confidence=0.9,
        line=5,
    )


def test_what_is_left_out_takes_the_documented_defaults(claims_file):
    second = read_claims(claims_file(FULL)).claims[1]
    assert second == Claim("the second", {"controller": "policy"}, {"controller": "none"}, line=14)
    assert (second.metric, second.test, second.pair_by) == ("final_accuracy", "superiority", "base_seed")
    assert (second.higher_is_better, second.margin, second.confidence) == (True, None, 0.95)


@pytest.mark.parametrize(("confidence", "level"), [(0.95, 0.025), (0.9, 0.05), (0.99, 0.005)])
def test_the_level_is_what_the_interval_leaves_on_one_side(confidence, level):
    assert Claim("a", {}, {}, confidence=confidence).level == level


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            FULL.replace("metric:", "metrc:"),
            "claims.yaml, line 6: a claim has an unknown field 'metrc'. Did you mean 'metric'?",
        ),
        (
            FULL.replace("family:", "owner:"),
            (
                "claims.yaml, line 1: the file has an unknown field 'owner'. "
                "The fields are family, correction, planned_runs, claims."
            ),
        ),
        (
            "family: a\nfamily: b\n",
            "claims.yaml, line 2: the file has the field 'family' twice.",
        ),
        (
            "family: demo\n",
            "claims.yaml, line 1: the file lacks the field 'claims'. It must be a list of claims.",
        ),
        (
            "claims:\n  - name: a\n    control: {arm: y}\n",
            (
                "claims.yaml, line 2: a claim lacks the field 'treatment'. "
                "It must be config names with the value each must have, such as {controller: heuristic}."
            ),
        ),
        (
            "family: demo\nclaims: []\n",
            "claims.yaml, line 2: 'claims' must be a list of at least one claim. Begin each claim with '- name: ...'.",
        ),
        (
            "claims: {name: a}\n",
            "claims.yaml, line 1: 'claims' must be a list of at least one claim. Begin each claim with '- name: ...'.",
        ),
        (
            "claims:\n  - beats everything\n",
            (
                "claims.yaml, line 2: a claim must be a mapping of fields. "
                "The fields are name, metric, higher_is_better, treatment, control, pair_by, test, margin, "
                "confidence, unfinished."
            ),
        ),
        (
            "- a\n",
            "claims.yaml, line 1: the file must be a mapping of fields. The fields are family, correction, planned_runs, claims.",
        ),
        (
            one("test: superior"),
            "claims.yaml, line 2: 'test' must be one of superiority, non_inferiority, equivalence; got 'superior'.",
        ),
        (
            "? [family]\n: demo\n",
            "claims.yaml, line 1: the file has an unknown field \"['family']\". Did you mean 'family'?",
        ),
        (
            "correction: bonferroni\n" + one("margin: 1"),
            "claims.yaml, line 1: 'correction' must be one of holm, bh; got 'bonferroni'.",
        ),
        ("planned_runs: 0\n" + one("margin: 1"), "claims.yaml, line 1: 'planned_runs' must be a whole number above 0; got 0."),
        (
            "planned_runs: yes\n" + one("margin: 1"),
            "claims.yaml, line 1: 'planned_runs' must be a whole number above 0; got True.",
        ),
        (
            one("margin: 1e-3"),
            (
                "claims.yaml, line 2: 'margin' must be a number above 0, or null; got '1e-3'. "
                "YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
            ),
        ),
        (
            one("margin: -1"),
            (
                "claims.yaml, line 2: 'margin' must be a number above 0, or null; got -1. "
                "YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
            ),
        ),
        (
            one("margin: .nan"),
            (
                "claims.yaml, line 2: 'margin' must be a number above 0, or null; got nan. "
                "YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
            ),
        ),
        (
            one("test: equivalence"),
            (
                "claims.yaml, line 2: the claim 'a' tests equivalence and lacks a margin. "
                "Give the largest difference that does not matter, in the metric's unit."
            ),
        ),
        (
            one("confidence: 95"),
            "claims.yaml, line 2: 'confidence' must be a number from 0.5 to 0.9999; got 95. Write 0.95 for 95 %.",
        ),
        (one("higher_is_better: 1"), "claims.yaml, line 2: 'higher_is_better' must be true or false; got 1."),
        (one("pair_by: 3"), "claims.yaml, line 2: 'pair_by' must be a column's name or null; got 3."),
        (one("metric: []"), "claims.yaml, line 2: 'metric' must be text; got []."),
        (
            "claims:\n  - {name: a, treatment: {}, control: {arm: y}}\n",
            (
                "claims.yaml, line 2: 'treatment' must be config names with the value each must have, "
                "such as {controller: heuristic}; got {}."
            ),
        ),
        (
            "claims:\n  - {name: a, treatment: {arm: [x, z]}, control: {arm: y}}\n",
            (
                "claims.yaml, line 2: 'treatment' must be config names with the value each must have, "
                "such as {controller: heuristic}; got {'arm': ['x', 'z']}."
            ),
        ),
        (
            "claims:\n  - {name: a, treatment: {arm: x}, control: {arm: x}}\n",
            "claims.yaml, line 2: the claim 'a' compares an arm with itself. Make the filters differ.",
        ),
        (
            (
                "claims:\n"
                "  - {name: a, treatment: {arm: x}, control: {arm: y}}\n"
                "  - {name: a, treatment: {arm: x}, control: {arm: z}}\n"
            ),
            "claims.yaml, line 3: a claim named 'a' stands on line 2 already. Give each claim its own name.",
        ),
        ("claims: [\n", "claims.yaml, line 2: this is not YAML; got expected the node content, but found '<stream end>'."),
        ("a: 1\n---\nb: 2\n", "claims.yaml, line 2: this is not YAML; got but found another document."),
        (b"\xff\xfe\x00", "claims.yaml: this is not YAML; got "),
        (one("margin: 1").encode("utf-16"), "claims.yaml: the claims file is not in UTF-8. Save it in UTF-8."),
        ("[" * 5000, "claims.yaml: this is not YAML; got maximum recursion depth exceeded"),
        ("", "claims.yaml: the claims file is empty. It must have a list of claims."),
        ("# nothing\n", "claims.yaml: the claims file is empty. It must have a list of claims."),
        (one("margin: !!python/object:os.system {}"), "claims.yaml, line 2: this value cannot be read; got could not determine "),
        (one("margin: 2024-13-45"), "claims.yaml, line 2: this value cannot be read; got month must be in 1..12."),
    ],
)
def test_every_mistake_is_named_with_its_line(claims_file, text, message):
    with pytest.raises(ClaimsError) as error:
        read_claims(claims_file(text))
    said = str(error.value)
    assert said == message or (not message.endswith(".") and said.startswith(message))


def test_a_file_that_is_not_there_is_an_error(claims_file):
    with pytest.raises(ClaimsError) as error:
        read_claims("missing.yaml")
    assert str(error.value) == "the claims file 'missing.yaml' cannot be read; got No such file or directory."
