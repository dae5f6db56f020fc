"""Whose call it is: set around a piece of work, read by the transport for every attempt made inside it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from dslkit.records import Attribution, Priority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOBODY = Attribution()
_current: ContextVar[Attribution] = ContextVar("dslkit_attribution", default=_NOBODY)


def current() -> Attribution:
    """The attribution of calls made here and now; that of nobody outside any ``attributed`` block."""
    return _current.get()


@contextmanager
def attributed(
    *,
    run_id: str | None = None,
    item_id: str | None = None,
    stage: str | None = None,
    tags: Mapping[str, str] | None = None,
    priority: Priority | None = None,
) -> Iterator[Attribution]:
    """Attribute the calls made inside; what is not given is inherited from the block around, tags are merged."""
    outer = _current.get()
    inner = Attribution(
        run_id=run_id or outer.run_id,
        item_id=item_id or outer.item_id,
        stage=stage or outer.stage,
        tags={**outer.tags, **(tags or {})},
        priority=priority or outer.priority,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)
