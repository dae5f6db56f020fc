"""What a piece of work consists of, without anything that is slow to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from dslkit.records import AppMode, Complexity, Mode

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.agents import Ask
    from dslkit.batch.answers import ItemAnswers
    from dslkit.dify.engine import Engine
    from dslkit.dify.plan import Plan
    from dslkit.knowledge import Knowledge
    from dslkit.records import Priority

MAX_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How workflows are to be made: by which model, in which mode, with how many rounds of bettering at most.

    ``app_mode`` says which kind of Dify app, ``complexity`` how elaborate it may be; None leaves that to the model.
    """

    model: str
    mode: Mode = "simple"
    max_rounds: int = MAX_ROUNDS
    app_mode: AppMode = "workflow"
    complexity: Complexity | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model must be named")
        _one_of("mode", self.mode, get_args(Mode))
        _one_of("app_mode", self.app_mode, get_args(AppMode))
        _one_of("complexity", self.complexity, (*get_args(Complexity), None))
        if self.max_rounds < 0:
            raise ValueError(f"max_rounds must be 0 or more, not {self.max_rounds}")


def _one_of(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


def work_of(key: str) -> str:
    """The part of a key that says what was asked and of whom; requests answered for it are kept under this name."""
    return key.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One piece of work: for which run it is recorded, how it is made, and where its file goes (None: no file).

    ``current`` is the plan of a workflow that the requirement changes, None where a new one is made.
    """

    run_id: str
    key: str
    recipe: Recipe
    item_id: str
    path: Path | None = None
    priority: Priority = "batch"
    current: Plan | None = None

    @property
    def work(self) -> str:
        """Names what is asked and of whom: equal requirements are one piece of work, done once."""
        return work_of(self.key)

    @property
    def name(self) -> str:
        """The app's name; one that is changed keeps its own."""
        return str((self.current.app.get("name") if self.current else None) or self.item_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What all items of a batch share.

    ``answers`` keeps those of unfinished items; ``engine`` is None where workflows are not run, ``knowledge`` where no
    patterns are shown.
    """

    ask: Ask
    answers: ItemAnswers
    engine: Engine | None = None
    knowledge: Knowledge | None = None
