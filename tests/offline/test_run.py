"""`init` and `Run` over the real wandb SDK, offline."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
import wandb
from finished import read_finished
from torch import nn
from trainings import PATH
from wandb.proto import wandb_internal_pb2

import karn_wandb
from examples.blueprints import BLUEPRINTS
from examples.host import ConvHost
from karn_wandb import KarnConfig, SeedStage
from karn_wandb.errors import ClaimsError, KarnWarning, RecordError, TransitionError, UsageError
from karn_wandb.experiment.chunks import split_records
from karn_wandb.experiment.wandb_file import WandbFile
from karn_wandb.pipeline import read_log
from karn_wandb.pipeline.desk import Desk
from karn_wandb.records import Alert, EpisodeOutcome, RunInfo
from karn_wandb.schema import decode_rows, encode_row

pytestmark = pytest.mark.offline


def file_of(run: karn_wandb.Run) -> WandbFile:
    return read_finished(run.records_path.parent / f"run-{run.id}.wandb")


class TestShortForm:
    def test_fields_as_keywords_become_records_and_epochs_are_counted(self, start):
        with start(config={"lr": 0.1}) as run:
            for loss in (2.0, 1.0):
                run.log_batch(loss=torch.tensor(loss), accuracy=50.0)
                run.log_batch(loss=loss + 1)
                run.log_epoch(val_loss=0.5, val_accuracy=torch.tensor(61.5))
            assert run.collector.epoch_snapshot().epoch == 2
            assert run.collector.epoch_snapshot().host.train_loss == 1.5
            assert run.collector.epoch_snapshot().host.val_accuracy == 61.5

    def test_the_outcome_comes_back_from_finish_every_time(self, start):
        run = start()
        run.log_epoch(val_accuracy=61.5, host_params=10, total_seed_params=5, total_params=15)
        outcome = run.finish()
        assert outcome == EpisodeOutcome(epochs=1, final_accuracy=61.5, best_accuracy=61.5, total_params=15, param_ratio=1.5)
        assert run.finish() is outcome

    def test_the_context_is_captured_when_none_is_given(self, start):
        run = start(config={"lr": 0.1, "base_seed": 12})
        context = run.collector.episode().store.context
        assert (context.base_seed, context.hyperparameters) == (12, {"lr": 0.1, "base_seed": 12})
        assert context.library_versions["torch"] == torch.__version__

    def test_an_attached_model_completes_the_context_and_the_epochs(self, start):
        run = start()
        model = nn.Linear(3, 2)
        run.attach(model)
        model(torch.ones(1, 3)).sum().backward()
        run.log_batch(loss=1.0)
        run.log_epoch(val_accuracy=50.0)
        host = run.collector.epoch_snapshot().host
        assert (host.host_params, host.total_params, host.total_seed_params) == (8, 8, 0)
        assert host.host_grad_norm == pytest.approx(math.sqrt(8))
        assert run.collector.episode().store.context.host_architecture == "Linear"


@pytest.fixture(scope="module")
def one_run(offline_folder, tmp_path_factory):
    """A run that knows two slots, shared by tests that must leave it as it was."""
    episode = karn_wandb.capture_episode(slot_config={"early": 8, "mid": 8})
    with karn_wandb.init(project="tests", dir=tmp_path_factory.mktemp("bad"), episode=episode) as run:
        yield run


class TestBadInput:
    """Raises at our door: what was wrong, what was found, what to do; and nothing else is lost."""

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda run: run.log_epoch(val_accuracy=math.nan),
                RecordError,
                "HostSnapshot.val_accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
            ),
            (
                lambda run: run.log_epoch(slots={"early": karn_wandb.SlotSnapshot("early", SeedStage.BLENDING, alpha=1.2)}),
                RecordError,
                "SlotSnapshot.alpha must be between 0 and 1; got 1.2.",
            ),
            (
                lambda run: run.log_stage("early", "DORMANT", "FOSSILIZED"),
                TransitionError,
                "slot 'early' cannot go from DORMANT to FOSSILIZED. After DORMANT comes GERMINATED.",
            ),
            (
                lambda run: run.log_stage("attic", "DORMANT", "GERMINATED"),
                RecordError,
                (
                    "there is no slot 'attic'; got the slots are early, mid. "
                    "Declare it in the episode's slot_config, or attach the model that has it."
                ),
            ),
            (
                lambda run: run.log_epoch(val_loss="low"),
                RecordError,
                "HostSnapshot.val_loss must be a number; got 'low' (str).",
            ),
            (
                lambda run: run.log_epoch(wal_loss=1.0),
                RecordError,
                (
                    "HostSnapshot has no field 'wal_loss'. Its fields are epoch, train_loss, train_accuracy, val_loss, "
                    "val_accuracy, host_params, total_seed_params, total_params, fossilized_params, host_grad_norm, "
                    "seed_grad_norms, grad_isolation_leakage."
                ),
            ),
            (
                lambda run: run.log_batch(accuracy=3.0),
                UsageError,
                "log_batch needs a loss; got None. Pass loss=, or a BatchMetrics.",
            ),
        ],
    )
    def test_is_refused_in_words(self, one_run, call, error, message):
        one_run.collector.catch_up()
        before = one_run.collector.log.next_sequence
        with pytest.raises(error) as raised:
            call(one_run)
        assert str(raised.value) == message
        assert one_run.collector.log.next_sequence == before
        one_run.log_epoch(val_accuracy=50.0)

    def test_nothing_is_logged_after_finish(self, start):
        run = start()
        run.finish()
        with pytest.raises(UsageError, match="nothing can be logged after the episode ended; got EPOCH_COMPLETED"):
            run.log_epoch(val_accuracy=1.0)

    def test_a_config_key_of_ours_is_refused(self, offline_folder):
        with pytest.raises(UsageError) as raised:
            karn_wandb.init(project="tests", config={"karn": 1})
        assert str(raised.value) == "config may not use the key 'karn'. This package keeps its own settings there: rename it."

    def test_a_missing_claims_file_is_said_before_anything_starts(self, offline_folder):
        with pytest.raises(ClaimsError, match=r"the claims file 'nowhere\.yaml' cannot be read"):
            karn_wandb.init(project="tests", claims="nowhere.yaml")


class TestConfig:
    def test_values_that_w_and_b_holds_after_init_win(self, offline_folder, tmp_path):
        """As in a sweep: W&B replaces values on the way into the run's config."""
        episode = karn_wandb.capture_episode(base_seed=1, hyperparameters={"lr": 0.1, "momentum": 0.9})
        real = wandb.init

        def swept(*, config, **options):
            return real(config={**config, "lr": 0.5, "base_seed": 4, "karn": {**config["karn"], "mode": "research"}}, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wandb, "init", swept)
            run = karn_wandb.init(project="tests", dir=tmp_path, episode=episode, config={"lr": 0.1, "base_seed": 1})
        with run:
            context = run.collector.episode().store.context
            assert (context.hyperparameters, context.base_seed) == ({"lr": 0.5, "momentum": 0.9}, 4)
            assert run.collector.config.mode == "research"
            assert run.config["lr"] == 0.5
        assert file_of(run).config["episode"]["hyperparameters"] == {"lr": 0.5, "momentum": 0.9}

    def test_claims_are_in_the_log_and_the_config_before_anything_else_and_no_path_with_them(self, start, tmp_path):
        text = "claims: [{name: a, treatment: {arm: x, optimizer.lr: 1}, control: {arm: y}}]  # \u2265 1\n"
        claims = tmp_path / "claims.yaml"
        claims.write_text(text, encoding="utf-8")
        sha256 = hashlib.sha256(claims.read_bytes()).hexdigest()
        with start(claims=claims, config={"arm": "x"}) as run:
            assert run.config["karn_claims"] == {"sha256": sha256, "text": text}
            assert next(run.collector.log.events()).data.claims == text
            log = run.records_path.read_text(encoding="utf-8")
        assert str(tmp_path) not in log.replace("\\", "")
        file = file_of(run)
        assert file.config["karn_claims"] == {"sha256": sha256, "text": text}
        for source in (run.records_path, file.path, run.records_path.parent):  # the log, the run file beside none, both
            (row,) = karn_wandb.load_experiment(source).episodes[["claims_sha256", "claims"]].to_numpy().tolist()
            assert row == [sha256, text]

    def test_keywords_of_wandb_init_pass_through(self, start):
        with start(name="a name", group="g", job_type="train", tags=["x"], notes="n", config=None) as run:
            assert (run.wandb.name, run.wandb.group, run.wandb.job_type, run.wandb.tags) == ("a name", "g", "train", ("x",))
            info = next(e.data for e in run.collector.log.events() if isinstance(e.data, RunInfo))
            assert (info.name, info.group, info.tags) == ("a name", "g", ("x",))


class TestSeveralRuns:
    def test_two_runs_in_a_process_are_kept_apart(self, start):
        first, second = start(name="first"), start(name="second")
        for epoch in range(1, 4):
            first.log_epoch(val_accuracy=10.0 * epoch)
            second.log_epoch(val_accuracy=20.0 * epoch)
        assert wandb.run is None
        first.finish()
        second.finish()
        values = [
            [row["host/val_accuracy"] for row in file_of(run).rows if "host/val_accuracy" in row] for run in (first, second)
        ]
        assert values == [[10.0, 20.0, 30.0], [20.0, 40.0, 60.0]]

    def test_episodes_of_several_environments_have_keys_of_their_own(self, start):
        with start() as run:
            for episode_idx in range(2):
                for env_id in range(2):
                    log = run.episode(env_id, episode_idx, karn_wandb.capture_episode(base_seed=episode_idx))
                    for accuracy in (40.0, 50.0):
                        log.log_epoch(val_accuracy=accuracy + env_id)
        rows = [row for row in file_of(run).rows if "env/1/host/val_accuracy" in row]
        assert [(row["env/1/epoch"], row["env/1/episode"], row["env/1/host/val_accuracy"]) for row in rows] == [
            (1, 0, 41.0),
            (2, 0, 51.0),
            (3, 1, 41.0),
            (4, 1, 51.0),
        ]

    def test_disabled_takes_everything_and_writes_nothing(self, offline_folder, tmp_path):
        with karn_wandb.init(project="tests", dir=tmp_path, mode="disabled") as run:
            run.log_batch(loss=1.0)
            run.log_epoch(val_accuracy=50.0)
            assert run.collector.epoch_snapshot().host.val_accuracy == 50.0
            assert run.records_path is None
        assert list(tmp_path.rglob("*.jsonl")) == []


class TestManyEpisodes:
    """As in reinforcement learning: hundreds of hosts are trained in one run."""

    def test_that_ended_are_forgotten_and_log_and_w_and_b_keep_them(self, start):
        with start() as run:
            for episode_idx in range(300):
                log = run.episode(episode_idx % 3, episode_idx)
                log.log_batch(loss=1.0)
                log.log_epoch(val_accuracy=50.0)
                log.conclude()
                assert len(run.collector._episodes) <= 2  # the run's own, and this one
                assert len(run.collector._desks) <= 2
                assert len(run._episodes) == 1
            assert len(run.collector.episodes) == 301
        rows = file_of(run).rows
        ticks = [[row[f"env/{env}/epoch"] for row in rows if f"env/{env}/host/val_accuracy" in row] for env in range(3)]
        assert ticks == [list(range(1, 101))] * 3
        outcomes = [event for event in read_log(run.records_path).events if isinstance(event.data, EpisodeOutcome)]
        assert [event.episode_idx for event in outcomes] == list(range(300))

    def test_that_go_on_are_kept(self, start):
        with start() as run:
            logs = [run.episode(env_id) for env_id in range(4)]
            for log in logs[:2]:
                log.log_epoch(val_accuracy=50.0)
                log.conclude()
            run.episode(4)
            assert [(env_id, scoped) for env_id, _, scoped in run.collector._episodes] == [
                (0, False),
                (2, True),
                (3, True),
                (4, True),
            ]
            assert logs[2].log_epoch(val_accuracy=50.0).epoch == 1

    def test_an_episode_that_ended_does_not_begin_again(self, start):
        with start() as run:
            first = run.episode(0, 0)
            first.log_epoch(val_accuracy=50.0)
            first.conclude()
            assert run.episode(0, 0) is first
            run.episode(0, 1)
            with pytest.raises(UsageError) as caught:
                run.episode(0, 0)
            assert str(caught.value) == "episode (0, 0) has ended. Its successor has another episode_idx."

    def test_the_outcome_is_that_of_the_last_one_though_it_is_forgotten(self, start):
        run = start()
        for episode_idx in range(3):
            log = run.episode(0, episode_idx)
            log.log_epoch(val_accuracy=10.0 * episode_idx)
            last = log.conclude()
        run.episode(1, 0)
        assert run.finish().final_accuracy is None  # of (1, 0), which logged nothing
        assert last.final_accuracy == 20.0


class TestAlerts:
    def test_reach_w_and_b_at_once_with_their_level_and_are_in_the_log(self, start):
        """Two of one kind directly after each other both do: W&B is given no cooldown of its own."""
        alerts = [Alert(f"kind_{level}", f"look at {level}", 1, level) for level in ("info", "warning", "error", "error")]
        with start() as run:
            for alert in alerts:
                run.emit(karn_wandb.TelemetryEvent("ALERT_RAISED", data=alert))
            run.collector.followers[0].drain(10)
            assert run.collector.followers[0].failure is None
        assert [event.data for event in read_log(run.records_path).events if isinstance(event.data, Alert)] == alerts
        content = file_of(run).path.read_bytes()
        records = [wandb_internal_pb2.Record.FromString(payload) for _, payload in split_records(content, [])]
        told = [record.alert for record in records if record.WhichOneof("record_type") == "alert"]
        assert [(alert.title, alert.text, alert.level) for alert in told] == [
            ("kind info", "look at info", "INFO"),
            ("kind warning", "look at warning", "WARN"),
            ("kind error", "look at error", "ERROR"),
            ("kind error", "look at error", "ERROR"),
        ]
        assert {alert.wait_duration for alert in told} == {1}  # milliseconds: 0 would be its default of a minute


class TestHooks:
    @pytest.mark.parametrize("mode", ["standard", "research"])
    @pytest.mark.parametrize("through", ["run", "episode"])
    def test_are_off_the_model_after_finish(self, start, mode, through):
        run, model = start(karn=KarnConfig(mode=mode)), host_with_seed_module()
        run.attach(model)
        log = run if through == "run" else run.episode()
        log.log_batch(loss=1.0)
        log.log_epoch(val_accuracy=50.0)
        assert hooks_of(model)
        run.finish()
        assert hooks_of(model) == 0

    def test_are_off_the_model_after_an_exception(self, start):
        model = host_with_seed_module()
        with pytest.raises(RuntimeError, match="Expected 3D"), start(karn=KarnConfig(mode="research")) as run:
            run.attach(model)
            model(torch.ones(1, 5))
        assert hooks_of(model) == 0


def host_with_seed_module():
    host = ConvHost(4, classes=2)
    host.slots()[0].germinate("norm", BLUEPRINTS["norm"](host.slots()[0].channels))
    return host


def hooks_of(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def ran(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, which logs into a folder; its episode is given, for one that is captured takes PyTorch."""
    begin = """
        import os, karn_wandb
        from logged import CONTEXT
        run = karn_wandb.init(project="tests", dir=os.environ["WANDB_DIR"], episode=CONTEXT)
    """
    environment = os.environ | {"WANDB_DIR": str(folder), "PYTHONPATH": PATH}
    program = textwrap.dedent(begin) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, env=environment)


class TestFailure:
    def test_an_exception_marks_the_run_failed_with_its_reason(self, start):
        run = start()
        with pytest.raises(ZeroDivisionError), run:
            run.log_epoch(val_accuracy=50.0)
            1 / 0  # noqa: B018
        assert run.finish().state == "failed"
        assert run.finish().reason == "ZeroDivisionError: division by zero"
        assert file_of(run).exit_code == 1

    def test_a_bad_value_in_the_last_batches_is_said_and_everything_is_closed(self, start):
        run = start()
        run.log_epoch(val_accuracy=50.0)
        run.log_batch(loss=1.0, accuracy=torch.tensor(math.nan))
        with pytest.raises(RecordError, match=r"BatchMetrics\.accuracy .*epoch 2, batch 0"):
            run.finish()
        assert run.collector.closed
        assert run.finish().state == "failed"
        assert file_of(run).exit_code == 1

    def test_a_killed_process_keeps_every_epoch_it_logged(self, offline_folder, tmp_path):
        script = """
            import signal
            for epoch in range(30):
                run.log_epoch(val_accuracy=float(epoch))
            os.kill(os.getpid(), signal.SIGKILL)
        """
        done = ran(script, tmp_path)
        assert done.returncode == -9, done.stderr.decode()
        log = read_log(next(tmp_path.rglob("records.jsonl")))
        epochs = [e.data.epoch for e in log.events if e.event_type.name == "EPOCH_COMPLETED"]
        assert epochs == list(range(1, 31))

    def test_a_script_that_forgets_to_finish_loses_nothing_and_claims_no_outcome(self, offline_folder, tmp_path):
        script = """
            for epoch in range(5):
                run.log_batch(loss=1.0)
                run.log_epoch(val_accuracy=float(epoch))
            run.log_batch(loss=2.0)
        """
        done = ran(script, tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        path = next(tmp_path.rglob("records.jsonl"))
        events = read_log(path).events
        assert [e.data.loss for e in events if e.event_type.name == "BATCH_COMPLETED"] == [1.0] * 5 + [2.0]
        assert not any(e.event_type.name == "EPISODE_OUTCOME" for e in events)
        file = read_finished(next(path.parent.glob("run-*.wandb")))
        assert tuple(decode_rows(file.rows)) == events
        assert file.exit_code == 0

    def test_a_script_that_raises_before_finish_is_failed(self, offline_folder, tmp_path):
        script = """
            run.log_epoch(val_accuracy=50.0)
            raise RuntimeError("out of luck")
        """
        done = ran(script, tmp_path)
        assert done.returncode == 1
        assert "out of luck" in done.stderr.decode()
        file = read_finished(next(tmp_path.rglob("run-*.wandb")))
        assert file.exit_code == 1
        assert any("host/val_accuracy" in row for row in file.rows)

    def test_a_dead_w_and_b_never_stops_training_and_costs_no_record(self, start):
        """Wandb's own run is finished under us: every further row is refused."""
        run = start()
        run.log_epoch(val_accuracy=50.0)
        run.collector.followers[0].drain(5)
        run.wandb.finish()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for epoch in range(2, 40):
                run.log_epoch(val_accuracy=float(epoch))
            run.collector.followers[0].drain(5)
            run.log_epoch(val_accuracy=0.0)
            run.finish()
        ours = [str(w.message) for w in said if issubclass(w.category, KarnWarning)]
        (only,) = ours
        assert only.startswith("the wandb sink failed")
        assert f"What it missed is kept in {run.records_path}." in only
        epochs = [e for e in read_log(run.records_path).events if e.event_type.name == "EPOCH_COMPLETED"]
        assert len(epochs) == 40

    def test_live_analysis_that_fails_is_said_once_and_everything_is_kept(self, start, monkeypatch):
        run = start()
        monkeypatch.setattr(Desk, "observe", lambda *_: 1 / 0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for epoch in range(1, 6):
                run.log_batch(loss=1.0)
                run.log_epoch(val_accuracy=float(epoch))
            outcome = run.finish()
        ours = [str(w.message) for w in said if issubclass(w.category, KarnWarning)]
        assert len(ours) == 1
        assert ours[0].startswith("live analysis failed: ZeroDivisionError('division by zero').")
        assert (outcome.state, outcome.epochs, outcome.final_accuracy) == ("finished", 5, 5.0)
        rows = file_of(run).rows
        assert [row["host/val_accuracy"] for row in rows if "host/val_accuracy" in row] == [1.0, 2.0, 3.0, 4.0, 5.0]

    def test_strict_raises_what_analysis_raised_and_finish_still_ends_the_run(self, start, monkeypatch):
        run, model = start(karn=KarnConfig(strict=True)), host_with_seed_module()
        run.attach(model)
        run.collector.catch_up()
        monkeypatch.setattr(Desk, "observe", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.log_epoch(val_accuracy=50.0)
            run.log_epoch(val_accuracy=60.0)
        run.log_epoch(val_accuracy=70.0)  # said, it stops nobody who goes on
        with pytest.raises(ZeroDivisionError):
            run.finish()
        assert run.finish().final_accuracy == 70.0
        assert run.collector.closed
        assert hooks_of(model) == 0
        assert file_of(run).exit_code is not None
        assert any("host/val_accuracy" in row for row in file_of(run).rows)

    def test_strict_ends_the_run_also_when_it_raises_in_finish_first(self, offline_folder, tmp_path, monkeypatch):
        run = karn_wandb.init(project="tests", dir=tmp_path, karn=KarnConfig(strict=True))
        run.log_epoch(val_accuracy=50.0)
        monkeypatch.setattr(Desk, "close", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.finish()
        assert run.collector.closed
        assert file_of(run).exit_code == 1

    def test_bad_values_in_the_last_batches_of_several_episodes_end_the_run_too(self, start):
        run = start()
        run.log_batch(loss=1.0, accuracy=-1.0)
        for env_id in range(3):
            log = run.episode(env_id)
            log.log_epoch(val_accuracy=50.0)
            log.log_batch(loss=1.0, accuracy=50.0 if env_id == 1 else -1.0)
        with pytest.raises(RecordError, match=r"BatchMetrics\.accuracy"):
            run.finish()
        assert run.collector.closed
        outcomes = [event.data.state for event in read_log(run.records_path).events if isinstance(event.data, EpisodeOutcome)]
        assert outcomes == ["failed", "finished", "failed"]
        assert run.finish().state == "failed"
        assert file_of(run).exit_code == 1

    def test_strict_raises_instead(self, start):
        run = start(karn=KarnConfig(strict=True))
        run.log_epoch(val_accuracy=50.0)
        run.collector.followers[0].drain(5)
        run.wandb.finish()
        with pytest.raises(wandb.errors.UsageError):
            for epoch in range(2, 100):
                run.log_epoch(val_accuracy=float(epoch % 100))
                run.collector.followers[0].drain(5)
        with pytest.raises(wandb.errors.UsageError):
            run.finish()

    @pytest.mark.skipif(wandb.__version__ < "0.31", reason="older wandb waits in init for ever, whatever init_timeout says")
    def test_an_unreachable_server_at_init_means_offline_with_a_warning(self, offline_folder, tmp_path):
        settings = wandb.Settings(base_url="http://127.0.0.1:9", init_timeout=2, api_key="x" * 40)
        with pytest.warns(KarnWarning, match="W&B cannot be reached"):
            run = karn_wandb.init(project="tests", dir=tmp_path, mode="online", settings=settings)
        with run:
            assert run.wandb.offline
            run.log_epoch(val_accuracy=50.0)
        assert any("host/val_accuracy" in row for row in file_of(run).rows)


class TestInterval:
    def test_the_row_is_what_the_schema_says(self, start):
        with start() as run:
            run.log_epoch(val_accuracy=50.0)
        event = next(e for e in read_log(run.records_path).events if e.event_type.name == "EPOCH_COMPLETED")
        row = next(r for r in file_of(run).rows if "host/val_accuracy" in r)
        assert encode_row(event).items() <= row.items()


def test_records_path_is_beside_w_and_bs_own_file(start):
    run = start()
    assert run.records_path.parent == Path(run.wandb.dir).parent
