"""Prompts are Jinja templates in ``prompts/``; a reply's parts stand between tags that the prompt names."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dslkit.dify import loose_json

if TYPE_CHECKING:
    from collections.abc import Iterable

# Sections of a prompt; what a user, a pattern or a model wrote must not be able to close one.
SECTIONS = ("requirement", "round", "patterns", "pattern", "brief", "outline", "findings", "reply", "current_plan")
_SECTION_TAG = re.compile(rf"<(?=/?(?:{'|'.join(SECTIONS)})\b)", re.IGNORECASE)


def render(template: str, **values: Any) -> str:
    """Fill one of the package's templates; a missing value is an error."""
    return _environment().get_template(f"{template}.jinja").render(**values).strip()


def tagged(reply: str, tag: str) -> str | None:
    """The text between the last ``<tag>`` and its end; to the end of the reply when it was cut short."""
    start = reply.rfind(f"<{tag}>")
    if start < 0:
        return None
    return reply[start + len(tag) + 2 :].split(f"</{tag}>", 1)[0].strip()


def tagged_object(reply: str, tag: str) -> dict[str, Any]:
    """The JSON object between tags, mended where its form is off; empty when there is none."""
    try:
        body = tagged(reply, tag) or reply
        found, _ = loose_json.read(body[max(body.find("{"), 0) :])  # a code fence or prose may stand before it
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def strings(value: object) -> tuple[str, ...]:
    """The non-empty texts in a list a model wrote; a text alone counts as a list of one."""
    entries: Iterable[object] = value if isinstance(value, list) else [value]
    return tuple(str(entry).strip() for entry in entries if isinstance(entry, str | int | float) and str(entry).strip())


@cache
def _environment() -> Environment:
    # Prompts are plain text for a model: HTML escaping would only corrupt them.
    environment = Environment(
        loader=PackageLoader("dslkit.agents", "prompts"),
        autoescape=False,  # noqa: S701 - no HTML is made of a prompt
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    environment.filters["fenced"] = lambda text: _SECTION_TAG.sub("‹", str(text))
    environment.filters["compact"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
