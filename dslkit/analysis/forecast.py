"""What a batch will take, before it is started: calls, tokens, USD and time, each with a range.

An item's calls, tokens and seconds are regressed, as logarithms, on the size of what is asked.  Runs differ from each
other, and tasks (items with the same tag ``task``: the rounds of one request) differ from each other, by more than
their items do; both are effects of their own, so that many items of few runs do not look like much experience.  The
batch is then made some thousand times over with everything that is uncertain drawn anew; a range holds the middle
90 of 100 of these.  Where the ledger is empty the prior alone speaks: see `_PRIOR`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dslkit.analysis.history import MOST_OF_A_RUN
from dslkit.analysis.regression import Prior, Regression

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dslkit.analysis.history import PastItem
    from dslkit.analysis.rates import Rates
    from dslkit.analysis.regression import Matrix

COVERED = 0.9  # of the outcomes lie within a range
FEWEST = 8  # items of the model itself, below which those of other models are taken too
MOST_ITEMS, MOST_RUNS = 400, 60  # of the past, the latest first
NO_ANSWER = 16  # tokens of output below which an item got no answer to speak of
DRAWS = 2000
_VALUES = 100_000  # drawn at most, which bounds the time that a large batch takes

# An item that nothing is known of: (median, spread as a factor) of its calls, input tokens for each token of the
# requests that every item makes, output tokens and seconds, by mode.  It is rough and counts as `_PRIOR_ROWS` items.
_PRIOR: Mapping[str, tuple[tuple[float, float], ...]] = {
    "simple": ((1.2, 1.25), (1.2, 1.25), (700, 1.5), (15, 1.6)),
    "rag": ((1.2, 1.25), (1.2, 1.25), (700, 1.5), (15, 1.6)),
    "multi_agent": ((3.3, 1.25), (1.2, 1.25), (1500, 1.5), (30, 1.6)),
}
# What is no language model hardly errs, writes less and answers at once; only Dify's engine takes it time.
_OFFLINE_PRIOR: Mapping[str, tuple[tuple[float, float], ...]] = {
    "simple": ((1.0, 1.25), (1.0, 1.25), (350, 1.5), (0.5, 2.0)),
    "rag": ((1.0, 1.25), (1.0, 1.25), (350, 1.5), (0.5, 2.0)),
    "multi_agent": ((3.0, 1.25), (1.0, 1.25), (550, 1.5), (0.6, 2.0)),
}
_PRIOR_ROWS = 8.0
_PRIOR_SLOPES = (0.0, 0.0, 0.5, 0.3)  # of the logarithms on that of the size
_BYTES_A_TOKEN = 4
_TYPICAL_BYTES = {"simple": 600, "rag": 7000, "multi_agent": 600}  # of a requirement, and of patterns shown with it
_FEWEST_CALLS = {"simple": 1, "rag": 1, "multi_agent": 3}
_SMALLEST_BYTES = 20
_VARIANCES = {
    "all": 0.5,
    "size": 1.0,
    "model": 1.0,
    "run": 1.0,
    "task": 1.0,
    "target": 1.0,
}  # multiples of the residual's
_GRID = (0.05, 0.25, 1.0, 4.0)  # of these, for runs and tasks

Bound = Literal["concurrency", "requests", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A batch to be made.  ``sizes`` are bytes of the first request of each item, or of a sample of ``items``.

    ``frame`` is what of them is the same in all of its mode: the prompt around the requirement; ``later`` counts
    the same bytes of the requests that every item makes after its first.  ``tasks`` names for each size the task it
    belongs to, None where it stands alone.
    """

    model: str
    mode: str
    items: int
    sizes: tuple[int, ...]
    tasks: tuple[str | None, ...]
    frame: int
    later: int = 0

    def whole(self, size: int) -> int:
        """Bytes of all requests that every item makes, of its first; each repeats what is asked."""
        return size + self.later + (_FEWEST_CALLS[self.mode] - 1) * max(0, size - self.frame)

    @property
    def prior(self) -> tuple[tuple[float, float], ...]:
        """Median and spread of each target where nothing is known."""
        return (_OFFLINE_PRIOR if _offline(self.model) else _PRIOR)[self.mode]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast the batch may go: items at once, and requests and tokens a minute (None: no limit known)."""

    concurrency: int = 8
    requests: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The median, and what 5 and 95 of 100 outcomes stay below."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a batch will take.  ``cost_usd`` is None when a price is not known, ``seconds`` where nobody gave a speed.

    ``work_s`` adds up what the items take without waiting for the throttle.  ``past`` items of ``runs`` runs taught
    it, ``own`` of the same model.  ``bound`` says what the time comes from: mostly a limit, or what runs at once.
    """

    items: int
    calls: Range
    input_tokens: Range
    output_tokens: Range
    tokens: Range
    cost_usd: Range | None
    work_s: Range
    seconds: Range | None
    bound: Bound | None
    past: int
    own: int
    runs: int


def forecast(
    history: Sequence[PastItem], asked: Asked, *, rates: Rates | None = None, speed: Speed | None = None, seed: int = 0
) -> Forecast:
    """From what the ledger says of items of the same mode; ``rates`` are USD a token, None when unknown."""
    past = relevant(history, asked)
    totals = _totals(past, asked, np.random.default_rng(seed))
    calls, tokens_in, tokens_out, work = totals.T
    cost = None
    if rates is not None:
        cached = sum(item.cached_tokens for item in past) / max(1, sum(item.input_tokens for item in past))
        a_token_in = float(rates.input) * (1 - cached) + float(rates.cache_read) * cached
        cost = calls * float(rates.request) + tokens_in * a_token_in + tokens_out * float(rates.output)
    seconds, bound = _wall(totals, asked.items, speed) if speed is not None else (None, None)
    return Forecast(
        items=asked.items,
        calls=_range(calls),
        input_tokens=_range(tokens_in),
        output_tokens=_range(tokens_out),
        tokens=_range(tokens_in + tokens_out),
        cost_usd=None if cost is None else _range(cost),
        work_s=_range(work),
        seconds=None if seconds is None else _range(seconds),
        bound=bound,
        past=len(past),
        own=sum(item.model == asked.model for item in past),
        runs=len({item.run_id for item in past}),
    )


def relevant(history: Sequence[PastItem], asked: Asked) -> list[PastItem]:
    """The latest items to learn from: of this model, and, where they are few, of other models in the same mode.

    What is no language model teaches nothing of one, nor one of it.
    """
    similar = [one for one in history if one.mode == asked.mode and _offline(one.model) == _offline(asked.model)]
    own = [one for one in similar if one.model == asked.model]
    kept: list[PastItem] = []
    of_run: dict[str, int] = {}
    for one in reversed(own if len(own) >= FEWEST else similar):
        if len(kept) == MOST_ITEMS or (one.run_id not in of_run and len(of_run) == MOST_RUNS):
            break
        of_run[one.run_id] = of_run.get(one.run_id, 0) + 1
        if of_run[one.run_id] <= MOST_OF_A_RUN:
            kept.append(one)
    return kept


def _offline(model: str) -> bool:
    return model == "offline"


def _totals(past: Sequence[PastItem], asked: Asked, chance: np.random.Generator) -> Matrix:
    """Calls, input tokens, output tokens and seconds of the whole batch, one row a draw."""
    answered = [one for one in past if one.output_tokens >= NO_ANSWER]
    columns = _Columns(answered, asked)
    design = columns.rows([(one.model, one.run_id, one.task, one.first_bytes) for one in answered])
    new = columns.rows([(asked.model, None, task, size) for task, size in zip(asked.tasks, asked.sizes, strict=True)])
    number = len(asked.sizes)
    times = max(400, min(DRAWS, _VALUES // number))
    medians = [np.log(median) for median, _ in asked.prior]
    targets = _targets(answered, asked).T - np.array(medians)[:, None]
    drawn: list[Matrix] = []
    for k, target in enumerate(targets):  # each given those before it: what takes more calls takes more tokens
        whole = np.column_stack([design, *targets[:k]])
        fit = Regression(whole, target, columns.prior(k), columns.grid(k))
        drawn.append(np.clip(fit.draw(new, drawn, times, chance), -20, 20))
    calls, tokens_in, tokens_out, seconds = (np.exp(drawn[k] + medians[k]) for k in range(4))
    calls = np.maximum(np.rint(calls), _FEWEST_CALLS[asked.mode])
    silent = chance.beta(0.1 + len(past) - len(answered), 5 + len(answered), times)
    tokens_out *= chance.random((times, number)) >= silent[:, None]
    tokens_in *= np.array([asked.whole(size) for size in asked.sizes]) / _BYTES_A_TOKEN
    totals = np.column_stack([values.sum(axis=1) for values in (calls, tokens_in, tokens_out, seconds)])
    return totals * asked.items / number


def _targets(items: Sequence[PastItem], asked: Asked) -> Matrix:
    """Logarithms of calls, input tokens for each token that every item sends, output tokens and seconds."""
    values = [
        (
            one.calls,
            max(1, one.input_tokens) * _BYTES_A_TOKEN / asked.whole(one.first_bytes),
            one.output_tokens,
            one.seconds,
        )
        for one in items
    ]
    return np.log(np.array(values, dtype=np.float64).reshape(-1, 4))


class _Columns:
    """The columns of the design: for all, the size, and one for each model, run and task; the batch is a new run."""

    def __init__(self, items: Sequence[PastItem], asked: Asked) -> None:
        self._asked = asked
        self._grouped = _grouped(items)
        names: dict[tuple[str, str | None], int] = {("all", None): 0, ("size", None): 1}
        for kind, name in self._names([(asked.model, None, task) for task in asked.tasks]):
            names.setdefault((kind, name), len(names))
        for kind, name in self._names([(one.model, one.run_id, one.task) for one in items]):
            names.setdefault((kind, name), len(names))
        self._place = names

    def _names(self, rows: Sequence[tuple[str, str | None, str | None]]) -> Iterator[tuple[str, str | None]]:
        for model, run, task in rows:
            yield "model", model
            yield "run", run
            if self._grouped and task is not None:
                yield "task", task

    def rows(self, rows: Sequence[tuple[str, str | None, str | None, int]]) -> Matrix:
        """The design of items: (model, run, task, bytes of the first request)."""
        design = np.zeros((len(rows), len(self._place)))
        for k, (model, run, task, size) in enumerate(rows):
            design[k, 0] = 1
            design[k, 1] = np.log(max(size - self._asked.frame, _SMALLEST_BYTES) / _TYPICAL_BYTES[self._asked.mode])
            for name in self._names([(model, run, task)]):
                design[k, self._place[name]] = 1
        return design

    def prior(self, target: int) -> Prior:
        """As `_PRIOR` states it for one of the targets; those before it are columns behind the others."""
        factor = self._asked.prior[target][1]
        coefficients = np.zeros(len(self._place) + target)
        coefficients[1] = _PRIOR_SLOPES[target]
        variances = np.array([_VARIANCES[kind] for kind in self._kinds(target)])
        return Prior(coefficients=coefficients, variances=variances, spread=float(np.log(factor)), rows=_PRIOR_ROWS)

    def grid(self, target: int) -> list[Matrix]:
        """Factors of the variances: how much runs differ, and how much tasks do."""
        kinds = np.array(self._kinds(target))
        return [
            np.where(kinds == "run", of_runs, np.where(kinds == "task", of_tasks, 1.0))
            for of_runs in _GRID
            for of_tasks in (_GRID if self._grouped else (1.0,))
        ]

    def _kinds(self, target: int) -> list[str]:
        return [kind for kind, _ in self._place] + ["target"] * target


def _grouped(items: Sequence[PastItem]) -> bool:
    """Whether tasks can be told from runs: some run has several, or some task was in several runs."""
    pairs = {(one.run_id, one.task) for one in items if one.task is not None}
    return len({run for run, _ in pairs}) < len(pairs) or len({task for _, task in pairs}) < len(pairs)


def _wall(totals: Matrix, items: int, speed: Speed) -> tuple[Matrix, Bound]:
    """Seconds from start to end: what runs at once, or waits for a window of a minute after those before are full."""
    calls, tokens, work = totals[:, 0], totals[:, 1] + totals[:, 2], totals[:, 3]
    mean = work / items
    ways: dict[Bound, Matrix] = {"concurrency": np.maximum(work / min(speed.concurrency, items), mean)}
    if speed.requests:
        ways["requests"] = 60 * (np.ceil(calls / speed.requests) - 1) + mean
    if speed.tokens:
        ways["tokens"] = 60 * (np.ceil(tokens / speed.tokens) - 1) + mean
    longest: Matrix = np.stack(list(ways.values())).max(axis=0)
    return longest, max(ways, key=lambda way: float(np.median(ways[way])))


def _range(values: Matrix) -> Range:
    low, middle, high = np.quantile(values, [(1 - COVERED) / 2, 0.5, (1 + COVERED) / 2])
    return Range(float(low), float(middle), float(high))
