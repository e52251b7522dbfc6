"""Pages say what the code says: generated ones are as generated, names and links lead somewhere."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

import docs
from docs.make_keys import PAGE
from karn_wandb.experiment.claims import Claim, read_claims
from karn_wandb.schema.describe import keys_page

REPOSITORY = Path(docs.__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


def every_page(test):
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))(test)


def found(name: str) -> object:
    """What a dotted name means: attributes, and modules that nobody imported yet."""

    def step(owner: object, part: str) -> object:
        if not hasattr(owner, part):
            import_module(f"{getattr(owner, '__name__', '')}.{part}")
        return getattr(owner, part)

    return reduce(step, name.split(".")[1:], import_module("karn_wandb"))


def test_the_page_of_keys_is_generated_from_the_table():
    assert PAGE.read_text() == keys_page()


@every_page
def test_names_of_the_package_exist(page):
    for name in set(re.findall(r"\bkarn_wandb(?:\.[A-Za-z_]+)+", page.read_text())):
        assert found(name) is not None, name


@every_page
def test_links_to_files_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_claims_file_on_the_page_is_one_and_what_it_shows_are_the_defaults(tmp_path):
    page = (REPOSITORY / "docs" / "claims.md").read_text()
    path = tmp_path / "claims.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    found = read_claims(path)
    (claim,) = found.claims
    assert claim == Claim(claim.name, claim.treatment, claim.control, line=claim.line)
    assert (found.correction, found.planned_runs) == ("holm", 6)
