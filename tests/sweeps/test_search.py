"""Proposals: the whole grid in its order, draws that depend on seed and place alone, and a search that learns."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from sweep_files import sweep_file

from karn_wandb.errors import SweepError
from karn_wandb.sweeps import read_sweep
from karn_wandb.sweeps.search import Tried, propose, size

REPOSITORY = Path(__file__).parents[2]
SWEEPS = [path for path in sorted(REPOSITORY.glob("sweeps/*.yaml")) if not path.name.endswith(".claims.yaml")]
NESTED = {
    "lr": {"values": [0.1, 0.01]},
    "optimizer": {"parameters": {"name": {"values": ["adam", "sgd"]}, "beta": {"value": 0.9}}},
    "width": {"min": 1, "max": 3},
}


def test_a_grid_is_every_point_once_the_last_parameter_changing_first(tmp_path):
    file = sweep_file(tmp_path, parameters=NESTED)
    assert size(file) == 12
    points = [propose(file, 0, index).parameters for index in range(12)]
    assert points == [
        {"lr": lr, "optimizer": {"name": name, "beta": 0.9}, "width": width}
        for lr, name, width in product([0.1, 0.01], ["adam", "sgd"], [1, 2, 3])
    ]


def test_run_cap_bounds_every_search(tmp_path):
    assert size(sweep_file(tmp_path, parameters=NESTED, run_cap=5)) == 5
    assert size(sweep_file(tmp_path, parameters=NESTED, run_cap=50)) == 12
    assert size(sweep_file(tmp_path, parameters=NESTED, run_cap=50, method="random")) == 50


def test_a_search_without_end_is_refused(tmp_path):
    with pytest.raises(SweepError, match=r"a random search without run_cap never ends\. Add run_cap: 20, say\."):
        size(sweep_file(tmp_path, parameters=NESTED, method="random"))


def test_random_draws_depend_on_the_seed_and_the_place_alone(tmp_path):
    file = sweep_file(tmp_path, method="random", run_cap=9, parameters={"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0, "max": 9}})
    first = [propose(file, 7, index).parameters for index in range(9)]
    assert [propose(file, 7, index).parameters for index in reversed(range(9))] == first[::-1]
    assert len({point["x"] for point in first}) == 9
    assert propose(file, 8, 0).parameters != first[0]


class TestBayes:
    @pytest.fixture
    def file(self, tmp_path):
        parameters = {
            "x": {"min": -5.0, "max": 5.0},
            "kind": {"values": ["good", "bad"]},
            "same": {"value": 3},
        }
        return sweep_file(tmp_path, method="bayes", run_cap=40, metric={"name": "loss"}, parameters=parameters)

    def searched(self, file, runs=40, seed=0):
        tried, points = [], []
        for index in range(runs):
            proposal = propose(file, seed, index, tried)
            points.append(proposal.parameters)
            loss = (proposal.parameters["x"] - 2) ** 2 + 10 * (proposal.parameters["kind"] == "bad")
            tried.append(Tried(proposal.point, over=True, value=loss))
        return points, tried

    def test_it_learns_where_the_metric_is_best(self, file):
        points, _ = self.searched(file)
        late = points[-10:]
        assert sum(point["kind"] == "good" for point in late) >= 8
        assert sum(abs(point["x"] - 2) < 1.5 for point in late) >= 7  # 3 of 10 by chance
        assert {point["same"] for point in points} == {3}

    def test_a_goal_to_maximise_turns_it_round(self, tmp_path):
        (tmp_path / "m").mkdir()
        metric = {"name": "accuracy", "goal": "maximize"}
        file = sweep_file(tmp_path / "m", method="bayes", run_cap=40, metric=metric, parameters={"x": {"min": 0.0, "max": 1.0}})
        tried = []
        for index in range(30):
            proposal = propose(file, 0, index, tried)
            tried.append(Tried(proposal.point, over=True, value=proposal.parameters["x"]))
        assert min(each.value for each in tried[-8:]) > 0.5

    def test_the_same_runs_before_give_the_same_run_next_to_the_bit(self, file):
        points, tried = self.searched(file, 15)
        assert propose(file, 0, 14, tried[:14]).parameters == points[14]
        assert propose(file, 1, 14, tried[:14]).parameters != points[14]

    def test_runs_that_failed_or_still_go_are_no_obstacle(self, file):
        _, tried = self.searched(file, 12)
        odd = [Tried(tried[0].point), Tried(tried[1].point, over=True), Tried(tried[2].point, over=True, value=float("nan"))]
        assert -5 <= propose(file, 0, 15, [*tried, *odd]).parameters["x"] <= 5


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_sweeps_of_the_repository_expand_to_distinct_runs(path):
    file = read_sweep(path)
    points = [str(propose(file, 0, index).parameters) for index in range(size(file))]
    assert len(set(points)) == len(points) > 1
    assert [parameter.name for parameter in file.parameters] == list(file.config["parameters"])
