"""compose.yml, the systemd units, the crontab, nginx and the scheduler name what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml

from deploy.dockerfile import parse
from deploy.scheduler import Entry, read, start_due
from dslkit.analysis.schedules import Schedule
from dslkit.batch.runs import SCHEDULE_VARIABLE
from dslkit.cli.app import app
from dslkit.notebooks.scheduling import calendar
from dslkit.settings import Settings, env_name

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").glob("dslkit*"))
SETTINGS = {env_name(field) for field in Settings.model_fields}
OTHERS = {"HOME", "JUPYTER_TOKEN", SCHEDULE_VARIABLE}
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def verbs() -> set[str]:
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_is_built_kept_in_and_given_its_secrets(name: str) -> None:
    service = COMPOSE["services"][name]
    stages = {stage.name for stage in parse((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))}
    assert service["build"]["target"] in stages
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    files = {variable: path for variable, path in service["environment"].items() if variable.endswith("_FILE")}
    assert {Path(path).name for path in files.values()} == set(service["secrets"])
    assert {name.removesuffix("_FILE") for name in service["environment"]} <= SETTINGS | OTHERS


def test_compose_holds_to_its_schema(tmp_path: Path) -> None:
    """That of the Compose specification, as check-jsonschema carries it: no network is needed."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    misspelt = tmp_path / "compose.yml"
    misspelt.write_text((DEPLOY / "compose.yml").read_text(encoding="utf-8").replace("mem_limit", "mem_limt"))
    assert subprocess.run([*command, str(misspelt)], capture_output=True, check=False).returncode == 1
    done = subprocess.run([*command, str(DEPLOY / "compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_names_volumes_and_files_that_are_there() -> None:
    for service in COMPOSE["services"].values():
        mounts = dict(volume.split(":") for volume in service["volumes"])
        assert set(mounts) == set(COMPOSE["volumes"]) == {"ledger", "chroma", "reports", "work"}
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert all((DEPLOY / entry["file"]).is_file() for entry in COMPOSE["configs"].values())


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_verbs_with_settings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for verb in re.findall(r"^ExecStart=\S+/dslkit (\S+)", text, re.MULTILINE):
        assert verb in verbs()
    names = re.findall(r"(?<=[= ])([A-Z][A-Z_]+)=", " ".join(re.findall(r"^Environment=(.*)$", text, re.MULTILINE)))
    names += [line.split("=")[0] for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)]
    assert {name.removesuffix("_FILE") for name in names} <= SETTINGS | OTHERS


def test_the_schedule_that_the_guide_makes_known_is_the_timers() -> None:
    """By name, time and file: else runs that are missed are not found, or found where none was."""
    guide = (DEPLOY.parent / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = guide[guide.index("## A server of your own") : guide.index("## Variables")]
    commands = re.findall(r"dslkit (schedule gen.*) >", guide.replace("\\\n", ""))
    words, in_container = map(shlex.split, commands)
    assert words == in_container
    given = dict(pairwise(words))
    schedule = Schedule(
        name=given["--name"], notebook=words[1], every=given["--every"], zone=given["--timezone"], since=NOON
    )
    timer = (DEPLOY / "systemd" / "dslkit-batch.timer").read_text(encoding="utf-8")
    service = (DEPLOY / "systemd" / "dslkit-batch.service").read_text(encoding="utf-8")
    assert re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE) == list(calendar(schedule))
    assert f"{SCHEDULE_VARIABLE}={schedule.name}\n" in service
    assert f"dslkit batch {given['requirements']} " in service
    table = (DEPLOY / "crontab.example").read_text(encoding="utf-8")
    assert f"\n{schedule.every} test" in table
    assert f"{SCHEDULE_VARIABLE}={schedule.name} dslkit batch {given['requirements']} " in table
    assert f" {given['requirements']} /var/lib/dslkit/work\n" in section


def test_nginx_replaces_what_a_client_claims() -> None:
    text = (DEPLOY / "nginx.conf.example").read_text(encoding="utf-8")
    assert "X-Forwarded-For $remote_addr;" in text
    assert "$proxy_add_x_forwarded_for" not in text


def test_the_crontab_is_one_and_names_verbs() -> None:
    entries = read((DEPLOY / "crontab.example").read_text(encoding="utf-8"), NOON)
    called = [verb for entry in entries for verb in re.findall(r"dslkit (\w+)", entry.command)]
    assert len(entries) == 3
    assert set(called) <= verbs()


class Running:
    """A process as far as the scheduler looks at one."""

    def __init__(self) -> None:
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode


def test_what_is_due_is_started_once_and_never_twice_at_a_time() -> None:
    (entry,) = read("# a remark\n\n*/10 * * * * work and more\n", NOON)
    started: list[str] = []
    process = Running()

    def start(command: str) -> Running:
        started.append(command)
        return process

    for minutes, count in [(9, 1 - 1), (10, 1), (11, 1), (20, 1)]:  # at 20 the first still runs
        start_due([entry], NOON + timedelta(minutes=minutes), start)
        assert len(started) == count, minutes
    process.returncode = 0
    start_due([entry], NOON + timedelta(minutes=59), start)  # three times are past: one start
    start_due([entry], NOON + timedelta(minutes=59), start)
    assert started == ["work and more"] * 2


@pytest.mark.parametrize("text", ["61 * * * * x", "* * * *", "@reboot x"])
def test_a_line_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="line 1 is no entry"):
        read(text, NOON)


def test_sigterm_reaches_what_runs(tmp_path: Path) -> None:
    """A scheduler of its own: it starts a command, is told to stop, and waits for it."""
    code = (
        "from datetime import UTC, datetime\nfrom deploy import scheduler\n"
        "entry = scheduler.Entry('* * * * *', 'trap \"sleep 0.2; echo told; exit\" TERM; echo started;"
        " kill -TERM $PPID; while :; do sleep 0.05; done', datetime(2026, 1, 1, tzinfo=UTC))\n"
        "scheduler.run([entry])\nprint('waited')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=DEPLOY.parent, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["started", "told", "waited"]), done.stderr


def test_an_entry_has_no_process_at_first() -> None:
    assert Entry("* * * * *", "x", NOON).process is None
