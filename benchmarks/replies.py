"""How many recorded replies of language models become working workflows: ``python benchmarks/replies.py DIR``.

DIR holds ``requirements.jsonl`` (id, inputs, outputs, related_nodes) and ``replies/MODEL.jsonl`` (id, workflow).
Prints JSON: each figure with and without repair, in all and by model; a reply counts in a figure only if it counts in
all before it.  ``--list FILE`` writes one line a reply, with what was repaired and what is left.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dslkit.dify.check import verdict
from dslkit.dify.engine import Engine
from dslkit.dify.judge import judge
from dslkit.dify.workflow import Workflow
from dslkit.records import Requirement

STAGES = ("parsed", "compiled", "exact names", "clean", "working")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reply, one way (with repair or without)."""

    model: str
    id: str
    stages: tuple[bool, ...]
    related_nodes_held: bool | None
    milliseconds: float
    engine_milliseconds: float | None
    repairs: tuple[str, ...]
    errors: tuple[str, ...]


def requirements(folder: Path) -> dict[str, Requirement]:
    found = {}
    for line in (folder / "requirements.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        outputs = row.get("outputs")
        groups = outputs if outputs and isinstance(outputs[0], list) else [outputs] if outputs is not None else None
        found[row["id"]] = Requirement(
            id=row["id"],
            messages=tuple(row["requirement"]),
            inputs=tuple(row["inputs"]) if row.get("inputs") is not None else None,
            outputs=tuple(map(tuple, groups)) if groups is not None else None,
            related_nodes=tuple(row["related_nodes"]) if row.get("related_nodes") is not None else None,
        )
    return found


def replies(folder: Path) -> list[tuple[str, str, str]]:
    """Model, requirement's id and text of each reply."""
    found = []
    for path in sorted((folder / "replies").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.append((path.stem, row["id"], row.get("workflow") or ""))
    return found


def outcome(model: str, requirement: Requirement, text: str, *, repair: bool, engine: Engine | None) -> Outcome:
    started = time.perf_counter()
    workflow = Workflow.from_reply(text, name=requirement.id, repair=repair)
    milliseconds = (time.perf_counter() - started) * 1000
    judgement = judge(workflow.document, requirement) if workflow.document else None
    names = judgement is not None and judgement.inputs_exact is not False and judgement.outputs_exact is not False
    run = engine.run(workflow.document) if engine and workflow.document and not workflow.errors else None
    return Outcome(
        model=model,
        id=requirement.id,
        stages=(
            bool(workflow.document),
            bool(workflow.document) and not any(f.code.startswith("plan-") for f in workflow.errors),
            names,
            not workflow.errors,
            run is not None and verdict(workflow.findings, run) == "working",
        ),
        related_nodes_held=judgement.related_nodes_held if judgement else None,
        milliseconds=milliseconds,
        engine_milliseconds=run.seconds * 1000 if run else None,
        repairs=tuple(f"{r.code} {r.node or ''}: {r.message}" for r in workflow.repairs),
        errors=tuple(
            f"{f.code} {f.node or ''}: {f.message}" for f in (*workflow.errors, *(run.findings if run else ()))
        ),
    )


def figures(outcomes: list[Outcome]) -> dict[str, Any]:
    """Percentages, each of the replies that pass it and every stage before it."""
    total = len(outcomes)
    shares = {
        stage: round(100 * sum(all(o.stages[: index + 1]) for o in outcomes) / total, 1)
        for index, stage in enumerate(STAGES)
    }
    return {
        "replies": total,
        **{f"{stage} %": share for stage, share in shares.items()},
        "related nodes held %": round(100 * sum(o.related_nodes_held is True for o in outcomes) / total, 1),
    }


def timing(outcomes: list[Outcome]) -> dict[str, float]:
    engine = [o.engine_milliseconds for o in outcomes if o.engine_milliseconds is not None]
    return {
        "median ms": round(statistics.median(o.milliseconds for o in outcomes), 2),
        "max ms": round(max(o.milliseconds for o in outcomes), 1),
        **(
            {"engine median ms": round(statistics.median(engine), 1), "engine max ms": round(max(engine), 1)}
            if engine
            else {}
        ),
    }


def measure(folder: Path, *, repair: bool, engine: Engine | None, workers: int) -> list[Outcome]:
    asked = requirements(folder)

    def one(reply: tuple[str, str, str]) -> Outcome:
        return outcome(reply[0], asked[reply[1]], reply[2], repair=repair, engine=engine)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, replies(folder)))


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    models = sorted({o.model for o in outcomes})
    return {
        **figures(outcomes),
        **timing(outcomes),
        "left over": dict(Counter(c for o in outcomes for c in {e.split(" ", 1)[0] for e in o.errors}).most_common(25)),
        "repaired": dict(Counter(c for o in outcomes for c in {r.split(" ", 1)[0] for r in o.repairs}).most_common(40)),
        "by model": {model: figures([o for o in outcomes if o.model == model]) for model in models},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-engine", action="store_true", help="stop before the dry run")
    parser.add_argument("--engine-python", help="an interpreter that has the engine")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", type=Path, help="write one JSON line a reply")
    options = parser.parse_args()
    engine = None if options.no_engine else Engine.find(options.engine_python, workers=options.workers)
    result: dict[str, Any] = {"engine": engine is not None}
    listed = []
    for label, repair in (("without repair", False), ("with repair", True)):
        outcomes = measure(options.folder, repair=repair, engine=engine, workers=options.workers if engine else 1)
        result[label] = summary(outcomes)
        listed += [{"way": label, **asdict(o)} for o in outcomes]
    if engine:
        engine.close()
    if options.list:
        options.list.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed), encoding="utf-8")
    json.dump(result, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
