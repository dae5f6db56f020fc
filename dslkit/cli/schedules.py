"""``dslkit schedule``: notebooks that run again and again, and the runs that did not happen."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dslkit.cli.parameters import NotebookCommand, given_parameters
from dslkit.cli.terminal import put, put_table, say
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dslkit.analysis.schedules import Schedule
    from dslkit.settings import Settings

_COLUMNS = ("schedule", "notebook", "every", "next", "missed")


class SchedulerName(StrEnum):
    """What starts the runs."""

    cron = "cron"
    systemd = "systemd"
    kubernetes = "kubernetes"


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command(cls=NotebookCommand)(schedule)


def schedule(
    *,
    notebook: Annotated[str | None, typer.Argument(metavar="NOTEBOOK", help="A path, or the name of ours.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter; may be repeated.")
    ] = None,
    values: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    every: Annotated[str, typer.Option(help="When: a cron expression, as '0 2 * * *', or @daily.")] = "",
    scheduler: Annotated[SchedulerName, typer.Option("--as", help="What starts the runs.")] = SchedulerName.cron,
    name: Annotated[str, typer.Option(help="The schedule's name; the notebook's when not given.")] = "",
    timezone: Annotated[str, typer.Option(help="Time zone, as Europe/Berlin; not for cron.")] = "",
    image: Annotated[str, typer.Option(help="Container image, for kubernetes.")] = "dslkit:latest",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files; standard output else.")] = None,
    forget: Annotated[str | None, typer.Option(metavar="NAME", help="Expect no further runs of a schedule.")] = None,
) -> None:
    """Write what cron, systemd or Kubernetes need to run a notebook again and again; without NOTEBOOK, list them."""
    from dslkit.analysis import schedules
    from dslkit.notebooks import scheduling
    from dslkit.settings import load_settings

    settings = load_settings()
    home = settings.home.absolute()
    if forget:
        schedules.forget(home, forget)
        say(f"No further run of {forget} is expected. Take it from the scheduler as well.")
        return
    if notebook is None:
        _list(home)
        return
    if not every:
        raise UsageError("When should it run? Add --every '0 2 * * *' for 02:00 each day.")
    given = given_parameters(names or [], values or [])
    wanted = _schedule(settings, notebook, every, given, name=name, zone=timezone)
    place = scheduling.Place(folder=Path.cwd(), home=home, image=image)
    texts = scheduling.files(wanted, scheduler.value, place)
    for remark in (*_replaced(home, wanted), *_samples(wanted)):
        say(remark)
    schedules.register(home, wanted)
    _write(texts, out)
    say(_what_next(scheduler, wanted, out))


def _schedule(
    settings: Settings, notebook: str, every: str, given: Mapping[str, str], *, name: str, zone: str
) -> Schedule:
    """The schedule, its parameters checked as a run would.  One that is known keeps the day it was set up."""
    import os
    import re

    from dslkit import notebooks
    from dslkit.analysis.schedules import Schedule, fields_of, schedules
    from dslkit.notebooks.injection import fit_all

    path = notebooks.find(notebook)
    fit_all(notebooks.read_parameters(path), given, notebook=path.name, environment=os.environ)
    wanted = Schedule(
        name=name or re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-"),
        notebook=str(path.absolute()) if Path(notebook).is_file() else path.stem,
        every=fields_of(every),
        since=datetime.now(UTC),
        zone=zone,
        parameters=given,
    )
    before = [known for known in schedules(settings.home) if replace(known, since=wanted.since) == wanted]
    return before[0] if before else wanted


def _replaced(home: Path, wanted: Schedule) -> Iterator[str]:
    """What becomes of another schedule of that name."""
    from dslkit.analysis.schedules import schedules

    for known in schedules(home):
        if known.name == wanted.name and known != wanted:
            yield f"The schedule {known.name} is replaced. It was: {_words(known)}. It is now: {_words(wanted)}."
            yield "What it was still stands with the scheduler: put the new in its place. --name keeps both."


def _words(schedule: Schedule) -> str:
    given = [word for name, value in schedule.parameters.items() for word in ("-p", f"{name}={value}")]
    zone = ["--timezone", schedule.zone] if schedule.zone else []
    return shlex.join([schedule.notebook, "--every", schedule.every, *zone, *given])


def _samples(wanted: Schedule) -> Iterator[str]:
    """Of which data it would take ours, as nobody named any and there is no such file."""
    from dslkit import notebooks
    from dslkit.notebooks.document import shipped

    ours = shipped(data=True)
    for parameter in notebooks.read_parameters(notebooks.find(wanted.notebook)):
        file = parameter.default.strip("'\"")
        if parameter.name not in wanted.parameters and file in ours and not Path(file).exists():
            yield (
                f"No {parameter.name} are named: each run takes our sample, {file}. "
                f"Name your own: -p {parameter.name} FILE."
            )


def _list(home: Path) -> None:
    from dslkit.analysis.schedules import missed, schedules

    now = datetime.now(UTC)
    gone = [each.schedule for each in missed(home, now)]
    put_table(
        _COLUMNS,
        [
            (
                each.name,
                Path(each.notebook).stem,
                f"{each.every} {each.zone}".strip(),
                f"{next(each.times(after=now)):%Y-%m-%d %H:%M} UTC",
                gone.count(each.name),
            )
            for each in schedules(home)
        ],
    )


def _write(texts: Mapping[str, str], out: Path | None) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        if out is not None:
            (out / file).write_text(text, encoding="utf-8")
        elif len(texts) > 1:
            put(f"# {file}\n{text}")
        else:
            put(text.rstrip("\n"))


def _what_next(scheduler: SchedulerName, wanted: Schedule, out: Path | None) -> str:
    """How the files come into force."""
    where = out or Path()
    ways = {
        SchedulerName.cron: f"Add the line with `crontab -e`{f' (it is in {out})' if out else ''}.",
        SchedulerName.systemd: f"Copy both files from {where} to ~/.config/systemd/user, then: "
        f"systemctl --user daemon-reload && systemctl --user enable --now {wanted.name}.timer",
        SchedulerName.kubernetes: f"kubectl apply -f {where / wanted.name}.yaml; "
        "it needs a volume claim `dslkit-data`, and OPENAI_API_KEY in a secret `dslkit`.",
    }
    return f"{ways[scheduler]} Runs that do not happen are shown by `dslkit runs`."
