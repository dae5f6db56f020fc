"""What counts as done: the same work, the file as it was written, nothing that a further round may help."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import yaml

from dslkit.batch.artefact import sha256_of, write_whole
from dslkit.batch.recipe import Order, Recipe, work_of
from dslkit.batch.resume import Earlier, key_of, patterns_of
from dslkit.records import Item, Requirement

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.batch.resume import Redo

REQUIREMENT = Requirement(id="a", messages=("Digest a page",), outputs=(("digest",),), tags={"team": "news"})
RECIPE = Recipe(model="m", mode="simple", max_rounds=2)
KEY = key_of(REQUIREMENT, RECIPE, "")
THEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("requirement", "recipe", "patterns", "same_work", "same_key"),
    [
        (replace(REQUIREMENT, id="b", tags={}), replace(RECIPE, max_rounds=5), "", True, True),
        (replace(REQUIREMENT, outputs=(("summary",),)), RECIPE, "", True, False),
        (replace(REQUIREMENT, related_nodes=("llm",)), RECIPE, "", True, False),
        (replace(REQUIREMENT, messages=("Digest a page", "Add a title")), RECIPE, "", False, False),
        (replace(REQUIREMENT, messages=("Digest a page ",)), RECIPE, "", False, False),
        (REQUIREMENT, replace(RECIPE, model="n"), "", False, False),
        (REQUIREMENT, replace(RECIPE, mode="rag"), "", False, False),
        (REQUIREMENT, replace(RECIPE, app_mode="advanced-chat"), "", False, False),
        (REQUIREMENT, replace(RECIPE, complexity="simple"), "", False, False),
        (REQUIREMENT, RECIPE, "other patterns", False, False),
    ],
)
def test_key(requirement: Requirement, recipe: Recipe, patterns: str, *, same_work: bool, same_key: bool) -> None:
    """Who asks, and how a result is judged, is no part of the work; what is asked, and of whom, is."""
    key = key_of(requirement, recipe, patterns)
    assert (work_of(key) == work_of(KEY)) is same_work
    assert (key == KEY) is same_key


def test_patterns_matter_where_they_are_shown(tmp_path: Path) -> None:
    """A user's own pattern changes the work of the modes that show patterns, and of no other."""
    rag = replace(RECIPE, mode="rag")
    before = patterns_of(rag, tmp_path)
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "mine.yml").write_text("id: mine")
    assert patterns_of(rag, tmp_path) != before
    assert patterns_of(RECIPE, tmp_path) == ""


def item(**changes: object) -> Item:
    plain = Item(
        run_id="run 1",
        item_id="a",
        key=KEY,
        model="m",
        mode="simple",
        verdict="working",
        engine="ran",
        started_at=THEN,
        ended_at=THEN,
    )
    return replace(plain, **changes)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(run_id="run 2", key=KEY, recipe=RECIPE, item_id="a", path=tmp_path / "a.yml")


@pytest.mark.parametrize(
    ("changes", "redo", "found"),
    [
        ({}, "none", True),
        ({"artefact": None, "artefact_sha256": None}, "none", False),  # generated to standard output: no file
        ({"verdict": "clean", "engine": "not run"}, "none", True),
        ({"verdict": "errors", "rounds": 2}, "none", True),
        ({"verdict": "errors", "rounds": 1}, "none", False),
        ({"verdict": "errors", "rounds": 2}, "errors", False),
        ({}, "errors", True),
        ({"artefact_sha256": "0" * 64}, "none", False),
        ({"verdict": "errors", "rounds": 2, "artefact": None, "artefact_sha256": None}, "none", True),
    ],
)
def test_done(order: Order, changes: dict[str, object], redo: Redo, *, found: bool) -> None:
    assert order.path is not None
    digest = write_whole(order.path, "app: {}\n")
    done = item(**{"artefact": "elsewhere/a.yml", "artefact_sha256": digest, **changes})
    again = Earlier({work_of(KEY): [done]}, redo).item_for(REQUIREMENT, order, None)
    assert (again is not None) is found
    if again is not None:
        assert (again.run_id, again.reused_from, again.tags) == ("run 2", "run 1", REQUIREMENT.tags)
        assert again.artefact == (str(order.path) if done.artefact else None)
        assert again.started_at == again.ended_at > THEN


def test_a_missing_file_is_made_again(order: Order) -> None:
    done = item(artefact="a.yml", artefact_sha256="0" * 64)
    assert Earlier({work_of(KEY): [done]}).item_for(REQUIREMENT, order, None) is None


def test_reuse_names_the_run_that_did_the_work(order: Order) -> None:
    """However often it was reused since."""
    done = item(run_id="run 1b", reused_from="run 1", verdict="errors", rounds=2)
    again = Earlier({work_of(KEY): [done]}).item_for(REQUIREMENT, order, None)
    assert again is not None
    assert again.reused_from == "run 1"


def test_other_work_is_not_found(order: Order) -> None:
    assert Earlier({"other": [item()]}).item_for(REQUIREMENT, order, None) is None


def test_the_file_of_an_equal_requirement_is_taken_over(order: Order, tmp_path: Path) -> None:
    """Under the new name, as long as it is what it was; the latest first."""
    there = tmp_path / "b.yml"
    gone = item(item_id="c", artefact="c.yml", artefact_sha256="0" * 64)
    twin = item(item_id="b", artefact=str(there), artefact_sha256=write_whole(there, "app: {name: b}\nkind: app\n"))
    earlier = Earlier({work_of(KEY): [gone, twin]})
    again = earlier.item_for(REQUIREMENT, order, None)
    assert again is not None
    assert order.path is not None
    assert (again.item_id, again.artefact, again.artefact_sha256) == ("a", str(order.path), sha256_of(order.path))
    assert yaml.safe_load(order.path.read_text()) == {"app": {"name": "a"}, "kind": "app"}
    order.path.unlink()
    there.write_text("app: {name: changed}\n")
    assert earlier.item_for(REQUIREMENT, order, None) is None
