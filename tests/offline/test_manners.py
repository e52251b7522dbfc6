"""What a guest in other people's scripts keeps to: W&B's settings, silence, and no key kept anywhere."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import wandb
from finished import read_finished
from trainings import PATH

import karn_wandb
from karn_wandb.errors import KarnWarning

pytestmark = pytest.mark.offline

REPOSITORY = Path(karn_wandb.__file__).parent.parent
SOURCES = sorted([*REPOSITORY.glob("karn_wandb/**/*.py"), *REPOSITORY.glob("examples/**/*.py")])
HASH = "0123456789abcdef0123456789abcdef01234567"
KEY = HASH[::-1]


def told_by(script: str, offline_folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own says: W&B reads the environment once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    quiet = {"WANDB_ERROR_REPORTING": "false", "WANDB_DATA_DIR": str(offline_folder / "data"), "PYTHONPATH": PATH}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        capture_output=True,
        text=True,
        env=kept | quiet | environment,
        cwd=environment["WANDB_DIR"],
    )
    assert done.returncode == 0, done.stderr
    return done


# In each program the episode is given: one that is captured takes PyTorch, which takes a second or two.
TELL = """
    import json, karn_wandb, wandb
    from logged import CONTEXT
    run = karn_wandb.init(episode=CONTEXT, config={"lr": 0.1})
    run.log_epoch(val_accuracy=50.0)
    w = run.wandb
    path = str(run.records_path)
    run.finish()
    tags = list(w.tags or ())
    print(json.dumps([w.project, w.entity, w.group, tags, w.name, w.job_type, w.notes, w.offline, w.disabled, path]))
"""


class TestVariablesOfWandb:
    def test_are_respected(self, offline_folder, tmp_path):
        done = told_by(
            TELL,
            offline_folder,
            WANDB_MODE="offline",
            WANDB_PROJECT="of-environment",
            WANDB_ENTITY="someone",
            WANDB_DIR=str(tmp_path),
            WANDB_RUN_GROUP="a group",
            WANDB_TAGS="x,y",
            WANDB_NAME="a name",
            WANDB_JOB_TYPE="train",
            WANDB_NOTES="a note",
            WANDB_SILENT="true",
        )
        *said, path = json.loads(done.stdout)
        assert said == ["of-environment", "someone", "a group", ["x", "y"], "a name", "train", "a note", True, False]
        assert Path(path).is_relative_to(tmp_path)
        assert done.stderr == ""  # WANDB_SILENT

    def test_keywords_win_over_them(self, offline_folder, tmp_path):
        script = TELL.replace("config=", 'project="mine", group="g", tags=["z"], mode="offline", config=')
        done = told_by(
            script,
            offline_folder,
            WANDB_MODE="online",
            WANDB_PROJECT="of-environment",
            WANDB_RUN_GROUP="a group",
            WANDB_TAGS="x,y",
            WANDB_DIR=str(tmp_path),
            WANDB_SILENT="true",
        )
        project, _, group, tags, *_, offline, _, _ = json.loads(done.stdout)
        assert (project, group, tags, offline) == ("mine", "g", ["z"], True)

    def test_disabled_writes_nothing(self, offline_folder, tmp_path):
        done = told_by(TELL, offline_folder, WANDB_MODE="disabled", WANDB_DIR=str(tmp_path))
        *_, disabled, path = json.loads(done.stdout)
        assert (disabled, path) == (True, "None")
        assert not list(tmp_path.rglob("*.wandb"))
        assert not list(tmp_path.rglob("*.jsonl"))

    def test_reinit_says_what_becomes_of_the_global_run(self, offline_folder, tmp_path):
        script = """
            import karn_wandb, wandb
            from logged import CONTEXT
            run = karn_wandb.init(project="p", episode=CONTEXT)
            print(wandb.run is run.wandb)
            run.finish()
        """
        options = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
        assert told_by(script, offline_folder, **options).stdout == "False\n"
        assert told_by(script, offline_folder, **options, WANDB_REINIT="finish_previous").stdout == "True\n"


def test_only_w_and_b_itself_says_anything(offline_folder, tmp_path):
    script = """
        import karn_wandb
        with karn_wandb.init(project="p") as run:
            run.log_batch(loss=1.0)
            run.log_epoch(val_accuracy=50.0)
    """
    done = told_by(script, offline_folder, WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    assert done.stdout == ""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).splitlines()
    assert all(line.startswith("wandb:") or not line.strip() for line in lines), done.stderr


class TestKeys:
    def test_do_not_reach_config_record_log_or_artifacts(self, offline_folder, tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
        episode = karn_wandb.capture_episode(hyperparameters={"lr": 0.1, "service": {"token": "tr0ub4dor"}})
        with pytest.warns(KarnWarning) as told:
            run = karn_wandb.init(
                project="tests", dir=tmp_path, episode=episode, config={"lr": 0.1, "logger": KEY, "commit": HASH}
            )
        with pytest.warns(KarnWarning, match=r"password"):
            run.log_context(karn_wandb.capture_episode(hyperparameters={"password": "tr0ub4dor", "commit": HASH}))
        run.episode(1, 0, karn_wandb.capture_episode(hyperparameters={"password": "tr0ub4dor"}))
        run.log_epoch(val_accuracy=50.0)
        run.finish()
        (warned,) = [str(w.message) for w in told]
        assert warned.startswith("values that look like keys were removed from the configuration: logger, service.token.")
        config = read_finished(run.records_path.parent / f"run-{run.id}.wandb").config
        assert (config["logger"], config["commit"]) == ("[removed: looks like a key]", HASH)
        assert config["episode"]["hyperparameters"]["service"] == {"token": "[removed: looks like a key]"}
        for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
            content = path.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            assert b"tr0ub4dor" not in content, path
            assert KEY.encode() not in content, path

    def test_are_not_taken_over_from_what_w_and_b_got_elsewhere(self, offline_folder, tmp_path, monkeypatch):
        """As from a config-defaults.yaml or a sweep, which W&B puts into its config by itself."""
        real = wandb.init
        monkeypatch.setattr(wandb, "init", lambda *, config, **options: real(config={**config, "api_key": KEY}, **options))
        with karn_wandb.init(project="tests", dir=tmp_path) as run:
            run.log_epoch(val_accuracy=50.0)
        assert KEY.encode() not in run.records_path.read_bytes()


class TestSources:
    @pytest.mark.parametrize("word", [r"wandb\.ai", "coreweave", r"api\.wandb"])
    def test_name_no_host_of_w_and_b(self, word):
        assert [path.name for path in SOURCES if re.search(word, path.read_text(), re.IGNORECASE)] == []

    def test_never_log_in(self):
        assert [path.name for path in SOURCES if re.search(r"\.login\(|relogin|force=True", path.read_text())] == []

    def test_touch_nothing_private_of_w_and_b(self):
        private = r"\bx_[a-z_]+ *=|wandb_run\._[a-z]|run\.wandb\._[a-z]|(?<!karn_)\bwandb\._[a-z]"
        assert [path.name for path in SOURCES if re.search(private, path.read_text())] == []
