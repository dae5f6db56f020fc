"""Rules against ledgers made for them, at an hour that is given; and half a rules file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.analysis.alerts import Alert, evaluate
from dslkit.analysis.alerts_reading import read_rules
from dslkit.analysis.alerts_told import Told
from dslkit.analysis.schedules import Missed
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Usage

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
USD_TOKENS = 1_000_000 / 0.15  # of gpt-4o-mini's input for a dollar


class Book:
    """Calls to put into a ledger, each with its age and what is special about it."""

    def __init__(self, home: Path) -> None:
        self.ledger = Ledger(home)
        self._number = 0

    def call(self, age: timedelta, usd: float = 0.0, *, model: str = "gpt-4o-mini", run: str = "r", **end: Any) -> None:
        self._number += 1
        begun = NOW - age
        start = CallStart(
            call_id=f"00000000-0000-4000-8000-{self._number:012}", attempt=1, attribution=Attribution(run_id=run),
            provider_name="openai", operation_name="chat", request_model=model, estimated_input_tokens=1,
            estimated_output_tokens=1, request_bytes=1, stream=False, throttle_wait_s=0.0, started_at=begun,
        )  # fmt: skip
        values = {
            "outcome": "ok",
            "latency_s": 1.0,
            "usage": Usage(input_tokens=round(usd * USD_TOKENS), output_tokens=0),
            **end,
        }
        recorder = self.ledger.recorder()
        recorder.reserve(start)
        recorder.settle(CallEnd(call_id=start.call_id, attempt=1, ended_at=begun + timedelta(seconds=1), **values))


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "home")


@pytest.fixture
def fired(book: Book, tmp_path: Path) -> Any:
    """The alerts of one rule, given as TOML without its name."""

    def of(rule: str, missed: tuple[Missed, ...] = ()) -> list[str]:
        path = tmp_path / "alerts.toml"
        path.write_text(f'[[rule]]\nname = "x"\n{rule}\n', encoding="utf-8")
        return [alert.text for alert in evaluate(book.ledger.snapshot(), read_rules(path), NOW, missed)]

    return of


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_spend_of_a_day_and_of_a_month(book: Book, fired: Any) -> None:
    book.call(HOUR, 3)
    book.call(DAY, 4)
    book.call(30 * DAY, 50)
    assert fired('kind="spend"\nper="day"\nabove_usd=3') == []
    assert fired('kind="spend"\nper="day"\nabove_usd=2.99') == ["x: $3.00 spent today (UTC), more than $2.99."]
    assert fired('kind="spend"\nper="month"\nabove_usd=7.01') == []
    assert fired('kind="spend"\nper="month"\nabove_usd=6') == ["x: $7.00 spent in May (UTC), more than $6.00."]


def test_spend_of_a_run_counts_all_of_it(book: Book, fired: Any) -> None:
    book.call(HOUR, 3, run="long")
    book.call(3 * DAY, 4, run="long")
    book.call(3 * DAY, 40, run="old")
    book.call(HOUR, 5, run="small")
    assert fired('kind="spend"\nper="run"\nabove_usd=6') == ["x: run long has spent $7.00, more than $6.00."]


def test_a_spike_is_held_against_the_usual(book: Book, fired: Any) -> None:
    for day in range(1, 11):
        book.call(2 * day * DAY, 2 + day % 3)
    book.call(HOUR, 6)
    assert fired('kind="spike"') == []
    book.call(HOUR, 4)
    assert fired('kind="spike"') == [
        "x: $10.00 spent today (UTC); usual are $3.00 a day (median of 10 days), up to $8.93."
    ]
    assert fired('kind="spike"\nat_least_usd=11') == []
    assert fired('kind="spike"\ndays=7') == [], "three days are no history"


def test_one_wild_day_does_not_become_the_usual(book: Book, fired: Any) -> None:
    for day in range(1, 11):
        book.call(day * DAY, 500 if day == 5 else 2)
    book.call(HOUR, 3)
    assert fired('kind="spike"')
    assert fired('kind="spike"\ndeviations=6') == [], "a tenth of the usual is the least spread"


def test_latency_needs_enough_answers(book: Book, fired: Any) -> None:
    for number in range(20):
        book.call(HOUR / 2, latency_s=float(number))
    book.call(HOUR / 2, latency_s=1000.0, outcome="error")
    book.call(HOUR / 2, latency_s=1000.0, cache_hit=True)
    book.call(2 * HOUR, latency_s=1000.0)
    said = "x: the slowest 5 % of 20 answers in the last hour took 18.05 s or longer, more than 18 s."
    assert fired('kind="latency"\np95_above_s=18') == [said]
    assert fired('kind="latency"\np95_above_s=18.1') == []
    assert fired('kind="latency"\np95_above_s=1\nat_least_calls=21') == []
    assert fired('kind="latency"\np95_above_s=18.1\nwithin="3h"') != []


def test_errors_are_a_share_of_attempts(book: Book, fired: Any) -> None:
    for number in range(20):
        book.call(HOUR / 2, outcome="error" if number < 3 else "ok")
    said = "x: 3 of 20 attempts in the last 90 minutes failed: 15.0%, more than 14.0%."
    assert fired('kind="errors"\nabove=0.14\nwithin="90m"') == [said]
    assert fired('kind="errors"\nabove=0.15') == []
    assert fired('kind="errors"\nabove=0.1\nat_least_calls=21') == []


def test_unknown_prices_name_their_models(book: Book, fired: Any) -> None:
    assert fired('kind="unknown_prices"') == []
    book.call(HOUR, model="house-model")
    book.call(HOUR, model="house-model")
    book.call(HOUR, model="refused", outcome="error", usage=None, http_status=400)
    book.call(2 * DAY, model="older")
    assert fired('kind="unknown_prices"') == [
        "x: attempts of unknown price in the last day: house-model (2). Spend is more than shown."
    ]


def test_a_missed_schedule(fired: Any) -> None:
    def gone(name: str, hours: int) -> Missed:
        return Missed(schedule=name, notebook="n", expected=NOW - hours * HOUR)

    rule = 'kind="missed_schedule"'
    assert fired(rule) == []
    assert fired(rule, (gone("nightly", 25),)) == []
    assert fired(rule, (gone("nightly", 2), gone("nightly", 3), gone("hourly", 1))) == [
        "x: schedule hourly did not run at 2026-05-20 11:00 UTC.",
        "x: schedule nightly did not run at 2026-05-20 10:00 UTC, nor at 1 times before.",
    ]


def test_an_empty_ledger_breaks_no_rule(fired: Any) -> None:
    for rule in ('kind="spend"\nper="day"\nabove_usd=1', 'kind="spike"', 'kind="errors"\nabove=0.1'):
        assert fired(rule) == []
    assert fired('kind="latency"\np95_above_s=1\nat_least_calls=1') == []


MAIL = '[email]\nhost = "h"\nsender = "b@c"\nto = ["d@e"]\n'
GOOD = '[[rule]]\nname = "a"\nkind = "spend"\nper = "day"\nabove_usd = 5\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "\n[[rule]\n", "line 7: Expected ']]' at the end of an array declaration."),
        (GOOD + "x =", "line 6: Invalid value."),
        ("", "line 1: rule: is missing: begin each rule with a line [[rule]]."),
        ("# later\n", "line 1: rule: is missing: begin each rule"),
        ("hello world", "line 1: Expected '=' after a key"),
        (GOOD + '[[rule]]\nname = "b"\nkind = "spend"\nper = "week"\nabove_usd = 5', "line 9: per: input should be"),
        (GOOD + '[[rule]]\nname = "b"\nkind = "spend"\nper = "day"', "line 6: above_usd: is missing."),
        (GOOD + '[[rule]]\nname = "b"\nkind = "spent"', "line 8: kind: is not one of spend, spike,"),
        (GOOD + '[[rule]]\nname = "b"', "line 6: kind: is missing: write one of spend,"),
        (GOOD.replace("5", "-5"), "line 5: above_usd: input should be greater than 0."),
        (GOOD + "below = 3", "line 6: below: is not known here."),
        (GOOD + "abve_usd = 3", "line 6: abve_usd: is not known here; did you mean above_usd?"),
        (GOOD + "[webhok]", "line 6: webhok: is not known here; did you mean webhook?"),
        ("webhook.ulr_env = 'X'\n" + GOOD, "line 1: ulr_env: is not known here; did you mean url_env?"),
        (GOOD.replace("[[rule]]", "[rule]"), "line 1: rule: write [[rule]], with two brackets"),
        (GOOD.replace("5", '"much"'), "line 5: above_usd: input should be a valid decimal."),
        (GOOD.replace('"a"', '"a\\nb"'), "line 2: name: write one line of plain text."),
        (GOOD + 'per = "day"', "line 6: Cannot overwrite a value."),
        (GOOD + '[[rule]]\nname = "a"\nkind = "spike"', "line 7: there is a rule 'a' already."),
        (GOOD + '[[rule]]\nname = "b"\nkind = "errors"\nabove = 0.1\nwithin = "soon"', "line 10: within: write an age"),
        (GOOD + '[[rule]]\nname = "b"\nkind = "errors"\nabove = 0.1\nwithin = "0m"', "line 10: within: write an age"),
        (GOOD + '[[rule]]\nname="b"\nkind="errors"\nabove=0.1\nwithin="999999w"', "line 10: within: write an age"),
        (GOOD + '[webhook]\nurl = "https://x"', "line 6: url_env: is missing."),
        (GOOD + '[webhook]\nurl_env = "https://hooks.example/T0/secret"', "line 7: url_env: name an environment"),
        ("[[rules]]\nname = 1", "line 1: rules: is not known here; did you mean rule?"),
        (GOOD + MAIL.replace("b@c", "nobody"), "line 8: sender: write one address"),
        (GOOD + MAIL.replace("d@e", "d@e\\nBcc: f@g"), "line 9: to: write one address"),
        (GOOD + MAIL.replace('["d@e"]', "[]"), "line 9: to: write at least one."),
        (GOOD + MAIL.replace('"h"', '"smtp://h"'), "line 7: host: write the name of a host"),
        (GOOD.replace('"a"', '"a'), "line 2: "),
    ],
)
def test_half_a_file_names_the_line_and_the_reason(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_rules(path)
    assert f"{path}, {said}" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("text", [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD + MAIL])
def test_files_of_other_systems_are_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "alerts.toml"
    path.write_bytes(text.encode())
    assert read_rules(path).rule[0].name == "a"


def test_a_file_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_bytes(GOOD.replace('"a"', '"\u00e4"').encode("latin-1"))
    with pytest.raises(UsageError, match=r"alerts\.toml, line 2: this is not UTF-8"):
        read_rules(path)


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    """With rules that can be taken as they are: who installed the package has no pages of documentation."""
    path = tmp_path / "alerts.toml"
    with pytest.raises(UsageError, match="no alert rules in") as told:
        read_rules(path)
    head, *rules, tail = str(told.value).split("\n\n")
    path.write_text("\n".join(rules))
    assert [rule.kind for rule in read_rules(path).rule] == ["spend", "unknown_prices"]
    assert "such as" in head
    assert "missed_schedule" in tail


def alert(key: str, *, clears: bool = True) -> Alert:
    return Alert(key=key, rule=key, text=f"{key} is high", clears=clears)


def test_each_alert_is_told_once_until_it_clears(tmp_path: Path) -> None:
    with Told(tmp_path) as told:
        assert told.news("webhook", [alert("a"), alert("b")]).text == "ALERT a is high\nALERT b is high"
        told.delivered("webhook", [alert("a"), alert("b")])
    with Told(tmp_path) as told:
        assert not told.news("webhook", [alert("a"), alert("b")])
        assert told.news("webhook", [alert("b")]).text == "resolved: a is high"
        assert told.news("email", [alert("b")]).text == "ALERT b is high", "another channel was told nothing yet"
        told.delivered("webhook", [alert("b")])
        assert told.news("webhook", [alert("a"), alert("b")]).text == "ALERT a is high"


RULES = {
    "day": 'kind="spend"\nper="day"\nabove_usd=1',
    "month": 'kind="spend"\nper="month"\nabove_usd=1',
    "spike": 'kind="spike"',
    "slow": 'kind="latency"\np95_above_s=30',
    "failing": 'kind="errors"\nabove=0.5',
    "prices": 'kind="unknown_prices"',
    "night": 'kind="missed_schedule"',
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_of_each_kind_tells_once_and_then_of_its_end(book: Book, tmp_path: Path, name: str) -> None:
    for days in range(1, 8):
        book.call(days * DAY, 0.01)
    for number in range(20):
        book.call(timedelta(minutes=number), 0.2, latency_s=99.0)
        book.call(timedelta(minutes=number), outcome="error", http_status=500, usage=None)
        book.call(timedelta(minutes=number), outcome="error", http_status=500, usage=None)
    book.call(HOUR / 2, 1.0, model="house-model")
    late = (Missed(schedule="nightly", notebook="n", expected=NOW - HOUR),)
    (tmp_path / "alerts.toml").write_text(f'[[rule]]\nname = "{name}"\n{RULES[name]}\n', encoding="utf-8")
    rules, views = read_rules(tmp_path / "alerts.toml"), book.ledger.snapshot()
    news = []
    for age in (timedelta(), timedelta(minutes=5), 32 * DAY, 33 * DAY):
        firing = evaluate(views, rules, NOW + age, late)
        with Told(tmp_path) as told:
            news.append(told.news("webhook", firing).text)
            told.delivered("webhook", firing)
    assert news == [news[0], "", news[0].replace("ALERT", "resolved:"), ""]
    assert news[0].startswith(f"ALERT {name}: ")


def test_what_cannot_clear_just_ends(tmp_path: Path) -> None:
    with Told(tmp_path) as told:
        told.delivered("webhook", [alert("run 7", clears=False)])
        assert not told.news("webhook", [])


def test_a_message_that_failed_is_told_again_and_says_so(tmp_path: Path) -> None:
    with Told(tmp_path) as told:
        told.sending("webhook", NOW)
        told.sending("webhook", NOW + HOUR)
    with Told(tmp_path) as told:
        text = told.news("webhook", [alert("a")]).text
        assert text == "ALERT a is high\n(An earlier message may not have arrived, the first at 2026-05-20 12:00 UTC.)"
        told.delivered("webhook", [alert("a")])
        assert told.news("webhook", [alert("b")]).text == "ALERT b is high\nresolved: a is high"


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_memory_tells_twice_rather_than_never(tmp_path: Path, damage: str) -> None:
    with Told(tmp_path) as told:
        told.delivered("webhook", [alert("a")])
    (tmp_path / "alerts.json").write_text(damage, encoding="utf-8")
    with Told(tmp_path) as told:
        assert told.news("webhook", [alert("a")])
        told.delivered("webhook", [alert("a")])
    assert json.loads((tmp_path / "alerts.json").read_text(encoding="utf-8"))["webhook"]["told"]


def test_money_reads_well(book: Book, fired: Any) -> None:
    book.call(HOUR, 0.0012)
    assert fired('kind="spend"\nper="day"\nabove_usd=0.001') == ["x: $0.0012 spent today (UTC), more than $0.001."]
