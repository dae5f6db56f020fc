"""The offline embedding: WordLlama's vectors, read from the installed wheel, so that nothing is downloaded."""

from __future__ import annotations

import logging
import threading
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from chromadb.api.types import Embeddable, EmbeddingFunction, Embeddings
from chromadb.utils.embedding_functions import register_embedding_function

_LOADING = threading.Lock()


@register_embedding_function
class WordLlamaEmbedding(EmbeddingFunction[Embeddable]):
    """256 float32 values of length 1 for each text."""

    def __init__(self) -> None:
        self._model = _model()

    def __call__(self, input: Embeddable) -> Embeddings:  # noqa: A002 - Chroma checks the parameter's name
        """Embed the texts."""
        return list(self._model.embed(list(input), norm=True))

    @staticmethod
    def name() -> str:
        """Name under which Chroma knows it."""
        return "dslkit-wordllama"

    def get_config(self) -> dict[str, Any]:
        """Give what it was made with: nothing."""
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> WordLlamaEmbedding:  # noqa: ARG004 - nothing to configure
        """Make it again, as Chroma does when it opens a collection."""
        return WordLlamaEmbedding()


def identity() -> str:
    """Names the embedding and its version: indexes of different identities must never be mixed."""
    return f"wordllama-{metadata.version('wordllama')}-256"


def _model() -> Any:
    """The loaded model; one thread loads it, lest another take what is undone here for the application's own."""
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> Any:
    """Importing wordllama configures the root logger, which belongs to the application: undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    import wordllama  # noqa: PLC0415 - so that its logging set-up can be undone around it

    root.handlers[:] = handlers
    root.setLevel(level)  # not by assignment: loggers remember what they are enabled for
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
