"""The four agents that turn a requirement into a plan, and the offline model that can stand in for an LLM."""

from __future__ import annotations

from dslkit.agents.architecture import Outline, outline
from dslkit.agents.configuration import configure
from dslkit.agents.conversation import Ask, Asker
from dslkit.agents.quality import improve
from dslkit.agents.requirements import Brief, analyse

__all__ = ["Ask", "Asker", "Brief", "Outline", "analyse", "configure", "improve", "outline"]
