"""Every number that a report shows, in tables and out of them, equals one computed again from the journal files."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

import journals
import pytest
import recomputed
from rendering import render

from benchmarks import month
from dslkit.records import Usage
from dslkit.report import formats
from dslkit.report.page import LISTED_ITEMS

if TYPE_CHECKING:
    from pathlib import Path

    from journals import Row

    from dslkit.records import CallEnd, Item

REUSED = 9  # items
SCHEDULED = {"schedule": "nightly"}


class Shown(NamedTuple):
    """A table of the page: rows of cells (``text|detail``), its foot as the last, and the note below."""

    rows: list[list[str]]
    note: str


class Page:
    """A report taken apart: tables by caption, and the text between them."""

    def __init__(self, html: str) -> None:
        main = html.partition("<main")[2]
        self.tables: dict[str, Shown] = {}
        every = r'(<table>.*?</table>)\s*</div>\s*(?:<p class="note">(.*?)</p>)?'
        for whole, note in re.findall(every, main, re.DOTALL):
            caption = text(re.findall(r"<caption>(.*?)</caption>", whole, re.DOTALL)[0])
            body = whole.partition("<tbody>")[2]
            rows = [[cell(each) for each in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
                    for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]  # fmt: skip
            assert caption not in self.tables
            self.tables[caption] = Shown(rows, text(note))
        rest = re.sub(r"<table>.*?</table>|<svg.*?</svg>|<style>.*?</style>", " ", main, flags=re.DOTALL)
        self.labels = [squeezed(unescape(label)) for label in re.findall(r'role="img" aria-label="([^"]*)"', rest)]
        self.figures = [
            [text(part) for part in re.findall(r"<d[dt][^>]*>(.*?)</d[dt]>", group, re.DOTALL)]
            for group in re.findall(r"<div>(<dt>.*?)</div>", rest, re.DOTALL)
        ]
        self.prose = text(rest.partition("How to read this")[0])


def squeezed(text: str) -> str:
    return " ".join(text.replace("\u202f", " ").split())


def text(html: str) -> str:
    return squeezed(unescape(re.sub(r"<[^>]+>", " ", html)))


def cell(html: str) -> str:
    told, _, detail = html.partition("<small>")
    return "|".join(filter(None, (text(told), text(detail))))


def lines(rows: list[list[str]]) -> list[list[str]]:
    return [[squeezed(cell) for cell in row] for row in rows]


@pytest.fixture(scope="module", params=[11, 12])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random month in which one run failed, one was interrupted, and a third of the errors were never sent."""
    folder = tmp_path_factory.mktemp("ledger")
    made = month.make(600, seed=request.param, runs=15)
    runs = [
        *made.runs[:-2],
        replace(made.runs[-2], status="failed", error_type="ValueError", error_message="no such file"),
        replace(made.runs[-1], status="interrupted", tags=SCHEDULED),
    ]
    ends = [never_sent(end) if end.outcome == "error" and k % 3 == 0 else end for k, end in enumerate(made.ends)]
    month.record(replace(made, runs=runs, ends=ends), str(folder))
    reused = [one for one in made.items if one.verdict == "working"][:REUSED]
    for later in (1, 2):
        month.record(
            replace(made, starts=[], ends=[], runs=[], items=[rerun(one, later) for one in reused]), str(folder)
        )
    return folder


def never_sent(end: CallEnd) -> CallEnd:
    """The server could not be reached: no tokens, no price to be known."""
    nothing = Usage(input_tokens=0, output_tokens=0)
    return replace(end, http_status=None, error_type="APIConnectionError", error_message=None, usage=nothing)


def rerun(item: Item, days: int) -> Item:
    """The same work asked for again: nothing had to be done."""
    again = item.ended_at + timedelta(days=days)
    key, run = f"{item.key}-otherwise", f"again-{days}"
    return replace(item, run_id=run, key=key, reused_from=item.run_id, started_at=again, ended_at=again)


@pytest.fixture(scope="module")
def page(home, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(render(home, tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture(scope="module")
def calls(home) -> list[Row]:
    return journals.calls(home)


@pytest.fixture(scope="module")
def items(home) -> list[Row]:
    """Those that were made: what was reused of them is no further workflow."""
    return [row for row in journals.items(home) if not row.get("reused_from")]


def of_model(row: Row) -> list[str]:
    return [row["request_model"]]


def of_stage(row: Row) -> list[str]:
    return [row["stage"]]


def of_run(row: Row) -> list[str]:
    return [row["run_id"]]


def of_tag(row: Row) -> list[str]:
    return [f"{name} = {value}" for name, value in row["tags"].items()]


BREAKDOWNS = {"By model": of_model, "By stage": of_stage, "By run": of_run, "By tag": of_tag}
TOPS = {"Dearest calls": "cost", "Slowest calls": "latency", "Most retried calls": "attempts"}


def test_key_figures(page, calls, items) -> None:
    """Each with its notes, in their order; what follows them is what the figures leave out."""
    found = journals.sums(calls)
    kinds = {kind: sum(row["verdict"] == kind for row in items) for kind in recomputed.VERDICTS}
    cost, unpriced, works = found["cost_usd"], found["unpriced"], kinds["working"]
    retries, lost = found["attempts"] - found["calls"], found["calls"] - found["answered"]
    unknown = [f"+ {formats.plural(n, f'attempt of unknown {what}', f'attempts of unknown {what}')}"
               for n, what in ((unpriced, "price"), (found["unknown"], "outcome")) if n]  # fmt: skip
    waits = [row["throttle_wait_s"] for row in calls]
    waited = sum(row["throttle_wait_s"] >= 0.001 and not row.get("cache_hit") for row in calls)
    held, busy = sum(waits), journals.total(calls, "latency_s")
    failed = found["errors"] + found["cancelled"]
    latency = journals.timed(calls, "latency_s")
    tokens = found["input_tokens"], found["output_tokens"]
    rows = [
        ["Spend", f"≥ {formats.usd(cost)}", *unknown],
        ["Working workflows", f"{works} of {len(items)}",
         f"{kinds['clean']} clean, not run · {kinds['errors']} with errors · {kinds['failed']} failed",
         f"reused {2 * REUSED} times, counted once"],
        ["Cost per working workflow", f"≥ {formats.usd(cost / works)}",
         f"{formats.usd(cost)} {unknown[0]} for {works} workflows made here"],
        ["Calls", formats.count(found["calls"]), formats.plural(retries, "retry", "retries"),
         formats.plural(found["cached_answers"], "answer from cache", "answers from cache")],
        ["Tokens", formats.compact(sum(tokens)), "{} in · {} out".format(*map(formats.compact, tokens))],
        ["Latency, median", formats.seconds(journals.percentile(latency, 0.5)),
         f"95 % within {formats.seconds(journals.percentile(latency, 0.95))}"],
        ["Held back by the throttle", formats.seconds(held), f"{waited} of {found['attempts']} attempts waited",
         f"{formats.share(held, held + busy)} of waiting and latency together"],
        ["Failed attempts", formats.share(failed, found["attempts"]), f"{failed} of {found['attempts']}",
         f"{formats.plural(lost, 'call')} never answered" if lost else "every call answered in the end"],
    ]  # fmt: skip
    questions = {"On what", "Runs", "Is it getting worse", "What would be cheaper"}
    assert [figure for figure in page.figures if figure[0] not in questions] == lines(rows)
    said = "of unknown price: tokens were used, but no price is known for house-model."
    assert f"{unpriced} attempts {said}" in page.prose
    for number, said in ((found["unanswered"], "ended without an answer"), (found["estimated"], "cut short"),
                         (found["unknown"], "of unknown outcome: the process ended")):  # fmt: skip
        assert not number or f"{formats.plural(number, 'attempt')} {said}" in page.prose


def test_answers_at_the_top(page, calls, items) -> None:
    found = journals.sums(calls)
    works = sum(row["verdict"] == "working" for row in items)
    each = formats.usd(found["cost_usd"] / works)
    cost = f"{found['calls']} calls cost {formats.usd(found['cost_usd'])} or more"
    spent = f"{cost}: of {found['unpriced']} attempts the price is unknown"
    assert f"{spent}. {works} of {len(items)} workflows work, at {each} or more each." in page.prose
    answers = dict(figure for figure in page.figures if len(figure) == 2)
    shares = []
    for key in (of_model, of_stage):
        costs = {name: recomputed.known_cost(rows) for name, rows in journals.grouped(calls, key).items()}
        dearest = sorted(costs, key=lambda name, costs=costs: -costs[name])[:3]
        shares.append(", ".join(f"{name} {formats.share(costs[name], found['cost_usd'])}" for name in dearest))
    assert answers["On what"] == squeezed("{}. By stage: {}.".format(*shares))
    clear = [row for row in page.tables[trend_caption(calls)].rows if row[5] in {"higher", "lower"}]
    for row in clear:
        assert row[0].partition("|")[0].lower() in answers["Is it getting worse"].lower()
    assert clear or answers["Is it getting worse"].startswith("No evidence of a change")
    advice = re.match(r"(.+): (\$[\d.]+\d) less", answers["What would be cheaper"])
    assert advice is None or f"{advice[1]}: {advice[2]}" in page.prose
    assert advice or answers["What would be cheaper"] == "Nothing that these figures support."


def test_no_table_is_left_out(page, calls) -> None:
    """What this file recomputes is all that there is."""
    histograms = {title for title, _ in recomputed.TIMINGS.values()}
    others = {
        "Spend for each day", "Tokens by kind", "Items: those to look at first, then the dearest",
        "Runs that failed, were interrupted or missed", trend_caption(calls), "The same calls otherwise, USD",
        "What the latest runs took, and what was expected", "Percentiles in seconds", "Latency in seconds, by model",
        "Requests in the busiest minute of each day", "Tokens in the busiest minute of each day",
        "Busiest minutes, by model", "Attempts without an answer, by kind",
    }  # fmt: skip
    assert set(page.tables) == {*BREAKDOWNS, *TOPS, *histograms, *others}


@pytest.mark.parametrize("caption", BREAKDOWNS)
def test_where_it_went(page, calls, caption) -> None:
    rows, rest = recomputed.breakdown(calls, BREAKDOWNS[caption])
    assert page.tables[caption].rows == lines(rows)
    number, _, left = rest.partition(": ")
    noun = caption.removeprefix("By ") + ("" if number == "1" else "s")
    assert page.tables[caption].note == (f"And {number} other {noun}: {left}" if rest else "")


def test_spend_over_time(page, calls) -> None:
    rows = recomputed.spend_by_day(calls)
    assert page.tables["Spend for each day"].rows == lines(rows)


def test_tokens(page, calls) -> None:
    shown = page.tables["Tokens by kind"]
    assert shown.rows == lines(recomputed.tokens_by_kind(calls))
    hits = formats.plural(sum(row.get("cache_hit", False) for row in calls), "answer")
    provider, here = (formats.usd(saved(calls)) for saved in (recomputed.saved_by_the_provider, recomputed.saved_here))
    assert shown.note == (
        f"Reading from the provider's cache, not anew, saved about {provider}. "
        f"{hits} from this machine's cache saved about {here}: what the others cost."
    )


def test_items(page, items, calls) -> None:
    rows, left = recomputed.items(items, calls, LISTED_ITEMS)
    shown = page.tables["Items: those to look at first, then the dearest"]
    assert shown.rows == lines(rows)
    assert shown.note == f"Not listed: {left}."
    kinds = {kind: sum(row["verdict"] == kind for row in items) for kind in recomputed.VERDICTS}
    told = f"{kinds['working']} working {kinds['clean']} clean, not run {kinds['errors']} with errors "
    assert f"{told}{kinds['failed']} failed" in page.prose


def test_runs(home, page) -> None:
    runs = sorted(journals.runs(home), key=lambda run: run["started_at"])
    failed, interrupted = runs[-2:]
    begun = [formats.minute(datetime.fromisoformat(run["started_at"])) for run in (interrupted, failed)]
    notebook = "generate_batch.ipynb"
    assert page.tables["Runs that failed, were interrupted or missed"].rows == [
        [begun[0], "✕ interrupted", "nightly", notebook, "–"],
        [begun[1], "✕ failed", "–", notebook, "ValueError: no such file"],
    ]
    assert page.prose.count(f"{len(runs) - 2} runs completed, 1 failed, 1 interrupted.") == 2


def test_timing(page, calls) -> None:
    assert page.tables["Percentiles in seconds"].rows == lines(recomputed.percentiles(calls))
    assert page.tables["Latency in seconds, by model"].rows == lines(recomputed.latency_by_model(calls))
    for name, (title, _) in recomputed.TIMINGS.items():
        assert page.tables[title].rows == lines(recomputed.histogram(calls, name))
        parts = [journals.percentile(journals.timed(calls, name), part) for part in (0.5, 0.95, 0.99)]
        spread = " · ".join(f"p{p} {formats.seconds(s)}" for p, s in zip((50, 95, 99), parts, strict=True))
        assert f"{title} {squeezed(spread)}" in page.prose
    waits = journals.timed(calls, "throttle_wait_s")
    none = formats.share(sum(wait < 0.001 for wait in waits), len(waits))
    assert squeezed(f"· {none} did not wait") in page.prose


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_busiest_minutes(page, calls, unit) -> None:
    caption = f"{unit.capitalize()} in the busiest minute of each day"
    assert page.tables[caption].rows == lines(recomputed.busiest_by_day(calls, unit))
    by_model = page.tables["Busiest minutes, by model"].rows
    assert by_model == lines(recomputed.busiest_by_model(calls, allowed=100))


def test_failures(page, calls) -> None:
    rows, messages = recomputed.failures(calls)
    shown = page.tables["Attempts without an answer, by kind"].rows
    assert [row[:-1] for row in shown] == lines(rows)
    assert all(row[-1] in {squeezed(one) for one in known} for row, known in zip(shown, messages, strict=True))
    found = journals.sums(calls)
    lost = found["calls"] - found["answered"]
    retries = formats.plural(found["attempts"] - found["calls"], "retry", "retries")
    never = f"{formats.plural(lost, 'call')} ({squeezed(formats.share(lost, found['calls']))}) never got an answer."
    told = never if lost else "every call was answered in the end."
    assert f"{retries} for {formats.plural(found['calls'], 'call')}; {told}" in page.prose


@pytest.mark.parametrize("caption", TOPS)
def test_calls_that_stand_out(page, calls, caption) -> None:
    assert page.tables[caption].rows == lines(recomputed.top_calls(calls, TOPS[caption]))


def test_the_same_calls_otherwise(page, calls) -> None:
    now = datetime.now(UTC)
    rows, without = recomputed.otherwise(calls, now)
    shown = page.tables["The same calls otherwise, USD"]
    assert shown.rows == lines(rows)
    left = f"Not in here: {formats.plural(without, 'attempt')} on house-model, whose price is not known."
    assert shown.note == f"Tokens as they were, prices of {formats.day(now)}. {left}"


def test_what_was_expected(page, items, calls) -> None:
    """Facts are computed again; forecasts have a test of their own, here they must agree with the facts beside them."""
    shown = page.tables["What the latest runs took, and what was expected"]
    facts = [[each.partition("|")[0].rstrip(" ▲▼") for each in row] for row in shown.rows]
    assert facts == lines(recomputed.taken(items, calls))
    held = told = 0
    for each in (each for row in shown.rows for each in row[2:] if "≈" in each and not each.startswith("–")):
        fact, middle, low, high = map(number, re.findall(r"[\d.,]+ ?[kM]?", each.replace("$", "")))
        assert low <= middle <= high
        assert ("▲" in each) <= (fact >= high)
        assert ("▼" in each) <= (fact <= low)
        held += "▲" not in each and "▼" not in each
        told += 1
    assert f"in which {held} of {told} lie" in shown.note


def number(text: str) -> float:
    digits, _, unit = text.replace(",", "").partition(" ")
    return float(digits.rstrip("kM")) * {"k": 1e3, "M": 1e6}.get(unit or text[-1], 1)


def ended(calls: list[Row]) -> datetime:
    return max(row["at"] for row in calls) + timedelta(microseconds=1)


def trend_caption(calls: list[Row]) -> str:
    return f"The 7 days to {formats.day(ended(calls))} against the 7 before"


def test_what_changed(page, items, calls) -> None:
    """Means, quantiles and their differences; the intervals hold these, and the words go with the intervals."""
    shown = page.tables[trend_caption(calls)].rows
    assert [row[:4] for row in shown] == lines(recomputed.changes(items, calls, ended(calls), 7))
    for row in shown:
        change = float(row[3].split(" ")[0].replace("−", "-").replace(",", ""))
        low, high = (float(part.replace("−", "-").replace(",", "")) for part in row[4].split(" to "))
        assert low - 0.5 <= change <= high + 0.5
        assert row[5] == ("higher" if low > 0 else "lower" if high < 0 else "no evidence of a change")
