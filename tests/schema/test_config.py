"""What of a run is in W&B's config, and how a sweep's values come back from there."""

import hashlib
from datetime import UTC, datetime

from hypothesis import given, settings
from strategies import records

from karn_wandb.records import SCHEMA_VERSION, CounterfactualConfig, EpisodeContext, KarnConfig
from karn_wandb.schema.config import OWN_KEYS, config_of, episode_config, overlay, user_config, with_config

CONTEXT = EpisodeContext(
    episode_id="e",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    git_commit="",
    base_seed=3,
    torch_seed=3,
    numpy_seed=3,
    host_architecture="cnn",
    host_params=10,
    slot_config={"early": 64},
    max_epochs=50,
    task_type="classification",
    hyperparameters={"lr": 0.1, "layers": {"width": 8}},
)


def test_the_instrument_s_config_names_its_settings_version_and_claims():
    config = config_of(KarnConfig(mode="research"), claims="claims: []")
    assert set(config) == {"karn", "karn_schema", "karn_claims"}
    assert config["karn"]["mode"] == "research"
    assert config["karn_schema"] == SCHEMA_VERSION
    assert config["karn_claims"] == {"sha256": hashlib.sha256(b"claims: []").hexdigest(), "text": "claims: []"}
    assert "karn_claims" not in config_of(KarnConfig())


@settings(max_examples=20)
@given(records(KarnConfig))
def test_settings_come_back_from_config(config):
    assert KarnConfig.from_plain(config_of(config)["karn"]) == config


def test_the_episode_s_config_is_nested_so_that_filters_reach_it_by_dots():
    config = episode_config(CONTEXT)
    assert config["episode"]["hyperparameters"]["layers"]["width"] == 8
    assert EpisodeContext.from_plain(config["episode"]) == CONTEXT


def test_no_key_of_ours_holds_a_dot_which_wandb_s_filters_cannot_find():
    def keys(plain):
        for key, value in plain.items():
            yield key
            if isinstance(value, dict):
                yield from keys(value)

    assert not [key for key in keys(config_of(KarnConfig(), "ab") | episode_config(CONTEXT)) if "." in key]


def test_the_user_s_part_is_what_is_neither_ours_nor_wandb_s():
    config = {"lr": 1, "_wandb": {"t": 1}, **{key: {} for key in OWN_KEYS}}
    assert user_config(config) == {"lr": 1}


def test_a_sweep_s_values_win_over_the_context_s_hyperparameters_and_seed():
    final = with_config(CONTEXT, {"lr": 0.3, "base_seed": 9, "other": 1})
    assert final.hyperparameters == {"lr": 0.3, "layers": {"width": 8}}
    assert final.base_seed == 9
    assert with_config(CONTEXT, {"base_seed": "nine"}).base_seed == 3


def test_a_sweep_s_nested_value_wins_and_its_neighbours_stay():
    plain = KarnConfig(counterfactual=CounterfactualConfig(shapley_samples=20)).to_plain()
    final = KarnConfig.from_plain(overlay(plain, {"counterfactual": {"shapley_samples": 40}}))
    assert final == KarnConfig(counterfactual=CounterfactualConfig(shapley_samples=40))


def test_what_wandb_shortened_on_the_way_is_kept_as_it_was():
    mine = {"lr": 1.0, "betas": [1.0, 0.5], "nested": {"eps": 2.0}}
    merged = overlay(mine, {"lr": 1, "betas": [1, 0.5], "nested": {"eps": 2}})
    assert merged == mine
    assert [type(merged["lr"]), type(merged["betas"][0]), type(merged["nested"]["eps"])] == [float] * 3


def test_what_only_wandb_knows_is_added_and_the_original_is_left_alone():
    mine = {"a": {"b": 1}}
    assert overlay(mine, {"a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert mine == {"a": {"b": 1}}
