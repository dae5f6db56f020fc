"""The tools that a plan knows by a name of its own, and the marketplace plugins they and the models come from.

Identifiers are those that published Dify exports name (plugin:version@checksum).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_MODEL: Final[Mapping[str, Any]] = {
    "provider": "langgenius/openai/openai",
    "name": "gpt-4o-mini",
    "mode": "chat",
    "completion_params": {"temperature": 0.7},
}

PLUGINS: Final[Mapping[str, str]] = {
    "langgenius/openai": "langgenius/openai:0.2.5@373362a028986aae53a7baf73a7f11991ba3c22c69eaf97d6cde048cfd4a9f98",
    "sawyer-shi/tongyi_aigc": (
        "sawyer-shi/tongyi_aigc:0.0.1@01f2e5f8c3226e1bab678eed70baef4503d46aabf96c767ba58eaa48a6a8e290"
    ),
    "bowenliang123/md_exporter": (
        "bowenliang123/md_exporter:2.2.0@9f39c2c2c1cd09180e2cc053090adc9886019483f502727467f136712b8b9639"
    ),
    "hjlarry/mermaid_converter": (
        "hjlarry/mermaid_converter:0.0.1@46e755f0d92566a1f7a6e85086eac02a735afaa41479e7a2277b150abda70b18"
    ),
    "langgenius/echarts": "langgenius/echarts:0.0.1@e390de4320a5ab32ef24899983f84c31aa39e4690c7b294be11f2c10268c3a68",
    "langgenius/google": "langgenius/google:0.1.0@c73cdc3dda5de500974ece93ce38eb6fc6bbf1399d38f1dbbbd70745ce154d0e",
}

BUILTIN_PROVIDERS: Final = frozenset({"audio", "code", "time", "webscraper"})  # part of Dify itself

EXPORT_FORMATS: Final = frozenset(
    {"md", "pdf", "docx", "html", "html_text", "xlsx", "csv", "png", "svg", "pptx", "ipynb", "json", "xml", "latex",
     "mermaid", "epub", "linked_image", "codeblock", "rst"}
)  # fmt: skip
CHART_TOOLS: Final[Mapping[str, str]] = {"line": "line_chart", "bar": "bar_chart", "pie": "pie_chart"}


@dataclass(frozen=True, slots=True)
class ToolKind:
    """A tool by its plan name.  ``parameters`` maps the plan's parameters to the tool's own."""

    plan_type: str
    title: str
    provider: str
    tool: str
    parameters: Mapping[str, str]
    configurations: Mapping[str, Any] = field(default_factory=dict)
    gives: str = "files"

    @property
    def plugin(self) -> str | None:
        """The marketplace plugin it comes from; None for a part of Dify."""
        return "/".join(self.provider.split("/")[:2]) if "/" in self.provider else None


_KINDS: Final = (
    ToolKind("tts", "Text to Speech", "audio", "tts", {"text": "text"}, {"model": "langgenius/openai/openai#tts-1"}),
    ToolKind(
        "text2image",
        "Text to Image",
        "sawyer-shi/tongyi_aigc/tongyi_aigc",
        "z_image_text_2_image",
        {"image_prompt": "prompt"},
        {"model": "z-image-turbo", "size": "1024*1024", "seed": "", "prompt_extend": False},
    ),
    ToolKind(
        "mermaid-converter",
        "Mermaid Converter",
        "hjlarry/mermaid_converter/mermaid_converter",
        "mermaid_converter",
        {"mermaid_code": "mermaid_code"},
        {"output_format": "png", "theme": "default"},
    ),
    ToolKind(
        "markdown-exporter",
        "Markdown Exporter",
        "bowenliang123/md_exporter/md_exporter",
        "md_to_{target_type}",
        {"md_text": "md_text"},
    ),
    ToolKind(
        "google-search", "Google Search", "langgenius/google/google", "google_search", {"query": "query"}, gives="json"
    ),
    ToolKind(
        "echarts",
        "ECharts",
        "langgenius/echarts/echarts",
        "{chart_type}",
        {"chart_title": "title", "data": "data", "x_axisORcategories": "x_axis"},
        gives="text",
    ),
)

TOOLS: Final[Mapping[str, ToolKind]] = {kind.plan_type: kind for kind in _KINDS}
_BY_PROVIDER: Final = {kind.provider: kind for kind in _KINDS}


def tool_kind(data: Mapping[str, Any]) -> ToolKind | None:
    """The plan's name of a Dify tool node, by its provider; None for a tool without one."""
    for key in ("provider_id", "provider_name"):
        provider = data.get(key)
        kind = _BY_PROVIDER.get(provider) if isinstance(provider, str) else None
        if kind and (kind.plan_type != "tts" or data.get("tool_name") == "tts"):
            return kind
    return None


def plugin_of(provider: object) -> str | None:
    """The plugin of a provider ``author/plugin/provider``; None for short, built-in names."""
    parts = provider.split("/") if isinstance(provider, str) else []
    return "/".join(parts[:2]) if len(parts) == 3 and all(parts) else None  # noqa: PLR2004 author, plugin, provider


def plugins_of(data: Mapping[str, Any]) -> list[str]:
    """The plugins that a node's tool and model come from."""
    model = data.get("model")
    providers = (data.get("provider_id"), model.get("provider") if isinstance(model, Mapping) else None)
    return [plugin for provider in providers if (plugin := plugin_of(provider))]


def dependency(plugin: str) -> dict[str, Any] | None:
    """The document's entry for a plugin from the marketplace; None when its identifier is not known."""
    identifier = PLUGINS.get(plugin)
    if identifier is None:
        return None
    return {
        "current_identifier": None,
        "type": "marketplace",
        "value": {"marketplace_plugin_unique_identifier": identifier},
    }
