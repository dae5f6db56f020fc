"""Values of which a dry run knows nothing."""

# mypy: disable-error-code="override, assignment, misc"
# The base class forbids all that a value is used for, and so types it; to allow it is the point.
# ruff: noqa: D102 -- all of them are operators
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from .samples import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


def _one(*_: object) -> int:
    return 1


class _AnyNumber:
    """What is the number 1 wherever a number is wanted."""

    __slots__ = ()

    def __int__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def __index__(self) -> int:
        return 1

    def __round__(self, digits: int | None = None) -> float:
        return round(1.0, digits)

    __radd__ = __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _one
    __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = _one


class Unknown(_AnyNumber, jinja2.ChainableUndefined):
    """A field of an invented object: the dry run cannot know it, so it may be used as a text, a number or an object."""

    __slots__ = ()

    def __str__(self) -> str:
        return "sample"

    def __html__(self) -> str:
        return "sample"

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __call__(self, *_: object, **__: object) -> Unknown:
        return self

    def _false(self, _: object) -> bool:
        return False

    __add__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _one
    __lt__ = __le__ = __gt__ = __ge__ = _false


class LooseText(_AnyNumber, str):
    """The value in an object of unknown shape: a text that is a number where a number is wanted."""

    __slots__ = ()


def loosened(value: Any) -> Any:
    """A value for a template, with the fields of objects of unknown shape made loose."""
    if isinstance(value, dict):
        loose = KEY in value
        return {key: LooseText(v) if loose and isinstance(v, str) else loosened(v) for key, v in value.items()}
    return [loosened(each) for each in value] if isinstance(value, list) else value
