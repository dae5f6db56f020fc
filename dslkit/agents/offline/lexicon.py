"""Small means for tables of cues: sets of words, and patterns made of alternatives, one a line."""

from __future__ import annotations

import re


def words(*texts: str) -> frozenset[str]:
    """The words of some lines."""
    return frozenset(word for text in texts for word in text.split())


def any_of(*forms: str) -> re.Pattern[str]:
    """Any of the forms as whole words, in either case."""
    return re.compile(rf"\b(?:{'|'.join(forms)})\b", re.IGNORECASE)


def anywhere(*forms: str) -> re.Pattern[str]:
    """Any of the forms, in either case, wherever they begin and end."""
    return re.compile("|".join(forms), re.IGNORECASE)
