"""Schedules as the files that cron, systemd and Kubernetes take; each starts ``dslkit run`` and names the schedule."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from dslkit.analysis.schedules import parsed
from dslkit.batch.runs import SCHEDULE_VARIABLE
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dslkit.analysis.schedules import Schedule

Scheduler = Literal["cron", "systemd", "kubernetes"]

IMAGE = "dslkit:latest"
_DATA = "/data"  # the volume of our image, which works in /data/work and keeps its home in /data/home
_IMAGE_USER = 10001
_IN_CLUSTER = "Etc/UTC"
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_LATE_S = 3600  # a run that could not be started for so long is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where runs are started: the working folder (of ``.env`` too) and the home; ``image`` for a cluster."""

    folder: Path
    home: Path
    image: str = IMAGE


def files(schedule: Schedule, scheduler: Scheduler, place: Place) -> Mapping[str, str]:
    """The text of each file, by its name.

    Raises:
        UsageError: this scheduler cannot say that.
    """
    return {"cron": _cron, "systemd": _systemd, "kubernetes": _kubernetes}[scheduler](schedule, place)


def _arguments(schedule: Schedule, notebook: str = "") -> list[str]:
    given = [part for name, value in schedule.parameters.items() for part in ("-p", f"{name}={value}")]
    return ["run", notebook or schedule.notebook, *given]


def _environment(schedule: Schedule, home: Path | str) -> dict[str, str]:
    return {"DSLKIT_HOME": str(home), SCHEDULE_VARIABLE: schedule.name}


def _program() -> str:
    """The command line of this installation, by its full path: a scheduler has no PATH to speak of."""
    here = str(Path(sys.executable).parent)
    found = shutil.which("dslkit", path=here) or shutil.which("dslkit")
    if found is None:
        raise UsageError(f"There is no command `dslkit` in {here}: install dslkit into this environment.")
    return found


def _cron(schedule: Schedule, place: Place) -> dict[str, str]:
    if schedule.zone:
        raise UsageError("cron goes by the time zone of the machine: leave --timezone out, or use --as systemd.")
    words = [f"{name}={shlex.quote(value)}" for name, value in _environment(schedule, place.home).items()]
    words += [shlex.quote(word) for word in (_program(), *_arguments(schedule))]
    log = shlex.quote(str(place.home / "schedules" / f"{schedule.name}.log"))
    command = f"cd {shlex.quote(str(place.folder))} && {' '.join(words)} >> {log} 2>&1"
    if "\n" in command:
        raise UsageError("cron takes one line: a parameter must not hold a line break.")
    escaped = command.replace("%", r"\%")  # cron's line break
    return {f"{schedule.name}.cron": f"{schedule.every} {escaped}\n"}


def _systemd(schedule: Schedule, place: Place) -> dict[str, str]:
    set_up = "\n".join(
        f"Environment={_quoted(f'{name}={value}')}" for name, value in _environment(schedule, place.home).items()
    )
    command = " ".join(_quoted(word).replace("$", "$$") for word in (_program(), *_arguments(schedule)))
    service = f"""[Unit]
Description=dslkit: {schedule.name}

[Service]
Type=oneshot
WorkingDirectory={str(place.folder).replace("%", "%%")}
{set_up}
ExecStart={command}
"""
    due = "\n".join(f"OnCalendar={moment}" for moment in calendar(schedule))
    timer = f"""[Unit]
Description=dslkit: when {schedule.name} runs

[Timer]
{due}
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{schedule.name}.service": service, f"{schedule.name}.timer": timer}


def calendar(schedule: Schedule) -> tuple[str, ...]:
    """The cron expression in systemd's words: two where cron means day of month or weekday."""
    every = parsed(schedule.every)
    weekdays = {day % 7 for day in every.weekdays if isinstance(day, int)}
    named = "" if len(weekdays) == len(_WEEKDAYS) else ",".join(_WEEKDAYS[day] for day in sorted(weekdays)) + " "
    months, days = _listed(every.months, 12), _listed(every.days, 31)
    time = f"{_listed(every.hours, 24)}:{_listed(every.minutes, 60)}:00" + (schedule.zone and f" {schedule.zone}")
    if every.day_and:
        return (f"{named}*-{months}-{days} {time}",)
    return (f"{named}*-{months}-* {time}", f"*-{months}-{days} {time}")


def _listed(numbers: Iterable[int], everything: int) -> str:
    ordered = sorted(numbers)
    return "*" if len(ordered) == everything else ",".join(f"{number:02}" for number in ordered)


def _quoted(word: str) -> str:
    """A word for systemd: its own escapes, and % doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'


def _kubernetes(schedule: Schedule, place: Place) -> dict[str, str]:
    environment = _environment(schedule, f"{_DATA}/home").items()
    container = {
        "name": "dslkit",
        "image": place.image,
        "args": ["dslkit", *(word.replace("$(", "$$(") for word in _arguments(schedule, _in_volume(schedule, place)))],
        "workingDir": f"{_DATA}/work",
        "env": [{"name": name, "value": value} for name, value in environment],
        "envFrom": [{"secretRef": {"name": "dslkit", "optional": True}}],  # OPENAI_API_KEY and its like
        "volumeMounts": [{"name": "data", "mountPath": _DATA}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": _IMAGE_USER, "fsGroup": _IMAGE_USER},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "dslkit-data"}}],
    }
    manifest: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": schedule.name, "labels": {"app.kubernetes.io/name": "dslkit"}},
        "spec": {
            "schedule": schedule.every,
            "timeZone": schedule.zone or _IN_CLUSTER,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _LATE_S,
            "jobTemplate": {"spec": {"backoffLimit": 1, "template": {"spec": pod}}},
        },
    }
    return {f"{schedule.name}.yaml": yaml.safe_dump(manifest, sort_keys=False)}


def _in_volume(schedule: Schedule, place: Place) -> str:
    """The notebook as a pod sees it, which works in the copy of the working folder on the volume."""
    path = Path(schedule.notebook)
    if path.is_absolute() and not path.is_relative_to(place.folder):
        raise UsageError(f"{path} is outside the working folder: a pod sees only what lies on its volume.")
    return str(path.relative_to(place.folder) if path.is_absolute() else path)
