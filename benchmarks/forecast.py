"""How often a forecast's range holds what came: ``python -m benchmarks.forecast DIR``.

DIR holds ``requirements.jsonl`` (id, task, requirement) and ``replies/MODEL.jsonl`` (id, workflow).  Every reply is
recorded in a ledger as an item with one call, each task as a run of its own; tokens are characters / 4.  Then each task
is left out in turn and forecast from the others, for each model.  A good 90 % range holds the fact in about 90 of 100,
is narrow, and has the fact as often below its middle as above.  Also: from the other models, and from nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from dslkit.analysis.forecast import Asked, Range, forecast
from dslkit.analysis.history import PastItem, past_items
from dslkit.batch.first_request import first_requests, frame_of
from dslkit.batch.recipe import Recipe
from dslkit.ledger import Ledger, LedgerRecorder
from dslkit.records import Attribution, CallEnd, CallStart, Item, Requirement, Usage

BEGAN = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """One task of one model: what was forecast of its output tokens, and what came."""

    model: str
    task: str
    expected: Range
    fact: int

    @property
    def held(self) -> bool:
        return self.expected.low <= self.fact <= self.expected.high


def requirements(folder: Path) -> list[Requirement]:
    rows = [json.loads(line) for line in (folder / "requirements.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Requirement(id=row["id"], messages=tuple(row["requirement"]), tags={"task": row["task"]}) for row in rows]


def record(folder: Path, home: Path) -> None:
    """All replies as items of a ledger."""
    asked = {one.id: one for one in requirements(folder)}
    recorder = Ledger(home).recorder()
    for path in sorted((folder / "replies").glob("*.jsonl")):
        recipe = Recipe(model=path.stem)
        sizes = first_requests(asked.values(), recipe, home)
        size_of = dict(zip(asked, sizes, strict=True))
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            _record(recorder, asked[row["id"]], path.stem, size_of[row["id"]], row.get("workflow") or "")
    recorder.close()


def _record(recorder: LedgerRecorder, requirement: Requirement, model: str, size: int, reply: str) -> None:
    call, run = str(uuid.uuid4()), f"{model}-{requirement.tags['task']}"
    whose = Attribution(run_id=run, item_id=requirement.id, stage="configuration", tags=requirement.tags)
    recorder.reserve(
        CallStart(
            call_id=call, attempt=1, attribution=whose, provider_name="recorded", operation_name="chat",
            request_model=model, estimated_input_tokens=size // 4, estimated_output_tokens=0, request_bytes=size,
            stream=False, throttle_wait_s=0.0, started_at=BEGAN,
        )
    )  # fmt: skip
    used, took = Usage(input_tokens=size // 4, output_tokens=len(reply) // 4), 1 + len(reply) / 400
    ended = BEGAN + timedelta(seconds=took)
    recorder.settle(CallEnd(call_id=call, attempt=1, outcome="ok", ended_at=ended, latency_s=took, usage=used))
    recorder.item(
        Item(
            run_id=run, item_id=requirement.id, key=call, model=model, mode="simple", verdict="clean", engine="not run",
            started_at=BEGAN, ended_at=ended, tags=requirement.tags,
        )
    )  # fmt: skip


def asked_of(items: list[PastItem]) -> Asked:
    """The batch that these items were."""
    model = items[0].model
    return Asked(
        model=model,
        mode="simple",
        items=len(items),
        sizes=tuple(one.first_bytes for one in items),
        tasks=tuple(one.task for one in items),
        frame=frame_of(Recipe(model=model)),
    )


def cases(history: tuple[PastItem, ...], way: str = "left out") -> list[Case]:
    """Each task of each model, forecast from the other tasks; from those of other models; or from nothing."""
    found = []
    for run in dict.fromkeys(one.run_id for one in history):
        own = [one for one in history if one.run_id == run]
        model, task = own[0].model, own[0].task
        others = [one for one in history if one.task != task and (way != "other models" or one.model != model)]
        expected = forecast(() if way == "nothing known" else others, asked_of(own)).output_tokens
        found.append(Case(model, str(task), expected, sum(one.output_tokens for one in own)))
    return found


def summary(found: list[Case]) -> str:
    held = sum(case.held for case in found)
    wide = statistics.median(case.expected.high / case.expected.low for case in found)
    off = statistics.median(abs(case.fact / case.expected.middle - 1) for case in found)
    below = sum(case.fact < case.expected.middle for case in found)
    total = sum(case.fact for case in found) / sum(case.expected.middle for case in found)
    return (
        f"held {held:>3} of {len(found)} ({held / len(found):.0%}) · high / low {wide:.2f} · middle off by "
        f"{off:.0%} (median) · below the middle {below / len(found):.0%} · all facts / all middles {total:.2f}"
    )


def recorded(folder: Path) -> tuple[PastItem, ...]:
    with TemporaryDirectory() as home:
        record(folder, Path(home))
        return past_items(Ledger(home).snapshot())


def left_out(folder: Path) -> list[Case]:
    return cases(recorded(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    history = recorded(parser.parse_args().folder)
    found = {way: cases(history, way) for way in ("left out", "other models", "nothing known")}
    for way, all_cases in found.items():
        print(f"{way:<15}{summary(all_cases)}")
    for model in dict.fromkeys(case.model for case in found["left out"]):
        print(f"  {model:<20}{summary([case for case in found['left out'] if case.model == model])}")


if __name__ == "__main__":
    main()
