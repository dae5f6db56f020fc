"""The gates of a client, one for each key and model, and what one sees of them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.llm.adaptive import Adaptive
from dslkit.llm.gate import Gate, GateStatus
from dslkit.llm.sharing import MemoryState, file_state, lane_name

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.llm.limits import Limits
    from dslkit.llm.sharing import State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One key and model: whose it is, and what goes on there."""

    provider_name: str
    model: str
    gate: GateStatus


class Gates:
    """Makes a gate when a key and model is first used.  ``folder`` is where shared windows live."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._folder = folder
        self._gates: dict[tuple[str, str, str], Gate] = {}

    def __call__(self, provider: str, key: str, model: str) -> Gate:
        """The gate of a key and model."""
        gate = self._gates.get((provider, key, model))
        if gate is None:
            state = self._state(provider, key, model)
            made = Gate(state, concurrency=self._limits.concurrency, adaptive=self._adaptive())
            gate = self._gates.setdefault((provider, key, model), made)
        return gate

    def _adaptive(self) -> Adaptive | None:
        """From few upwards if nothing is known of the server, else from all that was stated downwards."""
        highest = self._limits.concurrency
        if not self._limits.adapts:
            return None
        return Adaptive(highest, highest) if self._limits.stated else Adaptive(highest)

    def status(self) -> tuple[LaneStatus, ...]:
        """All that were used so far."""
        return tuple(LaneStatus(name[0], name[2], gate.status()) for name, gate in list(self._gates.items()))

    def _state(self, provider: str, key: str, model: str) -> State:
        windows = self._limits.windows
        if not (self._limits.shared and windows):
            return MemoryState(windows)
        path = self._folder / f"{lane_name(provider, key, model)}.lane"
        state = file_state(path, windows)
        about = path.with_suffix(".json")
        if not about.exists():
            about.write_text(json.dumps({"provider_name": provider, "model": model}), encoding="utf-8")
        return state


def shared_status(folder: Path) -> tuple[LaneStatus, ...]:
    """All shared lanes of a home, whatever processes use them; ``in_flight`` and ``waiting`` are this process' own."""
    found = []
    for path in sorted(folder.glob("*.lane")):
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            status = Gate(file_state(path, ())).status()
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read: %s", path, error)
        else:
            found.append(LaneStatus(about["provider_name"], about["model"], status))
    return tuple(found)
