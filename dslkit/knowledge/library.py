"""The knowledge base: list, search, add, delete and recommend workflow patterns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.errors import UsageError
from dslkit.knowledge.embedding import identity
from dslkit.knowledge.index import PatternIndex, fingerprint
from dslkit.knowledge.patterns import Pattern, check_id, read_files, read_folder, shipped_patterns, write

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE_FOLDER = "knowledge"
USER_FOLDER = "patterns"
RECOMMENDED = 3
RECOMMENDED_FROM = 12
LEAST_SCORE = 0.2  # below this cosine similarity a pattern has hardly a word in common with the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A pattern and its cosine similarity to the request (-1 to 1)."""

    pattern: Pattern
    score: float


class Knowledge:
    """The shipped patterns and the user's own (a user's pattern stands before a shipped one of the same id).

    Args:
        home: folder of the toolkit; the search index is cached below it, or kept in a temporary folder where it
            cannot be written.
        user_patterns: folder of the user's pattern files, ``home/patterns`` by default.
    """

    def __init__(self, home: Path | str, user_patterns: Path | str | None = None) -> None:
        self._cache = Path(home) / CACHE_FOLDER
        self._user_folder = Path(user_patterns) if user_patterns is not None else Path(home) / USER_FOLDER
        self._index: PatternIndex | None = None
        self._indexed = ""

    def list(self) -> tuple[Pattern, ...]:
        """All patterns by id.  A broken file in the user's folder is a UsageError that names it."""
        known = {pattern.id: pattern for pattern in (*shipped_patterns(), *read_folder(self._user_folder))}
        return tuple(known[key] for key in sorted(known))

    def get(self, pattern_id: str) -> Pattern:
        """The pattern of that id; UsageError when there is none."""
        for pattern in self.list():
            if pattern.id == pattern_id:
                return pattern
        raise UsageError(f"There is no pattern {pattern_id!r}; `dslkit patterns list` shows all.")

    def search(self, text: str, limit: int = 5) -> tuple[Match, ...]:
        """The nearest patterns by meaning, best first, at most ``limit``."""
        patterns = {pattern.id: pattern for pattern in self.list()}
        nearest = self._index_of(tuple(patterns.values())).nearest(text, limit)
        return tuple(Match(pattern=patterns[key], score=score) for key, score in nearest)

    def recommend(self, text: str) -> tuple[Match, ...]:
        """Up to three patterns to start from: near to the request, each bringing a node type the others lack."""
        chosen: list[Match] = []
        seen: set[str] = set()
        for match in self.search(text, RECOMMENDED_FROM):
            news = set(match.pattern.node_types) - seen
            if match.score >= LEAST_SCORE and news and len(chosen) < RECOMMENDED:
                chosen.append(match)
                seen |= news
        return tuple(chosen)

    def add(self, pattern: Pattern) -> Path:
        """Keep a pattern in the user's folder (one of the same id there is replaced); return its file."""
        before = self._files_of(pattern.id)
        path = write(pattern, self._user_folder)
        for other in before - {path}:
            other.unlink()
        return path

    def behind(self, pattern_id: str) -> str:
        """What a pattern that is added with this id comes before, as a remark; empty where it is new."""
        if self._files_of(pattern_id):
            return "it replaces your own pattern of that id"
        if any(pattern.id == pattern_id for pattern in shipped_patterns()):
            return "it hides the shipped pattern of that id until it is deleted"
        return ""

    def delete(self, pattern_id: str) -> None:
        """Delete one of the user's own patterns; UsageError for a shipped or unknown one."""
        check_id(pattern_id)
        own = self._files_of(pattern_id)
        if not own:
            self.get(pattern_id)
            raise UsageError(f"{pattern_id!r} ships with dslkit and cannot be deleted; only your own patterns can.")
        for path in own:
            path.unlink()

    def statistics(self) -> Mapping[str, object]:
        """Counts: total, shipped, user, by_tag, by_node_type (patterns that use it); and the embedding's name."""
        patterns = self.list()
        own = len(read_folder(self._user_folder))
        return {
            "total": len(patterns),
            "shipped": len(patterns) - own,
            "user": own,
            "by_tag": dict(Counter(tag for pattern in patterns for tag in pattern.tags).most_common()),
            "by_node_type": dict(Counter(kind for pattern in patterns for kind in pattern.node_types).most_common()),
            "embedding": identity(),
        }

    def close(self) -> None:
        """Release the search index; the next search opens it again."""
        if self._index is not None:
            self._index.close()
        self._index, self._indexed = None, ""

    def _files_of(self, pattern_id: str) -> set[Path]:
        return {path for path, found in read_files(self._user_folder).items() if found.id == pattern_id}

    def _index_of(self, patterns: tuple[Pattern, ...]) -> PatternIndex:
        """The open index, made anew when files changed since."""
        wanted = fingerprint(patterns)
        if self._index is None or self._indexed != wanted:
            self.close()
            self._index, self._indexed = PatternIndex(patterns, self._cache), wanted
        return self._index
