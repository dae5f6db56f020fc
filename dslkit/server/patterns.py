"""Routes to the workflow patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.dify.workflow import Workflow
from dslkit.errors import UsageError
from dslkit.knowledge.patterns import Pattern
from dslkit.server.models import (
    ForeignPattern,
    OwnPattern,
    PatternAdded,
    PatternIn,
    PatternList,
    PatternMatch,
    PatternOut,
    RecommendAnswer,
    RecommendQuery,
    SearchAnswer,
    SearchQuery,
    Statistics,
)
from dslkit.server.problems import ProblemError
from dslkit.server.routes import Request, Route

if TYPE_CHECKING:
    from dslkit.knowledge.library import Match

_ROOT = "/api/v1/patterns"


def _shown(pattern: Pattern, *, plan: bool = False) -> PatternOut:
    return PatternOut(
        id=pattern.id,
        title=pattern.title,
        description=pattern.description,
        tags=list(pattern.tags),
        mode=pattern.mode,
        node_types=list(pattern.node_types),
        plan=dict(pattern.plan) if plan else None,
    )


def _matched(match: Match) -> PatternMatch:
    return PatternMatch(**_shown(match.pattern).model_dump(), score=round(match.score, 4))


async def _list(request: Request) -> PatternList:
    found = await request.service.knowing(lambda known: known.list())
    return PatternList(total_patterns=len(found), patterns=[_shown(pattern) for pattern in found])


async def _search(request: Request) -> SearchAnswer:
    asked: SearchQuery = request.query
    found = await request.service.knowing(lambda known: known.search(asked.query, asked.n_results))
    return SearchAnswer(query=asked.query, n_results=len(found), patterns=[_matched(match) for match in found])


async def _recommend(request: Request) -> RecommendAnswer:
    asked: RecommendQuery = request.query
    found = (await request.service.knowing(lambda known: known.recommend(asked.description)))[: asked.n_results]
    matches = [_matched(match) for match in found]
    return RecommendAnswer(description=asked.description, n_results=len(found), recommendations=matches)


async def _statistics(request: Request) -> Statistics:
    return Statistics.model_validate(await request.service.knowing(lambda known: known.statistics()))


async def _get(request: Request) -> PatternOut:
    wanted = request.path["pattern_id"]
    for pattern in await request.service.knowing(lambda known: known.list()):
        if pattern.id == wanted:
            return _shown(pattern, plan=True)
    raise ProblemError(404, "No such pattern; /api/v1/patterns/list shows all.")


async def _add(request: Request) -> PatternAdded:
    pattern = _pattern(request.body.root)
    try:
        remark, _ = await request.service.knowing(lambda known: (known.behind(pattern.id), known.add(pattern)))
    except UsageError as error:
        raise ProblemError(422, str(error)) from None
    return PatternAdded(pattern_id=pattern.id, message=f"Added; {remark}." if remark else "Added.")


def _pattern(given: OwnPattern | ForeignPattern) -> Pattern:
    if isinstance(given, OwnPattern):
        return Pattern(**{**given.model_dump(), "tags": tuple(given.tags)})
    about = given.metadata
    try:
        plan = Workflow(given.workflow, ()).plan().model_dump(mode="json", exclude_none=True)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise ProblemError(422, "workflow: not a Dify app with a graph; /api/v1/dify/validate says more.") from None
    return Pattern(
        id=about.pattern_id,
        title=about.name,
        description=" ".join([about.description, *about.use_cases]),
        tags=tuple(about.tags),
        mode=given.mode,
        plan=plan,
    )


async def _delete(request: Request) -> PatternAdded:
    wanted = request.path["pattern_id"]
    known = {pattern.id for pattern in await request.service.knowing(lambda known: known.list())}
    if wanted not in known:
        raise ProblemError(404, "No such pattern; /api/v1/patterns/list shows all.")
    try:
        await request.service.knowing(lambda known: known.delete(wanted))
    except UsageError as error:
        raise ProblemError(409, str(error)) from None
    return PatternAdded(pattern_id=wanted, message="Deleted.")


ROUTES = (
    Route("get", f"{_ROOT}/list", _list, "All patterns", PatternList),
    Route("get", f"{_ROOT}/search", _search, "Patterns nearest in meaning", SearchAnswer, query=SearchQuery),
    Route(
        "get",
        f"{_ROOT}/recommend",
        _recommend,
        "Up to three patterns to start from",
        RecommendAnswer,
        query=RecommendQuery,
    ),
    Route("get", f"{_ROOT}/statistics", _statistics, "Counts of patterns", Statistics),
    Route("post", f"{_ROOT}/add", _add, "Add a pattern", PatternAdded, body=PatternIn),
    Route("get", f"{_ROOT}/{{pattern_id}}", _get, "One pattern with its plan", PatternOut, problems=(404,)),
    Route(
        "delete", f"{_ROOT}/{{pattern_id}}", _delete, "Delete a pattern of your own", PatternAdded, problems=(404, 409)
    ),
)
