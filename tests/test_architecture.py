"""The package keeps to its layers and its promises: read off every module's syntax tree, and off fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "karn_wandb"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
every_module = pytest.mark.parametrize("module", MODULES)

# Rooms by level: a module imports its own room and rooms of lower levels, never one beside or above it.
LEVELS = {
    "errors": -2,
    "_version": -2,
    "printable": -2,
    "yaml_file": -1,
    "records": 0,
    "schema": 1,
    "capture": 1,
    "attribution": 1,
    "statistics": 1,
    "charts": 1,
    "analysis": 2,
    "pipeline": 3,
    "sinks": 4,
    "experiment": 4,
    "run": 5,
    "cli": 7,
    "workspace": 5,
    "sweeps": 6,
    "integrations": 6,
    "testing": 6,
    "__init__": 7,
    "__main__": 8,
}

# The modules that together are `karn_wandb.run`: what init returns, and the process's collector.
RUN = {
    *("run", "start", "episode", "instrument", "outbox", "keywords", "provenance", "active", "settings"),
    *("resume", "restore", "preemption", "processes", "swept"),
}

# Other people's packages each room may import.
THIRD_PARTY = {
    "yaml_file": {"yaml"},
    "records": {"msgspec"},
    "schema": {"msgspec"},  # a row's text column is the records' codec
    "capture": {"torch", "numpy"},
    "attribution": {"numpy", "scipy"},
    "statistics": {"numpy", "scipy"},
    "analysis": {"numpy"},
    "charts": {"vl_convert"},
    "sinks": {"wandb", "rich", "pyarrow", "msgspec", "numpy", "platformdirs"},
    # google: protobuf, comes with wandb
    "experiment": {"pandas", "numpy", "wandb", "google", "yaml", "pyarrow", "platformdirs", "msgspec"},
    "run": {"torch", "wandb", "yaml"},  # yaml: what a sweep sets is in a file of W&B's
    "cli": {"click", "rich", "wandb", "yaml"},
    "workspace": {"wandb", "wandb_workspaces"},
    "sweeps": {"wandb", "yaml", "optuna", "numpy", "scipy"},
    "integrations": {"torch"},  # and neither Lightning nor transformers
    "testing": {"wandb", "pytest"},
}
TORCH_TOO = {  # evaluate a model's coalitions; the rest of their room knows only games
    "attribution/model/branching.py",
    "attribution/model/evaluator.py",
    "attribution/model/footprint.py",
    "attribution/model/interception.py",
    "attribution/model/outcomes.py",
    "attribution/model/passes.py",
    "attribution/model/switches.py",
    "attribution/model/untouched.py",
}

MAY_CATCH_ANYTHING = {
    "pipeline/delivery.py": "other people's sinks may fail in any way, and training goes on",
    "attribution/asking.py": "a user's value function may raise anything; it is named and raised again",
    "attribution/model/passes.py": "a model may raise anything on rows it was not made for; then it gets them as it wants them",
}
MAY_USE_NUMPYS_GLOBAL_GENERATOR = {
    "capture/context.py": "its state is what is captured",
    "attribution/model/untouched.py": "a loader may draw from it: seeded for the evaluation, and put back",
}
MAY_READ_THE_ENVIRONMENT = {
    "start.py": "init hands it on, so that an operator's switches are read in one place",
    "sweeps/guard.py": "a program of its own, whose environment is its run's",
    "cli/sweep.py": "the processes of a sweep inherit it",
    "experiment/cache.py": "an operator says where what was read is kept",
    "sinks/presets.py": "an operator says where it is noted which presets W&B has",
}
MAY_LOOK_AT_WANDBS_RUN = {
    "sinks/wandb.py": "where the run is the global one, wandb.log must keep to the same gate as run.log",
    "sinks/luggage.py": "where the run is the global one, wandb.log_artifact must be kept as run.log_artifact is",
}
WITHOUT_GLOBAL_STATE = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64"}
WANDB_GLOBALS = {"run", "log", "config", "summary", "alert", "finish", "save", "define_metric", "log_artifact", "use_artifact"}
LONGEST_MODULE = 400


@cache
def tree(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))))


def nodes(module: str, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in tree(module) if isinstance(node, kinds))


def room_of(module: str) -> str:
    """The room of a module's path, or of the part of a dotted name after `karn_wandb.`."""
    first = module.replace("/", ".").removesuffix(".py").split(".")[0]
    return "run" if first in RUN else first


def imported(module: str) -> Iterator[str]:
    """Every dotted name a module imports anywhere, lazily and for types too."""
    package = ["karn_wandb", *module.split("/")[:-1]]
    for node in nodes(module, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.level:
            yield ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
        elif node.module == "karn_wandb":
            yield from (f"karn_wandb.{alias.name}" for alias in node.names)
        else:
            yield node.module


@cache
def lookups(module: str) -> tuple[tuple[str, str], ...]:
    """What is looked up on what, such as `np.random` and X in `np.random.X`, or imported from it."""
    looked_up = [(ast.unparse(node.value), node.attr) for node in nodes(module, ast.Attribute)]
    return (*looked_up, *((node.module, alias.name) for node in nodes(module, ast.ImportFrom) for alias in node.names))


def attributes(module: str, *owners: str) -> Iterator[str]:
    """Names looked up on one of the owners, or imported from it."""
    return (name for owner, name in lookups(module) if owner in owners)


@every_module
def test_every_module_belongs_to_a_room(module):
    assert room_of(module) in LEVELS


@every_module
def test_imports_go_up_the_layers_only(module):
    own = room_of(module)
    for name in imported(module):
        if name == "karn_wandb" or name.startswith("karn_wandb."):
            room = room_of(name.removeprefix("karn_wandb").removeprefix(".") or "__init__")
            assert room == own or LEVELS[room] < LEVELS[own], f"{module} imports {name}"


@every_module
def test_a_room_imports_only_the_packages_it_may(module):
    """So statistics knows no pandas, schema no wandb, and records nothing but msgspec."""
    allowed = THIRD_PARTY.get(room_of(module), set()) | ({"torch"} if module in TORCH_TOO else set())
    names = {name.split(".")[0] for name in imported(module)}
    assert names - sys.stdlib_module_names - {"karn_wandb"} <= allowed


def test_every_package_that_is_imported_is_declared():
    """What a room imports, installing karn-wandb or one of its extras brings."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [requirement for group in project["optional-dependencies"].values() for requirement in group]
    declared = {requirement.split(">")[0].split("=")[0].lower() for requirement in [*project["dependencies"], *extras]}
    provided_by = {"yaml": "pyyaml", "vl_convert": "vl-convert-python", "google": "wandb", "wandb_workspaces": "wandb-workspaces"}
    names = {name.split(".")[0] for module in MODULES for name in imported(module)} - sys.stdlib_module_names - {"karn_wandb"}
    assert {provided_by.get(name, name) for name in names} <= declared


@every_module
def test_no_module_is_too_long_to_read(module):
    assert len((PACKAGE / module).read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@every_module
def test_no_hidden_globals(module):
    """Generators and settings are passed: no global random numbers, no environment, no process-wide W&B run."""
    if module not in MAY_USE_NUMPYS_GLOBAL_GENERATOR:
        assert set(attributes(module, "np.random", "numpy.random")) <= WITHOUT_GLOBAL_STATE
    if module not in MAY_READ_THE_ENVIRONMENT:
        assert not {"environ", "environb", "getenv", "putenv"} & set(attributes(module, "os"))
    if module not in MAY_LOOK_AT_WANDBS_RUN:
        assert not WANDB_GLOBALS & set(attributes(module, "wandb"))


@every_module
def test_no_assert_which_python_may_be_told_to_skip(module):
    assert not list(nodes(module, ast.Assert))


@every_module
def test_only_what_can_be_named_is_caught(module):
    if module in MAY_CATCH_ANYTHING:
        return
    for handler in nodes(module, ast.ExceptHandler):
        caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"everything"}
        assert not caught & {"everything", "Exception", "BaseException"}, f"line {handler.lineno}"


EXCEPTIONS = [
    *MAY_CATCH_ANYTHING,
    *MAY_USE_NUMPYS_GLOBAL_GENERATOR,
    *MAY_READ_THE_ENVIRONMENT,
    *MAY_LOOK_AT_WANDBS_RUN,
    *TORCH_TOO,
]


@pytest.mark.parametrize("module", EXCEPTIONS)
def test_an_exception_to_a_rule_is_still_needed(module):
    """A module that no longer breaks the rule has no place in its list of exceptions."""
    source = (PACKAGE / module).read_text(encoding="utf-8")
    assert module not in MAY_CATCH_ANYTHING or "except Exception" in source
    assert module not in MAY_USE_NUMPYS_GLOBAL_GENERATOR or set(attributes(module, "np.random")) - WITHOUT_GLOBAL_STATE
    assert module not in MAY_READ_THE_ENVIRONMENT or "environ" in set(attributes(module, "os"))
    assert module not in MAY_LOOK_AT_WANDBS_RUN or "run" in set(attributes(module, "wandb"))
    assert module not in TORCH_TOO or "torch" in set(imported(module))


HEAVY = ("torch", "wandb", "pandas", "numpy", "scipy", "pyarrow", "statsmodels")


def loaded_by(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after running the code."""
    report = f"import sys; print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


def test_the_probe_sees_what_is_loaded():
    assert loaded_by("import numpy") == {"numpy"}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import karn_wandb; karn_wandb.EpochSnapshot; dir(karn_wandb)") == set()


@pytest.mark.parametrize("room", ["records", "schema", "analysis", "pipeline", "charts"])
def test_light_rooms_load_neither_torch_nor_wandb_nor_pandas(room):
    assert not loaded_by(f"import karn_wandb.{room}") & {"torch", "wandb", "pandas"}


HELP = """
import contextlib, runpy, sys
sys.argv = ["karn-wandb", "--help"]
with contextlib.suppress(SystemExit):
    runpy.run_module("karn_wandb", run_name="__main__")
"""


def test_asking_for_help_loads_neither_torch_nor_wandb_nor_pandas():
    assert not loaded_by(HELP) & {"torch", "wandb", "pandas"}


def test_python_m_karn_wandb_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "karn_wandb", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: karn-wandb ")
