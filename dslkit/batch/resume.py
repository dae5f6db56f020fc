"""What makes a rerun free: the key of a piece of work, and what the ledger knows to be done.

An item is done when its key is the same and its file, if it gave one, is still the one written then.  The key covers
what is asked and of whom: the requirement, the model, the mode, the agents with their prompts, the patterns they show.
A new compiler or checker does not make paid answers worthless, so it is no part of a real model's key; what the offline
model makes is free, and made anew whenever anything that shapes it changes.  What an item is judged by (its expected
names) has a part of its own at the end of the key, because judging again costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from dslkit.batch.artefact import sha256_of
from dslkit.records import Finding, Item, Judgement, Repair
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from dslkit.batch.recipe import Order, Recipe
    from dslkit.dify.engine import Engine
    from dslkit.ledger import Ledger
    from dslkit.records import Requirement

Redo = Literal["none", "errors", "all"]

_USER_PATTERNS = "patterns"
_WORK_DIGITS = 40
_JUDGED_DIGITS = 12

_DONE = """
    SELECT * FROM items WHERE verdict <> 'failed' AND starts_with(key, $work)
    QUALIFY row_number() OVER (PARTITION BY key ORDER BY ended_at DESC) = 1
    ORDER BY ended_at
"""


def key_of(requirement: Requirement, recipe: Recipe, patterns: str) -> str:
    """The key of one requirement's work; ``patterns`` identifies the user's own ones where the mode shows them."""
    work = [requirement.messages, recipe.model, recipe.mode, patterns, _shaping(recipe)]
    judged = [requirement.inputs, requirement.outputs, requirement.related_nodes]
    return f"{_digest(work, _WORK_DIGITS)}-{_digest(judged, _JUDGED_DIGITS)}"


def work_of(key: str) -> str:
    """The part of a key that says what was asked and of whom; requests answered for it are kept under this name."""
    return key.partition("-")[0]


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
    """The latest finished item of every piece of work in a ledger, read once; ``redo`` says what is made anew."""

    items: Mapping[str, Item]
    redo: Redo = "none"

    @classmethod
    def of(cls, ledger: Ledger, redo: Redo, work: str = "") -> Earlier:
        """Everything finished so far, or one piece of work; of two judgings of the same work the later one counts."""
        if redo == "all":
            return cls({}, redo)
        cursor = ledger.snapshot().execute(_DONE, {"work": work})
        names = [column[0] for column in cursor.description or ()]
        items = (item_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall())
        return cls({work_of(item.key): item for item in items}, redo)

    def item_for(self, requirement: Requirement, order: Order, engine: Engine | None) -> Item | None:
        """The item that an earlier run gave, recorded for this one; None when something has to be asked or made."""
        found = self.items.get(work_of(order.key))
        if found is None or not self._holds(found, order):
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

    def _holds(self, item: Item, order: Order) -> bool:
        """Whether the file is the one written then, and no further round may help."""
        if item.verdict == "errors" and (self.redo == "errors" or item.rounds < order.recipe.max_rounds):
            return False
        return item.artefact_sha256 is None or (
            order.path is not None and item.artefact_sha256 == sha256_of(order.path)
        )


def _revisited(item: Item, requirement: Requirement, order: Order, engine: Engine | None) -> Item | None:
    """The item judged by today's expectations and run where it never was; None when the engine now refuses it."""
    from dslkit.batch.examine import reconsider  # noqa: PLC0415 - what compiles is slow to import, and seldom needed here

    return reconsider(item, requirement, order, engine)


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
