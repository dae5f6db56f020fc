"""Who has been told of which alert, and is to be told that it is over?

Each channel is told of an alert once, and once when it has cleared.  What it was told is written after delivery: at
least once, that is.  A message that did not arrive, or whose sender was killed, is sent by the next run, which says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from dslkit.batch.artefact import write_whole
from dslkit.errors import DslkitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from dslkit.analysis.alerts import Alert

_MEMORY = "alerts.json"
_LOCKED_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a channel has to be told: ``begun`` alerts, ``over`` ones by key with the text of their time."""

    begun: tuple[Alert, ...]
    over: Mapping[str, str]
    late_since: str | None = None

    def __bool__(self) -> bool:
        return bool(self.begun or self.over)

    @property
    def text(self) -> str:
        """The message, one line an alert."""
        lines = [f"ALERT {alert.text}" for alert in self.begun]
        lines += [f"resolved: {text}" for text in self.over.values()]
        if self.late_since:
            lines.append(f"(An earlier message may not have arrived, the first at {self.late_since}.)")
        return "\n".join(lines)


class Told:
    """What each channel of a home was told: a small file, changed by one process at a time.

    Use as a context manager, which waits for another process that is at it, and raises DslkitError if it takes too
    long, or if nothing can be written here: nobody would know what was told.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / _MEMORY
        self._lock = FileLock(home / f"{_MEMORY}.lock", timeout=_LOCKED_S)
        self._channels: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise DslkitError("Another `dslkit alerts` is still sending; what is new is told by the next.") from None
        except OSError as error:
            where = self._path.parent
            raise DslkitError(f"Nothing is sent: {where} cannot be written ({error.strerror}).") from None
        self._channels = self._read()
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def news(self, channel: str, alerts: Sequence[Alert]) -> News:
        """What this channel does not know yet."""
        entry = self._channels.get(channel, {})
        told: dict[str, dict[str, Any]] = entry.get("told", {})
        firing = {alert.key for alert in alerts}
        over = {key: one["text"] for key, one in told.items() if key not in firing and one["clears"]}
        begun = tuple(alert for alert in alerts if alert.key not in told)
        return News(begun=begun, over=over, late_since=entry.get("late_since"))

    def sending(self, channel: str, now: datetime) -> None:
        """A message is about to leave; unless it is ``delivered``, the next one says that it may not have arrived."""
        self._channels.setdefault(channel, {}).setdefault("late_since", f"{now:%Y-%m-%d %H:%M} UTC")
        self._write()

    def delivered(self, channel: str, alerts: Sequence[Alert]) -> None:
        """The channel knows of these alerts, and that all others are over."""
        told = {alert.key: {"text": alert.text, "clears": alert.clears} for alert in alerts}
        self._channels[channel] = {"told": told}
        self._write()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            channels = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}  # told twice is better than not at all
        return dict(channels) if isinstance(channels, dict) else {}

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._channels, indent=2, ensure_ascii=False) + "\n")
