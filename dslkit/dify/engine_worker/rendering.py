"""Jinja2 as Dify's templates use it, in a sandbox that cannot reach Python, run for ever or fill the memory."""

# mypy: ignore-missing-imports, allow-subclassing-any
from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import jinja2
from graphon.template_rendering import Jinja2TemplateRenderer, TemplateRenderError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .unknown import Unknown, loosened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

MAX_SECONDS: Final = 1.5
MAX_OUTPUT: Final = 2_000_000
MAX_OPERAND: Final = 200_000
MAX_EXPONENT: Final = 1_000


class TooMuchError(jinja2.TemplateError):
    """The template asks for more time or memory than a dry run gives."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Names must be defined; fields of objects need not be; powers and repetitions are bounded."""

    intercepted_binops = frozenset({"**", "*", "%"})

    def __init__(self) -> None:
        super().__init__(autoescape=False, undefined=jinja2.StrictUndefined)
        self.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": str, "ensure_ascii": False}
        self.policies["json.dumps_function"] = json.dumps

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._known(super().getattr(obj, attribute), obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._known(super().getitem(obj, argument), obj, argument)

    def _known(self, value: Any, obj: Any, name: object) -> Any:
        missing = isinstance(value, jinja2.StrictUndefined) and value._undefined_exception is jinja2.UndefinedError  # noqa: SLF001 -- a refusal of the sandbox must stay one
        return Unknown(obj=obj, name=str(name)) if missing and not isinstance(obj, jinja2.StrictUndefined) else value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (_size(left) > MAX_OPERAND or abs(_size(right)) > MAX_EXPONENT):
            raise TooMuchError(f"the power {operator} is too large for a dry run")
        if operator == "*" and (_repeats(left, right) or _repeats(right, left)):
            raise TooMuchError("the repetition is too long for a dry run")
        if operator == "%" and isinstance(left, str) and any(len(digits) > 5 for digits in _widths(left)):  # noqa: PLR2004 -- digits
            raise TooMuchError("the field width is too large for a dry run")
        return super().call_binop(context, operator, left, right)


def _size(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def _repeats(sequence: object, times: object) -> bool:
    return isinstance(sequence, str | list | tuple) and isinstance(times, int) and len(sequence) * times > MAX_OPERAND


def _widths(text: str) -> list[str]:
    return "".join(character if character.isdigit() else " " for character in text).split()


class BoundedRenderer(Jinja2TemplateRenderer):
    """Replaces graphon's own renderer, whose environment is not sandboxed."""

    def __init__(self, announce: Callable[[], None] = lambda: None) -> None:
        self._announce = announce

    def render_template(self, template: str, variables: Mapping[str, Any]) -> str:
        """Render; raise TemplateRenderError on any fault of the template, excess included."""
        self._announce()
        try:
            return _render(template, variables)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateRenderError(f"{type(error).__name__}: {error}") from error
        except RecursionError as error:
            raise TemplateRenderError("RecursionError: the template calls itself too deeply") from error
        except MemoryError as error:
            raise TemplateRenderError("MemoryError: the template needs more memory than a dry run gives") from error


def _render(template: str, variables: Mapping[str, Any]) -> str:
    stream = _Sandbox().from_string(template).generate(**{name: loosened(value) for name, value in variables.items()})
    pieces, length = [], 0
    previous = sys.gettrace()
    sys.settrace(_deadline(time.monotonic() + MAX_SECONDS))
    try:
        for piece in stream:
            length += len(piece)
            if length > MAX_OUTPUT:
                raise TooMuchError(f"the output is longer than {MAX_OUTPUT:,} characters")
            pieces.append(piece)
    finally:
        sys.settrace(previous)
    return "".join(pieces)


def _deadline(end: float) -> Callable[[FrameType, str, object], Any]:
    """A trace function that stops Python code, such as a Jinja loop, once the time is over."""

    def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
        if time.monotonic() > end:
            raise TooMuchError(f"still rendering after {MAX_SECONDS} s")
        return trace

    return trace
