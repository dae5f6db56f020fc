"""The Chroma index of patterns: a cache that is built aside, renamed into place and never modified again.

Opening a Chroma folder writes to it, and several processes on one folder lose rows silently.  So the cached folder is
only ever copied: each index opens a private copy (350 KiB), which also serves a home that cannot be written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import chromadb
from chromadb.api.client import Client
from chromadb.config import Settings

from dslkit.knowledge.embedding import WordLlamaEmbedding, identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from dslkit.knowledge.patterns import Pattern

COLLECTION = "patterns"
MAX_ADDED_AT_ONCE = 5_000  # Chroma 1.5.9 refuses more than 5,461
KEPT_INDEXES = 3
_PRIVATE, _ASIDE = "dslkit-index-", ".building-"  # how folders begin that go with their process
_OWNER = "owner"  # a file in each, locked for as long as its process lives


class PatternIndex:
    """Nearest patterns by meaning.  Holds a private folder until closed or collected."""

    def __init__(self, patterns: Sequence[Pattern], cache: Path) -> None:
        folder, owner = _owned(Path(tempfile.gettempdir()), _PRIVATE)
        self._cleanup = weakref.finalize(self, _remove, folder, owner)
        self.size = len(patterns)
        copy = folder / "index"
        cached = cache / fingerprint(patterns)
        if not _copied(cached, copy):
            _build(patterns, copy)
            _publish(copy, cached)
        self._client = _open(copy)
        self._collection = self._client.get_collection(COLLECTION, embedding_function=WordLlamaEmbedding())

    def nearest(self, text: str, limit: int) -> list[tuple[str, float]]:
        """Ids with cosine similarity (-1 to 1), best first."""
        count = min(limit, self.size)
        if count < 1 or not text.strip():
            return []
        found = self._collection.query(query_texts=[text], n_results=count, include=["distances"])
        distances = found["distances"]
        assert distances is not None
        return [(key, 1 - distance) for key, distance in zip(found["ids"][0], distances[0], strict=True)]

    def close(self) -> None:
        """Release Chroma and the private folder."""
        self._client.close()
        self._cleanup()


def fingerprint(patterns: Sequence[Pattern]) -> str:
    """Names an index by what is in it and what made it."""
    made_by = [identity(), metadata.version("chromadb")]
    content = json.dumps([made_by, [asdict(pattern) for pattern in patterns]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _owned(place: Path, prefix: str) -> tuple[Path, TextIO]:
    """A new folder in a place, and its file whose lock says that the owner lives; those of the dead are removed."""
    _clear_remains(place, prefix)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        with suppress(FileNotFoundError):
            owner = (folder / _OWNER).open("w")
            with suppress(OSError):  # a filesystem without locks: nobody else gets one either, and nothing is removed
                fcntl.flock(owner, fcntl.LOCK_EX)
            if os.fstat(owner.fileno()).st_nlink:  # else somebody took it for a dead one's before it was locked
                return folder, owner
            owner.close()


def _clear_remains(place: Path, prefix: str) -> None:
    for folder in place.glob(f"{prefix}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():  # others may share a temporary folder
                continue
            try:
                owner = (folder / _OWNER).open("r+")
            except FileNotFoundError:
                folder.rmdir()  # only if it is empty; whoever has just made it and lives makes another
                continue
            with owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder, owner)


def _remove(folder: Path, owner: TextIO) -> None:
    """The owner's file goes last, so that the next process takes up a removal that was cut short."""
    with suppress(OSError):
        with owner:
            for content in folder.iterdir():
                if content.name != _OWNER:
                    shutil.rmtree(content)
            (folder / _OWNER).unlink()
        folder.rmdir()


def _open(folder: Path) -> Client:
    client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
    assert isinstance(client, Client)
    return client


def _copied(cached: Path, copy: Path) -> bool:
    """Copy a finished index; False when there is none (or another process pruned it meanwhile)."""
    try:
        shutil.copytree(cached, copy)
    except OSError:
        shutil.rmtree(copy, ignore_errors=True)
        return False
    return True


def _build(patterns: Sequence[Pattern], folder: Path) -> None:
    client = _open(folder)
    collection = client.create_collection(
        COLLECTION, embedding_function=WordLlamaEmbedding(), configuration={"hnsw": {"space": "cosine"}}
    )
    for start in range(0, len(patterns), MAX_ADDED_AT_ONCE):
        part = patterns[start : start + MAX_ADDED_AT_ONCE]
        collection.add(ids=[pattern.id for pattern in part], documents=[pattern.text for pattern in part])
    client.close()


def _publish(built: Path, cached: Path) -> None:
    """Put a copy in place by one rename.  A home that cannot be written, or a quicker process, is no fault."""
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        aside, owner = _owned(cached.parent, _ASIDE)
        try:
            shutil.copytree(built, aside / "index")
            (aside / "index").rename(cached)
            _prune(cached)
        finally:
            _remove(aside, owner)


def _prune(current: Path) -> None:
    """Keep the newest few indexes; older patterns' are of no use to anyone."""
    others = [path for path in current.parent.iterdir() if path != current and not path.name.startswith(".")]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in others[KEPT_INDEXES - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
