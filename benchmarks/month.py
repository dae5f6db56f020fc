"""A made-up month of batches, recorded through the ledger's own recorder: for tests, benchmarks and pictures.

``python -m benchmarks.month HOME [--calls N] [--seed S]`` fills a ledger.
"""

from __future__ import annotations

import argparse
import random
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Finding, Item, Run, Usage

FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
STAGES = ("requirements", "architecture", "configuration", "quality")
MODELS = ("gpt-4o-mini", "gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "o4-mini", "house-model")
TEAMS = ("support", "marketing", "finance")
ERRORS = (
    (429, "RateLimitError", "Rate limit reached for requests per minute. Please try again in 600ms."),
    (429, "RateLimitError", "Rate limit reached for tokens per minute."),
    (500, "InternalServerError", "The server had an error while processing your request."),
    (None, "ReadTimeout", "The server did not answer within 60 s."),
)


@dataclass(frozen=True)
class Month:
    """Everything that was recorded, to compute figures from independently."""

    starts: list[CallStart]
    ends: list[CallEnd]
    items: list[Item]
    runs: list[Run]


def make(calls: int, *, seed: int = 0, runs: int = 30, days: int = 30) -> Month:
    """About ``calls`` calls in ``runs`` runs over ``days`` days, with all that goes wrong in a month."""
    chance = random.Random(seed)
    month = Month([], [], [], [])
    each = max(1, round(calls / runs / 3.4))
    for number in range(runs):
        day = FIRST_DAY + timedelta(days=days * number / runs, hours=chance.uniform(7, 17))
        _run(month, chance, day, each, number)
    return month


def record(month: Month, home: str) -> None:
    """Write it to the ledger of a home, as the transport and the batch do."""
    recorder = Ledger(home).recorder()
    ends = {(end.call_id, end.attempt): end for end in month.ends}
    for run in month.runs:
        recorder.run(run)
    for start in month.starts:
        recorder.reserve(start)
        end = ends.get((start.call_id, start.attempt))
        if end is not None:
            recorder.settle(end)
    for item in month.items:
        recorder.item(item)
    recorder.close()


def _run(month: Month, chance: random.Random, at: datetime, items: int, number: int) -> None:
    model = MODELS[number % len(MODELS)]
    run_id = f"{at:%Y%m%d}-{chance.randrange(16**6):06x}"
    tags = {"team": TEAMS[number % len(TEAMS)]}
    ended = at
    for k in range(items):
        ended = _item(month, chance, at + timedelta(seconds=0.7 * k), f"requirement-{k + 1:03d}", run_id, model, tags)
    month.runs.append(
        Run(
            run_id=run_id, started_at=at, ended_at=ended, status="completed", notebook="generate_batch.ipynb", tags=tags
        )
    )


def _item(
    month: Month, chance: random.Random, at: datetime, item_id: str, run_id: str, model: str, tags: dict[str, str]
) -> datetime:
    verdict = chance.choices(("working", "clean", "errors", "failed"), (85, 6, 7, 2))[0]
    stages = STAGES if verdict == "errors" or chance.random() < 0.4 else STAGES[:3]
    moment = at
    for stage in stages:
        attribution = Attribution(run_id=run_id, item_id=item_id, stage=stage, tags=tags, priority="batch")
        moment = _call(month, chance, moment, model, attribution)
    errors = tuple(
        Finding(code="DSL210", severity="error", message="The template names a variable that no node provides.")
        for _ in range(chance.randint(1, 3) if verdict == "errors" else 0)
    )
    warnings = tuple(
        Finding(code="DSL410", severity="warning", message="No path leads to this node.")
        for _ in range(chance.choices((0, 1), (8, 2))[0])
    )
    month.items.append(
        Item(
            run_id=run_id,
            item_id=item_id,
            key=f"{chance.getrandbits(128):032x}",
            model=model,
            mode="multi_agent",
            verdict=verdict,
            engine="ran" if verdict == "working" else "not run",
            started_at=at,
            ended_at=moment,
            findings=errors + warnings,
            rounds=len(stages) - 3,
            error_message="The reply held no plan after 3 rounds." if verdict == "failed" else None,
            tags=tags,
        )
    )
    return moment


def _call(month: Month, chance: random.Random, at: datetime, model: str, attribution: Attribution) -> datetime:
    call_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    tokens_in, tokens_out = int(chance.lognormvariate(7.4, 0.5)), int(chance.lognormvariate(6.1, 0.7))
    for attempt in range(1, 6):
        waited = 0.0 if chance.random() < 0.6 else chance.expovariate(0.5)
        at += timedelta(seconds=waited)
        took = chance.lognormvariate(0.2, 0.5) + tokens_out / 180
        start = CallStart(
            call_id=call_id,
            attempt=attempt,
            attribution=attribution,
            provider_name="openai",
            operation_name="chat",
            request_model=model,
            estimated_input_tokens=tokens_in,
            estimated_output_tokens=1024,
            request_bytes=tokens_in * 4,
            stream=attribution.stage == "configuration",
            throttle_wait_s=waited,
            started_at=at,
        )
        month.starts.append(start)
        if chance.random() < 0.0005:
            return at  # the process died: no end is ever recorded
        end = _end(chance, start, took, tokens_in, tokens_out)
        month.ends.append(end)
        at = end.ended_at
        if end.outcome != "error":
            break
    return at


def _end(chance: random.Random, start: CallStart, took: float, tokens_in: int, tokens_out: int) -> CallEnd:
    luck = chance.random()
    ended = start.started_at + timedelta(seconds=took)
    end = CallEnd(
        call_id=start.call_id,
        attempt=start.attempt,
        outcome="ok",
        ended_at=ended,
        latency_s=took,
        time_to_first_chunk_s=took * chance.uniform(0.1, 0.3) if start.stream else None,
        http_status=200,
        response_model=start.request_model,
        finish_reason="stop",
        usage=Usage(
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cache_read_input_tokens=tokens_in // 2 if tokens_in > 1500 and chance.random() < 0.4 else 0,
            reasoning_output_tokens=tokens_out // 3 if start.request_model.startswith("o") else 0,
        ),
    )
    if luck < 0.05:
        status, kind, message = chance.choice(ERRORS)
        return replace(
            end, outcome="error", usage=None, http_status=status, error_type=kind, error_message=message,
            finish_reason=None, response_model=None, time_to_first_chunk_s=None, latency_s=took / 4,
            ended_at=start.started_at + timedelta(seconds=took / 4),
        )  # fmt: skip
    if luck < 0.052:
        cut = Usage(input_tokens=tokens_in, output_tokens=tokens_out // 2, source="estimated")
        return replace(end, outcome="cancelled", usage=cut, finish_reason=None)
    if luck > 0.97:
        return replace(end, cache_hit=True, latency_s=0.0005, ended_at=start.started_at, time_to_first_chunk_s=None)
    return end


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home")
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    record(make(arguments.calls, seed=arguments.seed), arguments.home)
