"""What looks like a key does not get into configuration; what does not, stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged import CONTEXT

from karn_wandb.records import HostBaseline, RunInfo
from karn_wandb.schema.secrets import REMOVED, record_without_secrets, removal_notice, without_secrets

HEX = "0123456789abcdef0123456789abcdef01234567"


def cleaned(config):
    found = []
    return without_secrets(config, found), found


@pytest.mark.parametrize(
    "text",
    [
        HEX,  # W&B's older keys
        "local-" + HEX,
        "wandb_v1_" + "aB3" * 20,
        "sk-" + "aB3" * 16,
        "sk-proj-" + "aB3_" * 20 + "-x",
        "sk-ant-api03-" + "aB3" * 20,
        "hf_" + "aB3dE" * 7,
        "ghp_" + "aB3" * 12,
        "github_pat_" + "aB3" * 20,
        "glpat-" + "aB3" * 8,
        "AKIA" + "ABCD1234" * 2,
        "AIza" + "aB3dE" * 7,
        "xoxb-1234567890-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "Bearer aB3dE5gH7jK9mN1p",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "postgres://someone:hidden@db.example/runs",
    ],
)
def test_a_text_that_looks_like_a_key_is_removed_whatever_it_is_called(text):
    assert cleaned({"optimizer": text}) == ({"optimizer": REMOVED}, ["optimizer"])


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "API_KEY", "wandb-api-key", "openai_api_key", "secret", "client_secret", "aws_secret_access_key",
        "password", "db_password", "token", "access_token", "hfToken", "hub_token", "credentials", "private_key", "Authorization",
    ],
)  # fmt: skip
def test_a_text_that_is_called_a_secret_is_removed_whatever_it_looks_like(name):
    assert cleaned({name: "hunter2"}) == ({name: REMOVED}, [name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, HEX) for name in ("commit", "git_commit", "sha", "code_hash", "dataHash", "model_revision", "rev")),
        ("pad_token", "[PAD]"),
        ("eos_token", "</s>"),
        ("mask_token_id", 103),
        ("tokenizer", "gpt2"),
        ("num_tokens", 4096),
        ("max_new_tokens", "128"),
        ("key", "attention"),
        ("key_dim", 64),
        ("primary_key", "id"),
        ("secret_layers", 3),
        ("password", None),
        ("password", ""),
        ("api_key", "${API_KEY}"),
        ("hub_token", "<HUB_TOKEN>"),
        ("model", "sk-learn-gradient-boosting-v2"),
        ("experiment", "task-classification-with-three-blocks"),
        ("path", f"/cache/models--x/snapshots/{HEX}/weights"),
        ("data_hash", HEX + HEX[:24]),
        ("digits", "0123456789"),
        ("url", "https://example.org:8080/data?x=1"),
        ("optimizer", "adamw_torch_fused"),
    ],
)  # fmt: skip
def test_what_is_no_key_stays(name, value):
    assert cleaned({name: value}) == ({name: value}, [])


def test_nested_values_are_looked_at_and_named_by_their_path():
    config = {"a": {"b": [{"token": "x1"}, HEX], "commits": [HEX], "lr": 0.1}, "t": (HEX, 1)}
    clean, found = cleaned(config)
    assert clean == {"a": {"b": [{"token": REMOVED}, REMOVED], "commits": [HEX], "lr": 0.1}, "t": (REMOVED, 1)}
    assert found == ["a.b.token", "a.b", "t"]
    assert config["a"]["b"][1] == HEX  # the user's own is left alone


def test_a_clean_configuration_comes_back_clean():
    once, _ = cleaned({"api_key": "x1", "lr": 0.1})
    assert cleaned(once) == (once, [])


leaves = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=15)
plain = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner))


@given(st.dictionaries(st.text(max_size=8).map("h".__add__), plain))
@settings(max_examples=20)
def test_ordinary_values_come_back_as_they_were(config):
    found = []
    clean = without_secrets(config, found)
    assert found or clean == config


def test_records_that_carry_configuration_are_cleaned():
    found = []
    context = replace(CONTEXT, hyperparameters={"lr": 0.1, "api_key": "x1"})
    assert record_without_secrets(context, found).hyperparameters == {"lr": 0.1, "api_key": REMOVED}
    assert record_without_secrets(RunInfo("r", config={"t": HEX}), found).config == {"t": REMOVED}
    assert found == ["api_key", "t"]


def test_a_record_without_anything_to_remove_is_the_same():
    found = []
    for record in (CONTEXT, HostBaseline(1.0)):
        assert record_without_secrets(record, found) is record
    assert found == []


def test_the_notice_names_keys_and_never_values():
    assert removal_notice(["b.token", "a", "a"]) == (
        "values that look like keys were removed from the configuration: a, b.token. Keys belong in the environment; a hash is "
        "kept under a name that says so, such as commit or data_hash."
    )
