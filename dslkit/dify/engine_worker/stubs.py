"""What answers in a dry run instead of models, tools, servers and sandboxes.  Nothing here leaves the process."""

# mypy: ignore-missing-imports

# ruff: noqa: D102, ARG002 -- graphon's protocols say what each method and argument is for
from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from graphon.file.models import File
from graphon.http.response import HttpResponse
from graphon.model_runtime.entities.common_entities import I18nObject
from graphon.model_runtime.entities.llm_entities import (
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
    LLMUsage,
)
from graphon.model_runtime.entities.message_entities import AssistantPromptMessage, PromptMessage
from graphon.model_runtime.entities.model_entities import AIModelEntity, FetchFrom, ModelFeature, ModelType
from graphon.nodes.tool_runtime_entities import ToolRuntimeHandle, ToolRuntimeMessage, ToolRuntimeParameter

from .samples import KEY, TEXT, sample_file, sample_of_schema, sample_value

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

ANSWER: Final = "A sample answer."
_FEATURES: Final = [
    ModelFeature.VISION,
    ModelFeature.DOCUMENT,
    ModelFeature.VIDEO,
    ModelFeature.AUDIO,
    ModelFeature.STRUCTURED_OUTPUT,
]


class StubModel:
    """A chat model that sees everything and says what ``answer`` says; follows any JSON Schema it is given."""

    def __init__(self, data: Mapping[str, Any], answer: Callable[[], str] = lambda: ANSWER) -> None:
        """Take the data of the node whose model it is, and what that model says."""
        model = data["model"] if isinstance(data.get("model"), Mapping) else {}
        self.provider = str(model.get("provider") or "")
        self.model_name = str(model.get("name") or "")
        self.parameters: Mapping[str, Any] = dict(model.get("completion_params") or {})
        self.stop: Sequence[str] | None = None
        self._answer = answer

    def get_model_schema(self) -> AIModelEntity:
        return AIModelEntity(
            model=self.model_name,
            label=I18nObject(en_US=self.model_name),
            model_type=ModelType.LLM,
            features=_FEATURES,
            fetch_from=FetchFrom.PREDEFINED_MODEL,
            model_properties={},
        )

    def get_llm_num_tokens(self, prompt_messages: Sequence[PromptMessage]) -> int:
        return len(prompt_messages)

    def invoke_llm(self, *, stream: bool, **_: Any) -> Any:
        if stream:
            return self._stream()
        message = AssistantPromptMessage(content=self._answer())
        return SimpleNamespace(message=message, usage=LLMUsage.empty_usage(), model=self.model_name)

    def _stream(self) -> Generator[LLMResultChunk, None, None]:
        yield LLMResultChunk(model=self.model_name, delta=_delta(self._answer()))

    def invoke_llm_with_structured_output(self, *, json_schema: Mapping[str, Any], **_: Any) -> Any:
        value = sample_of_schema(json_schema)
        yield LLMResultChunkWithStructuredOutput(
            model=self.model_name, delta=_delta(json.dumps(value, default=str)), structured_output=value
        )

    def is_structured_output_parse_error(self, _error: Exception) -> bool:
        return False


def _delta(text: str) -> LLMResultChunkDelta:
    return LLMResultChunkDelta(
        index=0, message=AssistantPromptMessage(content=text), usage=LLMUsage.empty_usage(), finish_reason="stop"
    )


class StubFileSaver:
    """Keeps nothing: the stub model answers in text."""

    def save_binary_string(self, *_: Any, **__: Any) -> File:
        return sample_file()

    def save_remote_url(self, *_: Any, **__: Any) -> File:
        return sample_file()


class StubSerializer:
    """Prompts are not kept: nobody reads a dry run's process data."""

    def serialize(self, **_: Any) -> object:
        return []


class StubFileRuntime:
    """Files go into prompts by address, so that their bytes are never wanted."""

    multimodal_send_format = "url"

    def resolve_file_url(self, *, file: File, for_external: bool = True) -> str:
        return str(file.remote_url)

    def load_file_bytes(self, *, file: File) -> bytes:
        return TEXT.encode()

    def http_get(self, url: str, *, follow_redirects: bool = True) -> HttpResponse:
        return HttpResponse(status_code=200, content=TEXT.encode(), fallback_text=TEXT)


class StubFileManager:
    """Bytes of a file for an HTTP body."""

    def download(self, _file: File, /) -> bytes:
        return TEXT.encode()


class StubHttpClient:
    """Answers every request with a small JSON object."""

    max_retries_exceeded_error = RuntimeError
    request_error = RuntimeError

    def _answer(self, url: str, **_: Any) -> HttpResponse:
        body = json.dumps({KEY: TEXT})
        headers = {"content-type": "application/json"}
        return HttpResponse(status_code=200, headers=headers, content=body.encode(), url=url, fallback_text=body)

    get = head = post = put = delete = patch = options = _answer


class StubCodeExecutor:
    """Gives values of the declared output types; the code itself is never run."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self._outputs = outputs

    def execute(self, **_: Any) -> Mapping[str, Any]:
        return {name: _code_value(output) for name, output in self._outputs.items()}

    def is_execution_error(self, _error: Exception) -> bool:
        return False


def _code_value(output: Any) -> Any:
    children = output.children
    if children and str(output.type) == "object":
        return {name: _code_value(child) for name, child in children.items()}
    if children and str(output.type) == "array[object]":
        return [{name: _code_value(child) for name, child in children.items()} for _ in range(2)]
    return sample_value(str(output.type))


class StubToolRuntime:
    """A tool that takes any parameter and gives a text, a JSON object, a file and whatever it declares."""

    def __init__(self, outputs: Mapping[str, str]) -> None:
        self._outputs = {name: kind for name, kind in outputs.items() if name not in ("text", "json", "files")}

    def get_runtime(self, *, node_data: Any, **_: Any) -> ToolRuntimeHandle:
        return ToolRuntimeHandle(raw=node_data)

    def get_runtime_parameters(self, *, tool_runtime: ToolRuntimeHandle) -> Sequence[ToolRuntimeParameter]:
        names: Mapping[str, Any] = tool_runtime.raw.tool_parameters  # the node data that get_runtime put there
        return [ToolRuntimeParameter(name=name) for name in names]

    def invoke(self, **_: Any) -> Generator[ToolRuntimeMessage, None, None]:
        kinds = ToolRuntimeMessage.MessageType
        yield ToolRuntimeMessage(type=kinds.TEXT, message=ToolRuntimeMessage.TextMessage(text=TEXT))
        yield ToolRuntimeMessage(type=kinds.JSON, message=ToolRuntimeMessage.JsonMessage(json_object={KEY: TEXT}))
        yield ToolRuntimeMessage(
            type=kinds.FILE, message=ToolRuntimeMessage.FileMessage(), meta={"file": sample_file()}
        )
        for name, kind in self._outputs.items():
            message = ToolRuntimeMessage.VariableMessage(variable_name=name, variable_value=_plain(sample_value(kind)))
            yield ToolRuntimeMessage(type=kinds.VARIABLE, message=message)

    def get_usage(self, **_: Any) -> LLMUsage:
        return LLMUsage.empty_usage()

    def build_file_reference(self, **_: Any) -> File:
        return sample_file()


def _plain(value: Any) -> Any:
    """A tool's variables are JSON; its files go another way."""
    return TEXT if isinstance(value, File) else value


class StubToolFiles:
    """Tool files are never made."""

    def create_file_by_raw(self, **_: Any) -> File:
        return sample_file()

    def get_file_generator_by_tool_file_id(self, _tool_file_id: str) -> tuple[None, File]:
        return None, sample_file()
