"""Answers of items that are not finished yet: a batch that was killed finds them again and pays for none twice.

They lie in one folder per piece of work, below the home, and go when the item is done: from then on its file stands for
them, and asking again means asking the model.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from dslkit.llm.cache import AnswerStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from dslkit.llm.cache import Stored

_LOOK_AGAIN_S = 0.2
_work: ContextVar[str] = ContextVar("dslkit_work")


class ItemAnswers(AnswerStore):
    """A store whose keys begin with the work under way, so that one item's answers can be dropped together."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder_of_all = folder
        self._claims_folder = folder / "claims"
        self._claims = AnswerStore(self._claims_folder)

    @classmethod
    def below(cls, home: Path) -> ItemAnswers:
        """The store of a home."""
        return cls(home / "answers")

    @contextmanager
    def kept_for(self, work: str, turn: int) -> Iterator[None]:
        """Requests made inside belong to this piece of work, and to this turn of it.

        A later turn that happens to ask the same is meant to get another answer; the same turn of a later run is not.
        """
        token = _work.set(f"{work}/{turn}")
        try:
            yield
        finally:
            _work.reset(token)

    @asynccontextmanager
    async def claimed(self, work: str, *, waiting: Callable[[], object]) -> AsyncIterator[None]:
        """Be the only one on this machine at a piece of work; ``waiting`` is called when somebody else is at it.

        The claim of a process that dies is free at once.
        """
        while (claim := self._claims.lock(work)) is None:
            waiting()
            await asyncio.sleep(_LOOK_AGAIN_S)
        try:
            yield
        finally:
            self._claims.unlock(work, claim)

    def clear_claims(self) -> None:
        """Remove the claims of processes that were killed; those of the living are locked, and stay."""
        for left in self._claims_folder.glob("*/*.asking"):
            work = left.parent.name + left.stem
            if (claim := self._claims.lock(work)) is not None:
                self._claims.unlock(work, claim)

    def forget(self, work: str) -> None:
        """Drop the answers of a piece of work; none there is fine."""
        shutil.rmtree(self._folder_of_all / work, ignore_errors=True)

    def key(self, url: str, body: bytes) -> str:
        """The work under way, its turn, and the request's name."""
        return f"{_work.get()}/{super().key(url, body)}"

    def get(self, key: str) -> Stored | None:
        """The answer kept under ``key``."""
        store, name = self._of(key)
        return store.get(name)

    def put(self, key: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer; durable when this returns."""
        store, name = self._of(key)
        store.put(name, headers, body)

    def lock(self, key: str) -> int | None:
        """Become the one who asks the server for ``key``."""
        store, name = self._of(key)
        return store.lock(name)

    def unlock(self, key: str, file: int) -> None:
        """Let others ask again."""
        store, name = self._of(key)
        store.unlock(name, file)

    def _of(self, key: str) -> tuple[AnswerStore, str]:
        turn, _, name = key.rpartition("/")
        return AnswerStore(self._folder_of_all / turn), name
