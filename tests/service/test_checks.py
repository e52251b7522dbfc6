"""Everything a run needs of W&B works with the stand-in: the checks that `tests.smoke_real_wandb` makes on W&B too."""

from __future__ import annotations

import pytest

from service import Service, online
from service.checks import CHECKS, Bench

pytestmark = [
    pytest.mark.online,
    pytest.mark.usefixtures("newest_wandb"),
    pytest.mark.filterwarnings("ignore:unclosed file .*sweep-:ResourceWarning"),  # W&B's own, of a sweep's config
]


@pytest.fixture(scope="module")
def service(newest_wandb, tmp_path_factory):
    with Service() as service, online(service, tmp_path_factory.mktemp("checks")):
        yield service


@pytest.fixture(scope="module")
def bench(service, tmp_path_factory):
    return Bench(service.entity, "checks", tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.title, marks=pytest.mark.slow if check.slow else ()) for check in CHECKS]
)
def test_holds(check, bench):
    if check.needs:
        pytest.importorskip(check.needs)
    check.holds(bench)


def test_alerts_reach_the_service(service, bench):
    """The public API has none of them, so the smoke test cannot see this."""
    assert [(alert["title"], alert["text"], alert["severity"]) for alert in service.run(bench.full).alerts] == [
        ("Look", "at this", "WARN")
    ]


def test_nothing_was_asked_for_that_the_stand_in_does_not_know(service, bench):
    assert bench.full
    assert service.notes == []
