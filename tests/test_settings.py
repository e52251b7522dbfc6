"""The environment over the configuration: an operator's switches, none of which is misread in silence."""

from pathlib import Path
from typing import ClassVar

import pytest

import karn_wandb
from karn_wandb import KarnConfig
from karn_wandb.errors import UsageError
from karn_wandb.settings import PREFIXES, bounded, with_environment

DOCS = Path(__file__).parent.parent / "docs"
SWITCHES = {
    "SEED_LAYER_SUMMARIES_ENABLED": "seed_layer_summaries",
    "SEED_LAYER_COMPACT_EVENTS": "seed_layer_compact_events",
    "SEED_HEALTH_COMPACT": "seed_health_compact",
}
"""The requirement's names, and the fields they are for."""

every_prefix = pytest.mark.parametrize("prefix", PREFIXES)


@every_prefix
@pytest.mark.parametrize(("name", "field"), SWITCHES.items())
@pytest.mark.parametrize(
    ("text", "meant"),
    [("1", True), ("true", True), ("YES", True), ("On", True), ("0", False), ("False", False), ("no", False), (" off ", False)],
)
def test_a_switch_changes_its_own_field_and_wins_over_the_code(prefix, name, field, text, meant):
    for in_code in (True, False):
        config = KarnConfig(mode="research", **dict.fromkeys(SWITCHES.values(), in_code))
        expected = {**config.to_plain(), field: meant}
        assert with_environment(config, {prefix + name: text}).to_plain() == expected


@every_prefix
def test_the_top_k_wins_over_the_code(prefix):
    changed = with_environment(KarnConfig(seed_layer_top_k=9), {f"{prefix}SEED_LAYER_TOPK": "5"})
    assert changed == KarnConfig(seed_layer_top_k=5)


def test_karn_wins_over_tolaria():
    environ = {"TOLARIA_SEED_LAYER_TOPK": "5", "KARN_SEED_LAYER_TOPK": "7", "TOLARIA_SEED_HEALTH_COMPACT": "1"}
    assert with_environment(KarnConfig(), environ) == KarnConfig(seed_layer_top_k=7, seed_health_compact=True)


def test_what_is_not_set_changes_nothing():
    config = KarnConfig(seed_layer_summaries=True, seed_layer_top_k=2)
    assert with_environment(config, {"PATH": "/bin", "SEED_LAYER_TOPK": "9", "KARN_SEED_LAYER_TOPK_": "9"}) == config


@every_prefix
@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("text", ["", "2", "enabled", "-1", "tru", "none"])
def test_a_switch_that_is_neither_on_nor_off_is_refused_by_name(prefix, name, text):
    with pytest.raises(UsageError) as caught:
        with_environment(KarnConfig(), {prefix + name: text})
    assert prefix + name in caught.value.what
    assert caught.value.got == repr(text)
    assert "off" in caught.value.do


@every_prefix
@pytest.mark.parametrize("text", ["", "0", "-3", "3.0", "three", "nan", "9" * 5000])
def test_a_top_k_that_is_no_whole_number_of_at_least_1_is_refused_by_name(prefix, text):
    with pytest.raises(UsageError) as caught:
        with_environment(KarnConfig(), {f"{prefix}SEED_LAYER_TOPK": text})
    assert f"{prefix}SEED_LAYER_TOPK" in caught.value.what
    assert caught.value.got == repr(text)
    assert "unset" in caught.value.do


def test_init_asks_the_environment(monkeypatch):
    """Before anything is started: the bad value ends it, and names its variable."""
    monkeypatch.setenv("TOLARIA_SEED_LAYER_TOPK", "0")
    with pytest.raises(UsageError, match="TOLARIA_SEED_LAYER_TOPK"):
        karn_wandb.init("growing-cnn", mode="disabled")


@pytest.mark.offline
def test_what_the_environment_says_is_the_run_s_configuration(monkeypatch):
    monkeypatch.setenv("KARN_SEED_LAYER_SUMMARIES_ENABLED", "on")
    with karn_wandb.init("growing-cnn", mode="disabled", karn=KarnConfig(seed_layer_summaries=False)) as run:
        assert run.collector.config.seed_layer_summaries


def sample():
    """The variables that docs/sample.env sets, the lines that are commented out too."""
    lines = (line.removeprefix("# ") for line in (DOCS / "sample.env").read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line.startswith(PREFIXES))


def test_the_sample_for_operators_names_every_variable_with_its_default():
    assert set(sample()) == {f"KARN_{name}" for name in (*SWITCHES, "SEED_LAYER_TOPK")}
    assert with_environment(KarnConfig(), sample()) == KarnConfig()


def test_the_page_for_operators_shows_the_sample():
    assert (DOCS / "sample.env").read_text() in (DOCS / "operations.md").read_text()


class TestBoundOfTheUpload:
    OURS: ClassVar = {"finish_timeout": 9.0, "finish_timeout_raises": True}

    def test_is_set_where_the_user_set_nothing(self):
        assert bounded(None, 9.0, {}) == self.OURS
        assert bounded({"quiet": True}, 9.0, {}) == {"quiet": True, **self.OURS}

    @pytest.mark.parametrize("settings", [{"finish_timeout": 0.0}, {"finish_timeout_raises": False}])
    def test_leaves_what_the_user_set(self, settings):
        assert bounded(settings, 9.0, {}) is settings

    @pytest.mark.parametrize("variable", ["WANDB_FINISH_TIMEOUT", "WANDB_FINISH_TIMEOUT_RAISES"])
    def test_leaves_what_the_environment_says(self, variable):
        assert bounded(None, 9.0, {variable: "30"}) is None

    def test_0_leaves_everything_as_it_is(self):
        assert bounded(None, 0.0, {}) is None
