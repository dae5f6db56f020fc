"""The deployment pages: the table of cost is what the price list gives, faults have cures, what is named is there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import typer

from dslkit.cli.app import app
from dslkit.pricing import Prices
from dslkit.records import Usage
from dslkit.server.table import ROUTES
from dslkit.settings import Settings, env_name

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
MOVING = (ROOT / "docs" / "moving-from-dslmaker.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
COSTS = re.findall(r"^\| (gpt-\S+) \| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", GUIDE, re.MULTILINE)
TOKENS = {
    mode: (int(given.replace(",", "")), int(written))
    for mode, given, written in re.findall(r"`(\w+)` ([\d,]+)(?: in)? and\s+(\d+)", GUIDE)
}
# Settings that something else reads, each named in the pages with a reason.
FOREIGN = {"DSLKIT_SHARED"}


def test_the_table_has_every_mode() -> None:
    assert set(TOKENS) == {"simple", "rag", "multi_agent"}
    assert {(model, mode) for model, mode, *_ in COSTS} == {
        (model, mode) for model in ("gpt-4o-mini", "gpt-4o") for mode in TOKENS
    }


@pytest.mark.parametrize("row", COSTS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_cost_is_that_of_the_price_list(row: tuple[str, ...]) -> None:
    model, mode, *shown = row
    tokens = Usage(input_tokens=TOKENS[mode][0], output_tokens=TOKENS[mode][1])
    cost = Prices().price(tokens, provider="openai", model=model, date=datetime(2026, 9, 1, tzinfo=UTC)).cost_usd
    assert cost is not None
    cents = [(cost * count).quantize(Decimal("0.01"), ROUND_HALF_UP) for count in (100, 1_000, 10_000)]
    assert cents == [Decimal(text) for text in shown]


def test_there_are_faults_with_cause_and_cure() -> None:
    table = GUIDE[GUIDE.index("## When something is wrong") :]
    rows = re.findall(r"^\| (?!what|---)(.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert len(rows) >= 8
    assert all(cell.strip() for row in rows for cell in row)


@pytest.mark.parametrize("page", [GUIDE, MOVING, SECURITY], ids=["deployment", "moving", "security"])
def test_settings_and_verbs_that_are_named_are_there(page: str) -> None:
    known = {env_name(field) for field in Settings.model_fields} | FOREIGN
    named = {name.removesuffix("_FILE") for name in re.findall(r"DSLKIT_[A-Z_]+[A-Z]", page)}
    assert named - known == set()
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group
    assert set(re.findall(r"`dslkit ([a-z]+)", page)) - verbs == set()


def test_each_route_stands_in_the_page_for_those_who_move() -> None:
    for route in ROUTES:
        last = next(part for part in reversed(route.path.split("/")) if part and not part.startswith("{"))
        assert last in MOVING, route.path


@pytest.mark.parametrize("file", sorted(set(re.findall(r"deploy/[\w./-]+[\w]", GUIDE + SECURITY))))
def test_files_that_are_named_are_there(file: str) -> None:
    made_by_the_reader = {"deploy/.env.production", "deploy/secrets", "deploy/secrets/openai_api_key"}
    made_by_the_reader |= {"deploy/secrets/jupyter_token", "deploy/systemd"}
    assert file in made_by_the_reader or (ROOT / file).is_file()
