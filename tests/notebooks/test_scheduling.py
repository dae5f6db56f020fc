"""Schedules used for real: the line run as cron runs it, the units held to systemd, the manifest to its form."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dslkit.analysis.schedules import Schedule, missed, schedules
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.notebooks.scheduling import Place, calendar, files
from tests.notebooks.executed import printed

if TYPE_CHECKING:
    from collections.abc import Callable

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
WHEN = re.compile(r"(?:elapse|#\d+): \w{3} (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")  # what systemd-analyze says
HOSTILE = '50% of $HOME\'s `id` "all" \\ $(id)'


def nightly(**changes: Any) -> Schedule:
    return Schedule(**{"name": "nightly", "notebook": "story.ipynb", "every": "0 2 * * *", "since": SINCE, **changes})


def dslkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dslkit.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path, home=tmp_path / "home")


def test_the_written_line_runs_as_cron_runs_it(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """By sh, in the user's home, with hardly an environment; what a parameter holds is never the shell's."""
    notebook("print(text)", parameters="text: str = ''", name="story.ipynb")
    done = dslkit("schedule", "story.ipynb", "--every", "*/5 * * * *", "-p", f"text={HOSTILE}", "--name", "five")
    assert done.returncode == 0, done.stderr
    fields = done.stdout.split(maxsplit=5)
    assert fields[:5] == ["*/5", "*", "*", "*", "*"]
    command = fields[5].strip().replace(r"\%", "%")  # as cron reads it
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "SHELL": "/bin/sh", "LOGNAME": "somebody"}
    run = subprocess.run(["/bin/sh", "-c", command], env=bare, cwd=Path.home(), check=False)
    log = (tmp_path / "home" / "schedules" / "five.log").read_text()
    assert run.returncode == 0, log
    assert "completed" in log
    (executed,) = (tmp_path / "home" / "notebooks").glob("*.ipynb")
    assert printed(executed).strip() == HOSTILE
    rows = Ledger(tmp_path / "home").sql("SELECT tags['schedule'], status FROM runs").fetchall()
    assert rows == [("five", "completed")]
    (known,) = schedules(tmp_path / "home")
    assert (known.name, known.notebook) == ("five", str(tmp_path / "story.ipynb"))


def test_missed_runs_are_listed_with_the_others(notebook: Callable[..., Path], tmp_path: Path) -> None:
    notebook("1", name="story.ipynb")
    assert (
        dslkit("schedule", "story.ipynb", "--every", "@daily", "--timezone", "Etc/UTC", "--as", "systemd").returncode
        == 0
    )
    path = tmp_path / "home" / "schedules" / "story.json"
    then = datetime.now(UTC) - timedelta(days=3)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"since": then.isoformat()}))
    expected = missed(tmp_path / "home", datetime.now(UTC))
    assert len(expected) in {2, 3}
    told = json.loads(dslkit("runs", "--json").stdout)
    assert [run["status"] for run in told] == ["missed"] * len(expected)
    assert [run["started_at"] for run in told] == [each.expected.isoformat() for each in expected]
    listed = dslkit("schedule").stdout
    assert listed.splitlines()[1].split()[0] == "story"
    assert listed.split()[-1] == str(len(expected))
    assert dslkit("schedule", "--forget", "story").returncode == 0
    assert json.loads(dslkit("runs", "--json").stdout) == []


def test_writing_it_again_keeps_what_was_expected(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """Nothing missed is forgotten by writing the same schedule anew; another one begins when it is written."""
    notebook("1", name="story.ipynb")
    dslkit("schedule", "story.ipynb", "--every", "@daily")
    (first,) = schedules(tmp_path / "home")
    dslkit("schedule", "story.ipynb", "--every", "@daily")
    assert schedules(tmp_path / "home") == (first,)
    dslkit("schedule", "story.ipynb", "--every", "@hourly")
    assert schedules(tmp_path / "home")[0].since > first.since


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", "--every", "@daily"), "No file 'missing'"),
        (("story.ipynb",), "Add --every"),
        (("story.ipynb", "--every", "0 25 * * *"), "Bad hour"),
        (("story.ipynb", "--every", "@daily", "-p", "txet", "x"), "did you mean 'text'?"),
        (("story.ipynb", "--every", "@daily", "-p", "text", "a\nb"), "line break"),
        (("story.ipynb", "--every", "@daily", "--timezone", "Europe/Berlin"), "time zone of the machine"),
        (("story.ipynb", "--every", "@daily", "--name", "Nightly!"), "small letters"),
        (("/bin/sh", "--every", "@daily"), "is no notebook"),
        (("--forget", "nothing"), "There are: none"),
    ],
)
def test_what_cannot_be_scheduled(notebook: Callable[..., Path], arguments: tuple[str, ...], said: str) -> None:
    notebook("1", parameters="text: str = ''", name="story.ipynb")
    done = dslkit("schedule", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path("home").rglob("*.json"))


def test_systemd_takes_the_units(place: Place, tmp_path: Path) -> None:
    """Read as systemd's own checker reads them, where there is one; the words are those that were given."""
    made = nightly(zone="Europe/Berlin", parameters={"text": HOSTILE}, every="30 2 1 * 1")
    units = files(made, "systemd", place)
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.read_string(units["nightly.service"])
    words = shlex.split(service["Service"]["ExecStart"].replace("$$", "$").replace("%%", "%"))
    assert words[1:] == ["run", "story.ipynb", "-p", f"text={HOSTILE}"]
    assert Path(words[0]).is_absolute()
    assert units["nightly.timer"].count("OnCalendar=") == 2
    if checker := shutil.which("systemd-analyze"):
        paths = [str(tmp_path / name) for name in units]
        done = subprocess.run([checker, "verify", *paths], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("every", "moments"),
    [
        ("0 2 * * *", ("*-*-* 02:00:00",)),
        ("*/20 8-10 * * mon-fri", ("Mon,Tue,Wed,Thu,Fri *-*-* 08,09,10:00,20,40:00",)),
        ("0 0 1 */6 *", ("*-01,07-01 00:00:00",)),
        ("15 * * * 7", ("Sun *-*-* *:15:00",)),
        ("0 6 1,15 * 1", ("Mon *-*-* 06:00:00", "*-*-01,15 06:00:00")),
    ],
)
def test_cron_in_the_words_of_systemd(every: str, moments: tuple[str, ...]) -> None:
    assert calendar(nightly(every=every)) == moments
    if checker := shutil.which("systemd-analyze"):
        asked = [checker, "calendar", "--base-time=2026-03-01 00:00:00 UTC", "--iterations=5", *moments]
        zone = {**os.environ, "TZ": "UTC"}
        told = subprocess.run(asked, env=zone, capture_output=True, text=True, check=True).stdout
        found = sorted({datetime.fromisoformat(f"{day}T{time}+00:00") for day, time in WHEN.findall(told)})
        start = SINCE - timedelta(seconds=1)
        assert found[:5] == list(islice(nightly(every=every, zone="Etc/UTC").times(after=start), 5))


def test_the_manifest_has_the_form_of_a_cron_job(place: Place) -> None:
    manifest = yaml.safe_load(files(nightly(parameters={"text": "$(id)"}), "kubernetes", place)["nightly.yaml"])
    assert (manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]) == (
        "batch/v1",
        "CronJob",
        "nightly",
    )
    spec = manifest["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("0 2 * * *", "Etc/UTC", "Forbid")
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] in {"Never", "OnFailure"}, "a job takes no other"
    assert container["args"] == ["dslkit", "run", "story.ipynb", "-p", "text=$$(id)"]
    assert {each["name"]: each["value"] for each in container["env"]} == {
        "DSLKIT_HOME": "/data/home",
        "DSLKIT_SCHEDULE": "nightly",
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_a_pod_sees_only_its_volume(place: Place) -> None:
    inside = nightly(notebook=str(place.folder / "below" / "a.ipynb"))
    assert "- below/a.ipynb" in files(inside, "kubernetes", place)["nightly.yaml"]
    with pytest.raises(UsageError, match="outside the working folder"):
        files(nightly(notebook="/elsewhere/a.ipynb"), "kubernetes", place)


AIRFLOW = """
import papermill
from papermill.engines import papermill_engines

papermill_engines.register(None, papermill_engines.get_engine("dslkit"))
papermill.execute_notebook(
    "story.ipynb", "out.ipynb", parameters={"text": "x"}, progress_bar=False, report_mode=True,
    kernel_name=None, language=None, engine_name=None,
)
"""


def test_the_call_of_airflows_operator(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """It names no engine (unless the kernel is a remote one): ours is made papermill's default, as the page says."""
    notebook("print(text)", parameters="text: str = ''", name="story.ipynb")
    environment = {**os.environ, "DSLKIT_SCHEDULE": "airflow"}
    done = subprocess.run([sys.executable, "-c", AIRFLOW], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert printed(tmp_path / "out.ipynb").strip() == "x"
    rows = Ledger(tmp_path / "home").sql("SELECT tags['schedule'], status FROM runs").fetchall()
    assert rows == [("airflow", "completed")]
