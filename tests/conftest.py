"""How property-based tests run: the same examples every time, whatever the machine's speed."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("service.checks")

settings.register_profile("karn", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", parent=settings.get_profile("karn"), derandomize=False, max_examples=500)
settings.load_profile("karn")


def pytest_collection_finish():
    """What is loaded by now stays to the end: the collector need not go through all of it again, half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def offline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for real offline runs of a session, with W&B told to keep to it and to be quiet.

    W&B reads the environment once a process, at the first run that is started: so it is said before any test.
    """
    folder = tmp_path_factory.mktemp("wandb-offline")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(folder),
            "WANDB_DATA_DIR": str(folder / "data"),
            "WANDB_CACHE_DIR": str(folder / "cache"),
            "WANDB_CONFIG_DIR": str(folder / "config"),
            "KARN_WANDB_CACHE_DIR": str(folder / "read"),
            "KARN_WANDB_DATA_DIR": str(folder / "karn"),
            "WANDB_SILENT": "true",
            "WANDB_CONSOLE": "off",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_X_DISABLE_STATS": "true",
            "WANDB_X_DISABLE_META": "true",
        }.items():
            patch.setenv(name, value)
        yield folder


@pytest.fixture(scope="session")
def newest_wandb():
    """Skips what needs the stand-in for the W&B service on an SDK older than those it was written for."""
    import wandb

    if tuple(map(int, wandb.__version__.split(".")[:2])) < (0, 31):
        pytest.skip("the stand-in speaks what wandb 0.31 and newer speak")


@pytest.fixture
def wandb_service(newest_wandb, tmp_path):
    """The stand-in for the W&B service, empty, with this process's W&B pointed at it and its files in `tmp_path`."""
    from service import Service, online

    with Service() as service, online(service, tmp_path):
        yield service
