"""What makes a rerun free: the key of a piece of work, and what the ledger knows to be done.

An item is done when its key is the same and its file, if it gave one, is still the one written then.  Where it is not,
the file that another item of the same work gave (an equal requirement under another id, the same batch in another
folder) is written there, as long as that one is still what it was.

The key covers what is asked and of whom: the requirement, the model, the mode, the kind of app, the agents with their
prompts, the patterns they show.  A new compiler or checker does not make paid answers worthless, so it is no part of a
real model's key; what the offline model makes is free, and made anew whenever anything that shapes it changes.  What an
item is judged by (its expected names) has a part of its own at the end of the key, because judging again costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dslkit.batch.artefact import sha256_of
from dslkit.batch.recipe import work_of
from dslkit.records import Finding, Item, Judgement, Repair
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from dslkit.batch.recipe import Order, Recipe
    from dslkit.dify.engine import Engine
    from dslkit.ledger import Ledger
    from dslkit.records import Requirement, Verdict

Redo = Literal["none", "errors", "all"]

_USER_PATTERNS = "patterns"
_WORK_DIGITS = 40
_JUDGED_DIGITS = 12

_DONE = """
    SELECT * FROM items WHERE verdict <> 'failed' AND starts_with(key, $work) AND (run_id = $run OR $run = '')
    QUALIFY row_number() OVER (PARTITION BY key, artefact_sha256 ORDER BY ended_at DESC) = 1
    ORDER BY ended_at DESC
"""


_OF_RUN = """
    SELECT * FROM items WHERE run_id = $run AND (list_contains($verdicts, verdict) OR len($verdicts) = 0)
    ORDER BY ended_at
"""


def key_of(requirement: Requirement, recipe: Recipe, patterns: str, current_plan: str | None = None) -> str:
    """The key of one requirement's work.

    ``patterns`` identifies the user's own ones where the mode shows them, ``current_plan`` is what is to be changed.
    """
    asked = [requirement.messages, current_plan, recipe.model, recipe.mode, recipe.app_mode, recipe.complexity]
    work = [*asked, patterns, _shaping(recipe)]
    judged = [requirement.inputs, requirement.outputs, requirement.related_nodes]
    return f"{_digest(work, _WORK_DIGITS)}-{_digest(judged, _JUDGED_DIGITS)}"


def _shaping(recipe: Recipe) -> str:
    """A hash of the files of this package on which a result depends, so far as making it again is worth the price."""
    if recipe.model == OFFLINE_MODEL:
        return _files_digest(("agents", "dify", "knowledge"))
    asked = _files_digest(("agents",), leave_out="offline")
    return asked if recipe.mode == "simple" else asked + _files_digest(("knowledge/shipped",))


@cache
def _files_digest(folders: tuple[str, ...], leave_out: str = "__pycache__") -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for name, file in sorted(_files(resources.files("dslkit") / folder, folder)):
            if leave_out not in name:
                digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def patterns_of(recipe: Recipe, home: Path) -> str:
    """One hash over the user's own patterns, where the mode shows patterns to a model."""
    folder = home / _USER_PATTERNS
    if recipe.mode == "simple" or not folder.is_dir():
        return ""
    return _digest([[path.name, sha256_of(path)] for path in sorted(folder.glob("*.yml"))], _WORK_DIGITS)


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        name = f"{prefix}/{entry.name}"
        if not entry.is_dir():
            yield name, entry
        elif entry.name != "__pycache__":
            yield from _files(entry, name)


def _digest(value: object, digits: int) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:digits]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The finished items of every piece of work in a ledger, the latest first; ``redo`` says what is made anew."""

    items: Mapping[str, Sequence[Item]]
    redo: Redo = "none"

    @classmethod
    def of(cls, ledger: Ledger, redo: Redo, work: str = "", run: str = "") -> Earlier:
        """Everything finished so far; of one piece of work, or by one run, where that is named."""
        if redo == "all" and not run:
            return cls({}, redo)
        items: dict[str, list[Item]] = {}
        for item in _items(ledger, _DONE, {"work": work, "run": run}):
            items.setdefault(work_of(item.key), []).append(item)
        return cls(items, redo)

    def knows(self, order: Order) -> bool:
        """Whether this piece of work was ever finished."""
        return order.work in self.items

    def item_for(self, requirement: Requirement, order: Order, engine: Engine | None) -> Item | None:
        """The item that an earlier run gave, recorded for this one; None when something has to be asked or made.

        Raises DiskFullError when a file that another item gave finds no room.
        """
        done = [item for item in self.items.get(work_of(order.key), ()) if self._settled(item, order)]
        found = next((item for item in done if _in_place(item, order)), None) or _taken_over(done, order)
        if found is None:
            return None
        unproven = engine is not None and found.engine == "not run" and found.verdict == "clean"
        current = _revisited(found, requirement, order, engine) if unproven or found.key != order.key else found
        now = datetime.now(UTC)
        return current and replace(
            current,
            run_id=order.run_id,
            item_id=requirement.id,
            key=order.key,
            started_at=now,
            ended_at=now,
            artefact=str(order.path) if found.artefact else None,
            reused_from=found.reused_from or found.run_id,
            tags=requirement.tags,
        )

    def _settled(self, item: Item, order: Order) -> bool:
        """Whether no further round may help."""
        return item.verdict != "errors" or not (self.redo == "errors" or item.rounds < order.recipe.max_rounds)


def _in_place(item: Item, order: Order) -> bool:
    """Whether the item's file is where it should be; only a reply without a workflow gave none."""
    if item.artefact_sha256 is None:
        return item.verdict == "errors"
    return order.path is not None and item.artefact_sha256 == sha256_of(order.path)


def _taken_over(done: Iterable[Item], order: Order) -> Item | None:
    """The first item whose file is whole where it was made, with a copy of that file as this order's."""
    for item in done:
        if item.artefact is None or item.artefact_sha256 != sha256_of(Path(item.artefact)):
            continue
        from dslkit.batch.examine import take_over  # noqa: PLC0415 - as below

        return take_over(item, order)
    return None


def _revisited(item: Item, requirement: Requirement, order: Order, engine: Engine | None) -> Item | None:
    """The item judged by today's expectations and run where it never was; None when the engine now refuses it."""
    from dslkit.batch.examine import reconsider  # noqa: PLC0415 - what compiles is slow to import, and seldom needed here

    return reconsider(item, requirement, order, engine)


def items_of_run(ledger: Ledger, run_id: str, verdicts: Iterable[Verdict] = ()) -> Iterator[Item]:
    """The items of a run, in the order in which they ended; those with one of ``verdicts``, where any is named."""
    return _items(ledger, _OF_RUN, {"run": run_id, "verdicts": list(verdicts)})


def _items(ledger: Ledger, query: str, values: Mapping[str, object]) -> Iterator[Item]:
    cursor = ledger.snapshot().execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    while rows := cursor.fetchmany(1000):
        yield from (item_of(dict(zip(names, row, strict=True))) for row in rows)


def item_of(row: Mapping[str, Any]) -> Item:
    """An `Item` from a row of the ledger's ``items`` view."""
    return Item(
        **{name: row[name] for name in _PLAIN_FIELDS},
        findings=tuple(Finding(**finding) for finding in row["findings"] or ()),
        repairs=tuple(Repair(**repair) for repair in row["repairs"] or ()),
        judgement=Judgement(**{name: row[name] for name in Judgement.__dataclass_fields__}),
        tags=row["tags"] or {},
    )


_PLAIN_FIELDS = Item.__dataclass_fields__.keys() - {"findings", "repairs", "judgement", "tags"}
