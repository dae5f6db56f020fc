"""What comes in and what goes out, as pydantic models: validation and the OpenAPI document come from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints

from dslkit.records import AppMode, Complexity, EngineStatus, Finding, Repair, Verdict

PATTERN_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
EventName = Literal["queued", "started", "stage", "retry", "done", "failed", "cancelled"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50_000)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]  # fits into a URL
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
PatternId = Annotated[str, StringConstraints(pattern=PATTERN_ID, max_length=80)]
Document = Annotated[dict[str, Any], Field(description="a Dify app, as its YAML export holds it")]


class Asked(BaseModel):
    """What a client sends: unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Preferences(Asked):
    """Wishes; what nobody knows here is passed over, as clients of the predecessor expect."""

    model_config = ConfigDict(extra="allow", strict=True)
    complexity: Complexity | None = None
    max_iterations: Annotated[int, Field(ge=0, le=10)] | None = Field(
        default=None, description="how often the quality agent may better the workflow"
    )


class GenerateRequest(Asked):
    """What the workflow should do."""

    description: Text = Field(description="what the workflow should do, in plain words")
    preferences: Preferences | None = None
    use_rag: bool = Field(default=True, description="`full` only: show the model similar patterns")
    app_mode: AppMode = "workflow"
    model: Short | None = Field(default=None, description="the setting DSLKIT_MODEL when not given")
    engine: bool = Field(default=True, description="run the workflow on Dify's engine, where it is installed")
    name: Short | None = Field(default=None, description="name of the app")


class GenerateQuery(BaseModel):
    """How to answer."""

    wait: bool = Field(default=True, description="answer when it is done; false: 202 and where to ask for it")


class Metadata(BaseModel):
    """About a generated workflow."""

    name: str
    description: str
    created_at: datetime
    version: str = "1.0.0"
    tags: list[str]
    complexity: Complexity | None
    node_count: int
    edge_count: int
    iteration_count: int


class GenerateAnswer(BaseModel):
    """A workflow and what is known of it."""

    workflow: Document
    yaml: str = Field(description="the same as the file that Dify imports")
    metadata: Metadata
    verdict: Verdict = Field(description="working: no error found, and run to its end on Dify's engine")
    engine: EngineStatus
    findings: list[Finding]
    repairs: list[Repair]
    suggestions: list[str] = Field(description="what to do about the findings")
    quality_score: float = Field(ge=0, le=100, description="half for working, half for nodes without findings")
    generation_time: float = Field(description="seconds")
    model: str
    run_id: str = Field(description="its run, item and calls in the ledger")
    request_id: str


class JobAccepted(BaseModel):
    """Work that was taken on."""

    id: str
    status: JobStatus
    location: str = Field(description="where to ask for it")
    events: str = Field(description="where it tells of its progress, as server-sent events")


class Event(BaseModel):
    """One step of a job."""

    event: EventName
    stage: str | None = Field(default=None, description="the agent that is asked")
    seconds: float = Field(description="since the job was taken on")


class JobState(BaseModel):
    """How far a job is; ``result`` when it is done, ``problem`` when it failed."""

    id: str
    status: JobStatus
    events: list[Event]
    result: GenerateAnswer | None = None
    problem: dict[str, Any] | None = None


class ServiceState(BaseModel):
    """What the generating processes are at."""

    workers: int
    running: int
    queued: int
    finished: int = Field(description="jobs whose result can still be asked for")
    model: str
    modes: list[str]


class UsageOf(BaseModel):
    """Sums over the calls of one model; unknown prices and usage are counted, never guessed."""

    total_requests: int
    total_tokens: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    estimated_cost_usd: float
    avg_tokens_per_request: float
    unknown_price_calls: int
    unknown_usage_calls: int
    unknown_outcome_calls: int
    unanswered_calls: int = Field(description="attempts that ended without an answer: what they cost is not known")


class UsageStats(UsageOf):
    """Sums over all calls since the last reset, of all processes that share the home."""

    total_prompt_tokens: int
    total_completion_tokens: int
    requests_by_model: dict[str, int]
    models: dict[str, UsageOf]
    tracking_since: datetime | None


class UsageAnswer(BaseModel):
    """Tokens and money."""

    usage_stats: UsageStats


class Done(BaseModel):
    """It was done."""

    status: Literal["success"] = "success"
    message: str


class PatternOut(BaseModel):
    """A pattern; ``plan`` is the workflow in short form."""

    id: str
    title: str
    description: str
    tags: list[str]
    mode: AppMode
    node_types: list[str]
    plan: dict[str, Any] | None = None


class PatternMatch(PatternOut):
    """A pattern and how near it is to what was asked (cosine, -1 to 1)."""

    score: float


class PatternList(BaseModel):
    """All patterns, without their plans."""

    total_patterns: int
    patterns: list[PatternOut]


class SearchQuery(BaseModel):
    """What to look for."""

    query: Phrase
    n_results: Annotated[int, Field(ge=1, le=100)] = 5


class SearchAnswer(BaseModel):
    """Patterns by nearness."""

    query: str
    n_results: int
    patterns: list[PatternMatch]


class RecommendQuery(BaseModel):
    """What the workflow should do."""

    description: Phrase
    n_results: Annotated[int, Field(ge=1, le=3)] = 3


class RecommendAnswer(BaseModel):
    """Up to three patterns to start from, each with something of its own."""

    description: str
    n_results: int
    recommendations: list[PatternMatch]


class Statistics(BaseModel):
    """Counts of patterns."""

    total: int
    shipped: int
    user: int
    by_tag: dict[str, int]
    by_node_type: dict[str, int]
    embedding: str


class PatternMetadata(BaseModel):
    """A pattern's description in the predecessor's form."""

    pattern_id: PatternId
    name: Short
    description: Text
    use_cases: list[str] = []
    tags: list[str] = []


class OwnPattern(BaseModel):
    """A pattern as its file holds it."""

    id: PatternId
    title: Short
    description: Text
    tags: list[str] = []
    mode: AppMode = "workflow"
    plan: dict[str, Any] = Field(description="the workflow in short form: nodes_info and edges")


class ForeignPattern(BaseModel):
    """A pattern as the predecessor's clients send it."""

    metadata: PatternMetadata
    workflow: Document
    mode: AppMode = "workflow"


class PatternIn(RootModel[OwnPattern | ForeignPattern]):
    """A pattern in its own form, with ``plan``; or in the predecessor's, with ``metadata`` and a Dify ``workflow``."""


class PatternAdded(Done):
    """Where it is found from now on."""

    pattern_id: str


class ValidateQuery(BaseModel):
    """How thorough to be."""

    engine: bool = Field(default=False, description="run it on Dify's engine, too")


class Counts(BaseModel):
    """The size of a workflow."""

    node_count: int
    edge_count: int
    node_types: list[str]


class ValidateAnswer(BaseModel):
    """Whether a workflow will do, and what is wrong with it."""

    valid: bool
    errors: list[str]
    warnings: list[str]
    stats: Counts
    verdict: Verdict
    quality_score: float = Field(ge=0, le=100, description="half for working, half for nodes without findings")
    engine: EngineStatus
    findings: list[Finding]


class ConvertQuery(BaseModel):
    """What to make of it."""

    name: Short = "Workflow"
    mode: AppMode = "workflow"


class Taken(BaseModel):
    """A document as it was taken in: repaired where no model is needed for it."""

    dsl: Document
    yaml: str
    findings: list[Finding]
    repairs: list[Repair]


class ConvertAnswer(Taken):
    """The same workflow as Dify document, as YAML and in short form."""

    plan: dict[str, Any]
    metadata: dict[str, Any]
    warnings: list[str]


class Features(BaseModel):
    """What a workflow makes use of."""

    has_iteration: bool
    has_conversation_variables: bool
    has_dependencies: bool


class ImportMetadata(BaseModel):
    """What a document says of itself."""

    app_name: str
    app_mode: str
    version: str
    node_count: int
    edge_count: int
    node_types: dict[str, int]
    features: Features


class ImportAnswer(Taken):
    """And what it says of itself."""

    metadata: ImportMetadata


class NodeType(BaseModel):
    """A kind of node."""

    name: str
    required: list[str] = Field(description="fields that the engine demands")
    container: bool
    branches: bool


class NodeTypes(BaseModel):
    """All kinds of node."""

    node_types: dict[str, NodeType]
    total: int
    version: str


class Info(BaseModel):
    """What this service is."""

    name: str
    version: str
    endpoints: dict[str, str]
    features: list[str]
    model: str
    rate_limit: dict[str, float] | None


class OpenApi(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")
    openapi: str


class Health(BaseModel):
    """It answers."""

    status: Literal["healthy"] = "healthy"


class Check(BaseModel):
    """One thing that must be right."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether work can be done."""

    status: Literal["ready", "not ready"]
    checks: dict[str, Check]
    checked_at: datetime


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(default=None, description="what is wrong, field by field")
