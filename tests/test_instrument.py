"""The attached model measures itself: through `attach`, `log_batch` and `log_epoch`, as a user's training loop has it."""

import math
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import product

import pytest
import torch
from blending import BlendingSlot
from torch import nn
from torch.nn.functional import cross_entropy

from karn_wandb.attribution import ModelEvaluator
from karn_wandb.capture import capture_episode
from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import RecordError, UsageError
from karn_wandb.instrument import unwrapped
from karn_wandb.pipeline import KarnCollector, RecordLog, read_log
from karn_wandb.pipeline.desk import Desk
from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    HostSnapshot,
    KarnConfig,
    LayerStatistics,
    SeedLayerNorm,
    SeedLayerNorms,
    SeedStage,
    SlotSnapshot,
    TelemetryEvent,
)

EXAMPLES = 12


class Slot(BlendingSlot):
    """Adds alpha times its seed module, whose gradient flows back into the host: a barrier that leaks."""

    def __init__(self, slot_id):
        super().__init__()
        self.slot_id, self.channels = slot_id, 4
        self.seed, self.stage, self.alpha = None, SeedStage.DORMANT, 0.0
        self.seed_id, self.blueprint_id, self.epochs_in_stage = None, None, 0

    def grow(self, stage=SeedStage.BLENDING, alpha=0.5, seed=None, seed_id="one"):
        self.seed = seed or nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
        self.stage, self.alpha, self.seed_id, self.blueprint_id, self.epochs_in_stage = stage, alpha, seed_id, "mlp", 2

    def prune(self):
        self.seed, self.stage, self.alpha = None, SeedStage.PRUNED, 0.0

    def forward(self, x):
        return x if self.seed is None else x + self.alpha * self.seed(x)


class Net(nn.Module):
    """A host of three layers with two slots between them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.middle, self.head = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.relu = nn.ReLU()
        self.seed_slots = nn.ModuleDict({name: Slot(name) for name in ("early", "late")})

    @property
    def early(self):
        return self.seed_slots["early"]

    @property
    def late(self):
        return self.seed_slots["late"]

    def forward(self, x):
        x = self.middle(self.early(self.relu(self.stem(x))))
        return self.head(self.late(x))


HOST_PARAMS, SEED_PARAMS = 16 + 20 + 10, 30 + 28
LAYERS = ("stem", "middle", "head")
SEED_LAYERS = ("seed_slots.early.seed.0", "seed_slots.early.seed.2")


@pytest.fixture
def net():
    made = Net()
    made.early.grow()
    return made


def batch(device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(EXAMPLES, 3, generator=generator, dtype=dtype)
    return inputs.to(device), (inputs.sum(1) > 0).long().to(device)


def step(net, examples=None, optimizer=None):
    """One training step; the loss."""
    inputs, targets = examples or batch()
    net.zero_grad()
    loss = cross_entropy(net(inputs).float(), targets)
    loss.backward()
    if optimizer is not None:
        optimizer.step()
    return loss


def attached(model, config=None, **options):
    episode = EpisodeLog(KarnCollector(config))
    episode.attach(model, **options)
    return episode


def logged(episode, cls):
    episode.collector.catch_up()
    return [event.data for event in episode.collector.log.events() if isinstance(event.data, cls)]


def norm_of(*modules):
    """Reference: L2 norm of all gradients laid end to end, in double precision."""
    grads = [p.grad.double().flatten() for module in modules for p in module.parameters() if p.grad is not None]
    return torch.cat(grads).norm().item()


def hooks_of(model):
    """How many hooks of any kind each module has."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {name: tuple(len(getattr(m, kind)) for kind in kinds) for name, m in model.named_modules() if hooked(m, kinds)}


def hooked(module, kinds):
    return any(getattr(module, kind) for kind in kinds)


class TestByItself:
    def test_parameters_slots_gradient_norms_and_leakage_are_there(self, net):
        """Attach, then losses and accuracies only; the references are computed beside it."""
        net.early.grow(SeedStage.TRAINING, 0.25, nn.Linear(4, 4), "early-1")
        net.late.grow(SeedStage.FOSSILIZED, 1.0)
        episode, host, early, leaked = attached(net), [], [], []
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        outputs = []
        net.early.register_forward_hook(lambda _module, _inputs, output: (output.retain_grad(), outputs.append(output))[0])
        for _ in range(5):
            loss = step(net)
            host.append(norm_of(net.stem, net.middle, net.head))
            early.append(norm_of(net.early.seed))
            leaked.append((0.25 * outputs[-1].grad @ net.early.seed.weight.detach()).norm().item())
            episode.log_batch(loss=loss)
            optimizer.step()
        snapshot = episode.log_epoch(val_accuracy=60.0)
        assert snapshot.host.host_grad_norm == pytest.approx(sum(host) / 5, rel=1e-5)
        assert snapshot.host.seed_grad_norms["early"] == pytest.approx(sum(early) / 5, rel=1e-5)
        assert snapshot.host.grad_isolation_leakage == pytest.approx(sum(leaked) / 5, rel=1e-5)
        assert [b.isolation_leakage for b in logged(episode, BatchMetrics)] == pytest.approx(leaked, rel=1e-5)
        counts = (snapshot.host.host_params, snapshot.host.total_seed_params, snapshot.host.fossilized_params)
        assert counts == (HOST_PARAMS, 20 + SEED_PARAMS, SEED_PARAMS)
        assert snapshot.host.total_params == HOST_PARAMS + 20 + SEED_PARAMS
        assert snapshot.slots == {
            "early": SlotSnapshot("early", SeedStage.TRAINING, 2, "early-1", "mlp", seed_params=20, alpha=0.25),
            "late": SlotSnapshot("late", SeedStage.FOSSILIZED, 2, "one", "mlp", seed_params=SEED_PARAMS, alpha=1.0),
        }

    def test_what_is_passed_wins(self, net):
        net.early.grow(SeedStage.TRAINING)
        episode = attached(net)
        episode.log_batch(loss=step(net), host_grad_norm=9.0, isolation_leakage=torch.tensor(0.5), seed_grad_norms={"early": 7.0})
        slots = {"late": SlotSnapshot("late", SeedStage.BLENDING, alpha=0.5)}
        passed = {"host_params": 3, "total_params": 3 + SEED_PARAMS, "train_loss": 2.0, "host_grad_norm": 4.0}
        kept = episode.log_epoch(**passed, grad_isolation_leakage=None, slots=slots)
        (measured,) = logged(episode, BatchMetrics)
        assert (measured.host_grad_norm, measured.isolation_leakage, measured.seed_grad_norms) == (9.0, 0.5, {"early": 7.0})
        assert {name: getattr(kept.host, name) for name in passed} == passed
        assert (kept.host.grad_isolation_leakage, kept.slots) == (None, slots)
        assert (kept.host.total_seed_params, kept.host.seed_grad_norms) == (SEED_PARAMS, {"early": 7.0})

    def test_a_host_alone_has_neither_slots_nor_leakage(self):
        model = nn.Linear(3, 2)
        episode = attached(model)
        episode.log_batch(loss=step(model))
        snapshot = episode.log_epoch(val_accuracy=50.0)
        assert snapshot.slots == {}
        assert (snapshot.host.grad_isolation_leakage, snapshot.host.total_params) == (None, 8)
        assert snapshot.host.host_grad_norm == pytest.approx(norm_of(model), rel=1e-5)

    def test_layers_are_measured_batch_by_batch_and_said_as_root_mean_squares(self, net):
        episode = attached(net)
        episode.log_batch(loss=step(net))
        episode.log_epoch()
        (layers,) = logged(episode, LayerStatistics)
        assert (layers.epoch, layers.first_batch, layers.last_batch, layers.batches) == (1, 0, 0, 1)
        assert set(layers.gradient_rms) == {*LAYERS, *SEED_LAYERS}
        assert layers.gradient_rms["head"] == pytest.approx(norm_of(net.head) / math.sqrt(10), rel=1e-5)

    def test_a_model_that_was_not_trained_on_yet_has_no_norms(self, net):
        """None, never 0."""
        episode = attached(net)
        episode.log_batch(loss=1.0)
        assert episode.log_epoch().host.host_grad_norm is None
        assert logged(episode, LayerStatistics) == []

    def test_an_epoch_that_is_refused_changes_nothing(self, net):
        """No coalition is evaluated for it, and its seed layers wait for the right one."""
        episode = attached(net, KarnConfig(seed_layer_summaries=True), val_loader=[batch()])
        episode.log_batch(loss=step(net))
        first = episode.log_epoch()
        episode.log_batch(loss=step(net))
        for again in (lambda: episode.log_epoch(epoch=1), lambda: episode.log_epoch(first)):
            with pytest.raises(RecordError, match="epochs must go up; got epoch 1 after epoch 1"):
                again()
        episode.log_epoch()
        assert [matrix.epoch for matrix in logged(episode, CounterfactualMatrix)] == [1, 2]
        assert [norm.epoch for norm in logged(episode, SeedLayerNorm)] == [1, 1, 2, 2]

    def test_the_context_is_completed(self, net):
        episode = EpisodeLog(KarnCollector())
        episode.log_context(capture_episode())
        episode.attach(torch.compile(net, backend="eager"))
        context = logged(episode, EpisodeContext)[-1]
        assert (context.host_params, context.host_architecture) == (HOST_PARAMS, "Net")
        assert context.slot_config == {"early": 4, "late": 4}

    def test_nothing_is_attached_after_the_end(self, net):
        episode = EpisodeLog(KarnCollector())
        episode.conclude()
        with pytest.raises(UsageError, match="nothing can be logged after the episode ended"):
            episode.attach(net)
        assert hooks_of(net) == {}


class TestHooks:
    """None is left behind, however it ends."""

    @pytest.mark.parametrize("mode", ["standard", "research"])
    @pytest.mark.parametrize("end", [EpisodeLog.detach, EpisodeLog.conclude, lambda e: e.attach(nn.Linear(1, 1))])
    def test_are_taken_off(self, net, mode, end):
        episode = attached(net, KarnConfig(mode=mode))
        for _ in range(2):
            episode.log_batch(loss=step(net))
            episode.log_epoch()
        assert bool(hooks_of(net))
        end(episode)
        assert hooks_of(net) == {}

    def test_those_of_the_user_stay(self, net):
        net.stem.register_forward_hook(lambda *_: None)
        net.early.seed.register_forward_pre_hook(lambda *_: None)
        before = hooks_of(net)
        episode = attached(net, KarnConfig(mode="research"))
        episode.log_batch(loss=step(net))
        episode.detach()
        assert hooks_of(net) == before

    @pytest.mark.parametrize("mode", ["standard", "research"])
    @pytest.mark.parametrize("end", [EpisodeLog.detach, EpisodeLog.conclude])
    def test_are_taken_off_though_the_last_batch_is_refused(self, net, mode, end):
        episode = attached(net, KarnConfig(mode=mode))
        episode.log_batch(loss=step(net), accuracy=math.nan)
        with pytest.raises(RecordError, match="accuracy must be between 0 and 100"):
            end(episode)
        assert hooks_of(net) == {}

    @pytest.mark.parametrize("mode", ["standard", "research"])
    def test_are_taken_off_after_an_exception_in_the_model(self, net, mode):
        episode = attached(net, KarnConfig(mode=mode))
        episode.log_batch(loss=step(net))
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            net(torch.ones(1, 7))
        episode.log_batch(loss=step(net))
        episode.conclude(state="failed")
        assert hooks_of(net) == {}

    def test_of_a_dense_window_are_gone_after_it(self, net):
        """A failed gate asks for one: hooks on every leaf module until its batches are there."""
        episode = attached(net, KarnConfig(trace_batches=2))
        seed_only = hooks_of(net)
        assert set(seed_only) == {"seed_slots.early.seed"}
        episode.log_gate(slot_id="late", gate="G0", passed=False)
        for _ in range(3):
            episode.log_batch(loss=step(net))
        assert set(hooks_of(net)) > {*LAYERS, *SEED_LAYERS, "relu"}
        episode.log_epoch()
        episode.log_batch(loss=step(net))
        assert hooks_of(net) == seed_only
        episode.detach()
        assert hooks_of(net) == {}

    def test_are_on_the_seed_modules_alone_while_nothing_is_dense(self, net):
        """Standard mode costs no forward hook, no histogram and no activation."""
        episode = attached(net)
        for _ in range(40):
            episode.log_batch(loss=step(net))
            assert all(not module._forward_hooks for module in net.modules())
        episode.log_epoch()
        for layers in logged(episode, LayerStatistics):
            assert layers.gradient_rms
            assert (layers.histograms, layers.activations) == ({}, {})
        assert logged(episode, DenseTrace) == []


class TestCompiled:
    """`torch.compile` makes the same graphs with and without the instrument, and the numbers are those of the eager model."""

    @pytest.fixture(autouse=True)
    def reset(self):
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    def train(self, config=None, attach="", stage=SeedStage.BLENDING, backend="eager"):
        """Two epochs, with another alpha in the second; what Dynamo did, and what was logged."""
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        net, episode = Net(), EpisodeLog(KarnCollector(config))
        net.early.grow(stage)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        if attach == "before":
            episode.attach(net)
        model = torch.compile(net, backend=backend) if backend else net
        if attach == "late":
            step(model)
        if attach in ("after", "late"):
            episode.attach(model)
        for alpha in (0.5, 0.75):
            net.early.alpha = alpha
            for _ in range(2):
                episode.log_batch(loss=step(model, optimizer=optimizer))
            episode.log_epoch()
        counters = torch._dynamo.utils.counters
        done = {kind: dict(counters[kind]) for kind in ("stats", "frames", "graph_break", "unimplemented", "recompiles")}
        return done, [replace(b, isolation_leakage=None) for b in logged(episode, BatchMetrics)]

    def test_graphs_breaks_and_recompiles_are_those_without_and_the_numbers_those_of_the_eager_model(self):
        stage = SeedStage.TRAINING  # in which the isolation probe watches
        without, _ = self.train(stage=stage)
        assert without["stats"]["unique_graphs"] > 0
        assert without["graph_break"] == {}
        _, eager = self.train(attach="before", stage=stage, backend=None)
        for mode in ("standard", "research"):
            for attach in ("before", "after", "late") if mode == "research" else ("before", "late"):
                done, batches = self.train(KarnConfig(mode=mode), attach, stage)
                assert done == without, (mode, attach)
                if attach != "late":
                    same(batches, eager)

    def test_the_same_with_a_compiled_backward_pass(self):
        without, _ = self.train(backend="aot_eager")
        _, eager = self.train(attach="before", backend=None)
        done, batches = self.train(KarnConfig(mode="research"), "after", backend="aot_eager")
        assert done == without
        same(batches, eager)

    def test_a_compiled_step_around_an_eager_model_too(self):
        def graphs(config):
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            net, episode = Net(), EpisodeLog(KarnCollector(config))
            net.early.grow(SeedStage.TRAINING)
            if config is not None:
                episode.attach(net)
            forward = torch.compile(lambda inputs, targets: cross_entropy(net(inputs), targets), backend="eager", fullgraph=True)
            for _ in range(3):
                net.zero_grad()
                forward(*batch()).backward()
                episode.log_batch(loss=1.0)
            stats = torch._dynamo.utils.counters["stats"]
            return stats["unique_graphs"], stats["calls_captured"]

        assert graphs(KarnConfig()) == graphs(KarnConfig(mode="research")) == graphs(None)

    def test_explain_sees_one_graph_without_a_break(self, net):
        attached(net, KarnConfig(mode="research"))
        explained = torch._dynamo.explain(net)(batch()[0])
        assert (explained.graph_count, explained.graph_break_count) == (1, 0)

    def test_dense_windows_that_come_and_go_compile_nothing_again(self):
        def graphs(*, traced):
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            net, episode = Net(), EpisodeLog(KarnCollector(KarnConfig(trace_batches=1)))
            net.early.grow()
            model = torch.compile(net, backend="eager")
            episode.attach(model)
            for _ in range(4):
                if traced:
                    episode.log_gate(slot_id="late", gate="G0", passed=False)
                    episode.log_gate(slot_id="late", gate="G0", passed=True)
                for _ in range(2):
                    episode.log_batch(loss=step(model))
                episode.log_epoch()
            assert bool(logged(episode, DenseTrace)) == traced
            return torch._dynamo.utils.counters["stats"]["unique_graphs"]

        assert graphs(traced=True) == graphs(traced=False) == 1

    def test_host_slots_and_layers_are_named_as_in_the_model_itself(self, net):
        model = torch.compile(net, backend="eager")
        episode = attached(model, KarnConfig(mode="research"), val_loader=[batch()])
        episode.log_batch(loss=step(model))
        snapshot = episode.log_epoch(val_accuracy=50.0)
        assert (snapshot.host.host_params, list(snapshot.slots)) == (HOST_PARAMS, ["early", "late"])
        (layers,) = logged(episode, LayerStatistics)
        assert set(layers.gradient_rms) == set(layers.histograms) == {*LAYERS, *SEED_LAYERS}
        (matrix,) = logged(episode, CounterfactualMatrix)
        assert matrix.slot_ids == ("early",)
        episode.detach()
        assert hooks_of(net) == {}


class TestCoalitions:
    """The attached model's coalitions share passes, whatever else is on the model."""

    @pytest.fixture
    def grown(self, net):
        net.late.grow(alpha=0.25, seed_id="two")
        return net

    @staticmethod
    def expected(net):
        """Accuracies of the coalitions, a pass for each."""
        inputs, targets = batch()
        found = {}
        for config in product((False, True), repeat=2):
            with ExitStack() as off, torch.no_grad():
                for on, slot in zip(config, (net.early, net.late), strict=True):
                    if not on:
                        off.enter_context(slot.force_alpha(0.0))
                found[config] = 100 * (net(inputs).argmax(1) == targets).float().mean().item()
        return found

    def evaluated(self, model, config=None, monkeypatch=None):
        """The matrix of an epoch, and how it was evaluated."""
        methods = []
        whole = ModelEvaluator.evaluate_all

        def watched(evaluator, configs):
            found = whole(evaluator, configs)
            methods.append((evaluator.method, evaluator.reason))
            return found

        monkeypatch.setattr(ModelEvaluator, "evaluate_all", watched)
        episode = attached(model, config or KarnConfig(mode="research"), val_loader=[batch()])
        episode.log_batch(loss=step(model))
        episode.log_epoch(val_accuracy=50.0)
        (matrix,) = logged(episode, CounterfactualMatrix)
        return {result.config: result.val_accuracy for result in matrix.configs}, methods, episode

    def test_share_passes_beside_the_probes_and_the_users_own_hooks(self, grown, monkeypatch):
        seen = []
        grown.late.register_forward_hook(lambda _m, _a, out: seen.append(len(out)) or out * 1.5)
        grown.early.stage = SeedStage.TRAINING  # its input is watched by the isolation probe
        found, methods, episode = self.evaluated(grown, monkeypatch=monkeypatch)
        assert methods == [("branching", "")]
        assert found == pytest.approx(self.expected(grown))
        assert max(seen) == 4 * EXAMPLES
        episode.detach()

    def test_share_passes_of_a_compiled_model_which_is_not_compiled_again(self, grown, monkeypatch):
        torch._dynamo.reset()
        model = torch.compile(grown, backend="eager")
        found, methods, episode = self.evaluated(model, monkeypatch=monkeypatch)
        assert methods == [("branching", "")]
        assert found == pytest.approx(self.expected(grown))
        torch._dynamo.utils.counters.clear()
        step(model)
        assert torch._dynamo.utils.counters["stats"].get("unique_graphs", 0) == 0
        episode.detach()
        torch._dynamo.reset()

    def test_share_passes_of_a_model_compiled_in_place(self, grown, monkeypatch):
        torch._dynamo.reset()
        grown.compile(backend="eager")
        found, methods, episode = self.evaluated(grown, monkeypatch=monkeypatch)
        assert methods == [("branching", "")]
        assert found == pytest.approx(self.expected(grown))
        episode.detach()
        torch._dynamo.reset()

    def test_share_passes_of_a_model_in_data_parallel(self, grown, monkeypatch):
        found, methods, episode = self.evaluated(nn.DataParallel(grown), monkeypatch=monkeypatch)
        assert methods == [("branching", "")]
        assert found == pytest.approx(self.expected(grown))
        episode.detach()


def same(batches, others):
    """Equal but for rounding: a compiled backward pass may add in another order."""
    for one, other in zip(batches, others, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.host_grad_norm == pytest.approx(other.host_grad_norm, rel=1e-4)
        assert one.seed_grad_norms == pytest.approx(other.seed_grad_norms, rel=1e-4)


class TestTrainingStyles:
    @pytest.mark.parametrize("scaled", [False, True], ids=["autocast", "autocast-and-scaler"])
    def test_mixed_precision(self, net, scaled):
        """After `scaler.step` gradients are the true ones."""
        episode, optimizer = attached(net), torch.optim.SGD(net.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=1024.0)
        norms = []
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(net(batch()[0]), batch()[1])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            norms.append(norm_of(net.stem, net.middle, net.head))
            episode.log_batch(loss=loss)
        episode.log_epoch()
        assert [b.host_grad_norm for b in logged(episode, BatchMetrics)] == pytest.approx(norms, rel=1e-5)
        assert norms[0] < 10  # and not 1024 times as much

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("mode", ["standard", "research"])
    def test_a_model_in_another_precision(self, net, dtype, mode):
        net.early.grow(SeedStage.TRAINING)
        net.to(dtype)
        episode = attached(net, KarnConfig(mode=mode))
        loss = step(net, batch(dtype=dtype))
        episode.log_batch(loss=loss)
        host = episode.log_epoch().host
        assert host.train_loss == loss.item()
        assert host.host_grad_norm == pytest.approx(norm_of(net.stem, net.middle, net.head), rel=1e-6)
        assert host.grad_isolation_leakage > 0

    def test_gradient_accumulation(self, net):
        """Logged once a step: the norm is that of the sum, the leakage that of all passes together."""
        net.early.grow(SeedStage.TRAINING)
        episode, alone = attached(net), []
        for half in (slice(0, 6), slice(6, 12)):
            step(net, tuple(part[half] for part in batch()))
            episode.log_batch(loss=1.0)
            alone.append(half)
        net.zero_grad()
        for half in alone:
            cross_entropy(net(batch()[0][half]), batch()[1][half]).backward()
        episode.log_batch(loss=1.0)
        episode.log_epoch()
        first, second, both = logged(episode, BatchMetrics)
        assert both.host_grad_norm == pytest.approx(norm_of(net.stem, net.middle, net.head), rel=1e-5)
        assert both.isolation_leakage == pytest.approx(math.hypot(first.isolation_leakage, second.isolation_leakage), rel=1e-5)

    def test_frozen_parameters_are_not_measured_and_freezing_is_seen_from_the_next_epoch(self, net):
        net.head.requires_grad_(requires_grad=False)
        episode = attached(net)
        for _ in range(2):
            episode.log_batch(loss=step(net))
            net.stem.requires_grad_(requires_grad=False)  # its last gradient stays where it is
            episode.log_batch(loss=1.0)
            episode.log_epoch()
        net.head.requires_grad_(requires_grad=True)
        episode.log_batch(loss=step(net))
        episode.log_epoch()
        episode.log_batch(loss=1.0)
        episode.log_epoch()
        seed = set(SEED_LAYERS)
        assert [set(layers.gradient_rms) for layers in logged(episode, LayerStatistics)] == [
            {"stem", "middle"} | seed,
            {"middle"} | seed,
            {"middle"} | seed,
            {"middle", "head"} | seed,
        ]
        assert logged(episode, BatchMetrics)[-1].host_grad_norm == pytest.approx(norm_of(net.middle, net.head), rel=1e-5)

    def test_what_host_and_seed_module_share_is_the_host_s(self, net):
        """A tied weight is counted once and measured once."""
        seed = nn.Linear(4, 4)
        seed.weight = net.middle.weight
        net.early.grow(seed=seed)
        episode = attached(net, KarnConfig(mode="research"))
        episode.log_batch(loss=step(net))
        host = episode.log_epoch().host
        assert (host.host_params, host.total_seed_params, host.total_params) == (HOST_PARAMS, 4, HOST_PARAMS + 4)
        assert host.host_grad_norm == pytest.approx(norm_of(net.stem, net.middle, net.head), rel=1e-5)
        assert host.seed_grad_norms == {"early": pytest.approx(seed.bias.grad.norm().item(), rel=1e-5)}
        (layers,) = logged(episode, LayerStatistics)
        assert counted(layers.histograms["middle"]) == 20
        assert counted(layers.histograms["seed_slots.early.seed"]) == 4

    @pytest.mark.parametrize("mode", ["standard", "research"])
    def test_a_seed_module_that_comes_or_goes_in_the_middle_of_an_epoch(self, net, mode):
        episode = attached(net, KarnConfig(mode=mode))
        norms = []
        for index in range(6):
            if index == 2:
                net.late.grow(seed=nn.Linear(4, 4))
            if index == 4:
                net.early.prune()
            loss = step(net)
            norms.append({name: norm_of(slot.seed) for name, slot in net.seed_slots.items() if slot.seed is not None})
            episode.log_batch(loss=loss)
        snapshot = episode.log_epoch()
        assert [b.seed_grad_norms for b in logged(episode, BatchMetrics)] == [pytest.approx(norm, rel=1e-5) for norm in norms]
        assert [(s.first_batch, s.last_batch) for s in logged(episode, LayerStatistics)] == [(0, 1), (2, 3), (4, 5)]
        assert (snapshot.slots["early"].stage, snapshot.slots["late"].seed_params) == (SeedStage.PRUNED, 20)
        assert snapshot.host.total_seed_params == 20
        episode.detach()
        assert hooks_of(net) == {}


def counted(histogram):
    return sum(histogram.negative) + sum(histogram.positive) + histogram.zeros + histogram.non_finite


class TestResearch:
    def test_each_epoch_has_a_trace_with_every_batch_once_and_every_layer(self, net):
        episode = attached(net, KarnConfig(mode="research"))
        for _ in range(2):
            for _ in range(40):  # more than are brought to the host at once
                episode.log_batch(loss=step(net))
            episode.log_epoch()
        episode.conclude()
        traces = [trace for trace in logged(episode, DenseTrace) if trace.trigger_reason == "force_dense"]
        assert [(trace.window_start_epoch, trace.window_end_epoch) for trace in traces] == [(1, 1), (2, 2)]
        assert [b for trace in traces for b in trace.batch_metrics] == logged(episode, BatchMetrics)
        sizes = {"stem": 16, "middle": 20, "head": 10, **dict(zip(SEED_LAYERS, (30, 28), strict=True))}
        leaves = {*sizes, "relu", "seed_slots.early.seed.1", "seed_slots.late"}  # an empty slot has no children
        for trace in traces:
            assert set(trace.activation_means) == set(trace.activation_stds) == set(trace.dead_neuron_counts) == leaves
            zeros = trace.gradient_zeros
            assert {layer: sum(counts) for layer, counts in trace.gradient_histograms.items()} == {
                layer: 40 * size for layer, size in sizes.items()
            }
            assert set(zeros) == set(sizes)
        stretches = logged(episode, LayerStatistics)
        looked_at = 2 * len([1, *range(2, 40, 4)])  # one in four, and the first of each epoch
        assert sum(s.activations["stem"].count for s in stretches) == looked_at * EXAMPLES * 4
        outputs = net.stem(batch()[0])
        assert traces[0].activation_means["stem"] == pytest.approx(outputs.mean().item(), rel=1e-4)
        assert traces[0].activation_stds["stem"] == pytest.approx(outputs.std(correction=0).item(), rel=1e-4)

    def test_layers_of_a_seed_module_are_seen_from_its_first_batch(self, net):
        episode = attached(net, KarnConfig(mode="research"))
        episode.log_batch(loss=step(net))
        net.late.grow(seed=nn.Linear(4, 4))
        for _ in range(3):
            episode.log_batch(loss=step(net))
        episode.log_epoch()
        newest = logged(episode, LayerStatistics)[-1]
        assert counted(newest.histograms["seed_slots.late.seed"]) == 3 * 20
        assert newest.activations["seed_slots.late.seed"].count == EXAMPLES * 4  # the pass after it was noticed

    @pytest.mark.parametrize(("mode", "per_class"), [("research", True), ("standard", False)])
    def test_matrices_have_accuracies_by_class(self, net, mode, per_class):
        episode = attached(net, KarnConfig(mode=mode), val_loader=[batch()])
        episode.log_batch(loss=step(net))
        episode.log_epoch(val_accuracy=50.0)
        (matrix,) = logged(episode, CounterfactualMatrix)
        classes = {frozenset(result.per_class_accuracy or ()) for result in matrix.configs}
        assert classes == {frozenset({0, 1} if per_class else ())}

    def test_evaluating_coalitions_adds_nothing_to_what_training_did(self, net):
        """They run the same layers, in evaluation mode."""

        def measured(**options):
            episode = attached(Net(), KarnConfig(mode="research"), **options)
            model = episode._instrument._attached.model
            model.early.grow()
            for _ in range(2):
                episode.log_batch(loss=step(model))
                episode.log_epoch()
            return [{name: seen.count for name, seen in s.activations.items()} for s in logged(episode, LayerStatistics)]

        assert measured() == measured(val_loader=[batch()] * 3)

    def test_adaptive_is_standard_until_an_anomaly_and_for_a_while_after_it_research(self, net):
        episode = attached(net, KarnConfig(mode="adaptive", escalation_epochs=1, trace_batches=1))
        dense = []
        for epoch in range(1, 6):
            for index in range(3):
                episode.log_batch(loss=math.nan if (epoch, index) == (2, 0) else step(net).detach())
                dense.append(any(module._forward_hooks for module in net.modules()))
                episode.emit(TelemetryEvent("MEMORY_WARNING"))  # brings the batch to the host, where it is looked at
            episode.log_epoch(val_accuracy=50.0)
        at = {(epoch, index): dense[3 * (epoch - 1) + index] for epoch in range(1, 6) for index in range(3)}
        assert {place for place, on in at.items() if on} == {(2, 1), (2, 2), (3, 0), (3, 1), (3, 2)}
        reasons = [(trace.trigger_reason, trace.window_start_epoch) for trace in logged(episode, DenseTrace)]
        assert ("force_dense", 3) in reasons
        assert not [reason for reason in reasons if reason[1] in (1, 5)]


class TestDenseWindows:
    def test_hold_nothing_of_an_earlier_window(self, net):
        """The pass before a window closes is measured still; it is no part of the next one."""
        episode = attached(net, KarnConfig(trace_batches=2))
        for slot_id in ("early", "late"):
            episode.log_gate(slot_id=slot_id, gate="G0", passed=False)
            for _ in range(3):
                episode.log_batch(loss=step(net))
            episode.log_epoch()
            for _ in range(3):
                episode.log_batch(loss=step(net))
            episode.log_epoch()
        dense = [layers for layers in logged(episode, LayerStatistics) if layers.histograms]
        assert [layers.epoch for layers in dense] == [1, 3]
        for layers in dense:
            assert counted(layers.histograms["head"]) == 3 * 10
            assert layers.activations["head"].count == EXAMPLES * 2  # the second pass: the window opens after the first


class TestTheTrainingLoopNeverWaits:
    @pytest.mark.parametrize("mode", ["standard", "research"])
    @pytest.mark.parametrize("summaries", [False, True])
    def test_for_the_device(self, mode, summaries):
        """On the meta device there are no values: reading one raises. Passes, captures and logging all run on it."""
        net = Net()
        net.early.grow(SeedStage.TRAINING)
        net.late.grow(SeedStage.GERMINATED)
        net.to("meta")
        episode = attached(net, KarnConfig(mode=mode, seed_layer_summaries=summaries))
        for index in range(31):  # the 32nd brings all of them to the host
            if index == 10:
                net.late.grow(seed=nn.Linear(4, 4, device="meta"))
            episode.log_batch(loss=step(net, batch("meta")), accuracy=torch.ones((), device="meta"))
        assert logged(episode, BatchMetrics) == []
        assert any(module._forward_hooks for module in net.modules()) == (mode == "research")
        with pytest.raises((RuntimeError, NotImplementedError)):
            episode.log_epoch()


class TestSeedLayers:
    def trained(self, **settings):
        net = Net()
        net.early.grow(seed=nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))), seed_id="early-1")
        net.late.grow(SeedStage.TRAINING, 0.25, seed_id="late-1")
        episode = attached(net, KarnConfig(**settings))
        for _ in range(2):
            for _ in range(3):
                episode.log_batch(loss=step(net))
            episode.log_epoch()
        return net, episode

    @pytest.mark.parametrize("top_k", [1, 2])
    def test_are_exactly_so_many_metrics_of_each_seed_module_an_epoch(self, top_k):
        net, episode = self.trained(seed_layer_summaries=True, seed_layer_top_k=top_k)
        found = logged(episode, SeedLayerNorm)
        places = [(norm.epoch, norm.slot_id, norm.seed_id, norm.stage) for norm in found]
        assert places == [
            place
            for epoch in (1, 2)
            for place in (
                *[(epoch, "early", "early-1", SeedStage.BLENDING)] * top_k,
                *[(epoch, "late", "late-1", SeedStage.TRAINING)] * top_k,
            )
        ]
        norms = {str(index): norm_of(layer) for index, layer in enumerate(net.early.seed)}
        top = sorted(norms, key=norms.get, reverse=True)[:top_k]
        assert {norm.layer: norm.value for norm in found[:top_k]} == pytest.approx(
            {layer: norms[layer] for layer in top}, rel=1e-5
        )

    def test_are_one_event_when_compact(self):
        _, separate = self.trained(seed_layer_summaries=True)
        _, episode = self.trained(seed_layer_summaries=True, seed_layer_compact_events=True)
        assert logged(episode, SeedLayerNorm) == []
        first, second = logged(episode, SeedLayerNorms)
        assert (first.epoch, second.epoch) == (1, 2)
        for event in (first, second):
            norms = [norm for norm in logged(separate, SeedLayerNorm) if norm.epoch == event.epoch]
            layers = [(slot_id, layer, value) for slot_id, top in event.slots.items() for layer, value in top.layers.items()]
            assert layers == [(norm.slot_id, norm.layer, norm.value) for norm in norms]

    @pytest.mark.parametrize(
        "settings", [{}, {"seed_layer_summaries": True, "seed_health_compact": True}], ids=["off", "health-compact"]
    )
    def test_are_not_even_collected_when_they_are_off(self, settings):
        _, episode = self.trained(**settings)
        assert logged(episode, (SeedLayerNorm, SeedLayerNorms)) == []
        assert episode._instrument._seed_layers is None

    def test_are_those_of_the_seed_module_that_is_there_at_the_end(self, net):
        """What its predecessor in the slot did in the same epoch is not told in its name."""
        episode = attached(net, KarnConfig(seed_layer_summaries=True))
        for _ in range(3):
            episode.log_batch(loss=step(net))
        net.early.grow(seed=nn.Linear(4, 4), seed_id="two")
        for _ in range(3):
            episode.log_batch(loss=step(net))
        episode.log_epoch()
        (only,) = logged(episode, SeedLayerNorm)
        assert (only.seed_id, only.layer, only.value) == ("two", "", pytest.approx(norm_of(net.early.seed), rel=1e-5))
        episode.log_batch(loss=step(net))
        net.early.grow(seed_id="three")
        episode.log_epoch()
        assert logged(episode, SeedLayerNorm) == [only]


class TestOrder:
    def test_is_the_same_for_two_equal_runs_however_the_threads_run(self, tmp_path, monkeypatch, switching):
        """Analysis follows on a thread of its own; what it says comes at the same places, with the same numbers."""

        def told(name, config):
            net, episode = Net(), EpisodeLog(KarnCollector(config, RecordLog(tmp_path / name)))
            episode.attach(net, val_loader=[batch()])
            optimizer = torch.optim.SGD(net.parameters(), 0.1)
            for epoch in range(1, 5):
                if epoch == 2:
                    net.early.grow(SeedStage.GERMINATED)
                    episode.log_stage("early", "DORMANT", "GERMINATED")
                for index in range(34 if epoch == 3 else 4):  # 32 are brought to the host in the middle of an epoch
                    loss = step(net, optimizer=optimizer)
                    episode.log_batch(loss=math.inf if (epoch, index) == (3, 4) else loss.detach())
                episode.log_epoch(val_accuracy=50.0 - 10 * (epoch == 4))
            episode.conclude()
            episode.collector.close()
            return [(event.event_type, event.tick, timeless(event.data)) for event in read_log(tmp_path / name).events]

        for mode in ("standard", "adaptive"):
            config = KarnConfig(mode=mode, trace_batches=4)
            first = told(f"{mode}-1", config)
            with monkeypatch.context() as patch:
                patch.setattr(Desk, "observe", slowly(Desk.observe))
                second = told(f"{mode}-2", config)
            assert [kind for kind, _, _ in first] == [kind for kind, _, _ in second]
            assert first == second
            assert any(isinstance(data, DenseTrace) for _, _, data in first)


def slowly(observe):
    def observe_late(desk, record):
        time.sleep(0.002)
        return observe(desk, record)

    return observe_late


def timeless(record):
    return replace(record, seconds=None) if isinstance(record, CounterfactualMatrix) else record


@pytest.fixture
def switching():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_snapshots_of_a_model_in_training_are_complete_without_a_batch(net):
    """An epoch of evaluation only: parameters and slots are there, gradient norms are not."""
    assert attached(net).log_epoch(val_accuracy=50.0).host == HostSnapshot(
        1,
        val_accuracy=50.0,
        host_params=HOST_PARAMS,
        total_seed_params=SEED_PARAMS,
        total_params=HOST_PARAMS + SEED_PARAMS,
        fossilized_params=0,
    )


def test_a_model_is_found_inside_what_is_put_around_it(net):
    wrapped = nn.DataParallel(torch.compile(net, backend="eager"))
    assert unwrapped(wrapped) is unwrapped(net) is net
    assert attached(wrapped).log_epoch().slots.keys() == {"early", "late"}
