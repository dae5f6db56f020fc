"""Schedules used for real: by a cron daemon, held to systemd's checker and to what Kubernetes knows of CronJobs."""

from __future__ import annotations

import configparser
import getpass
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes.client import ApiClient

from dslkit.analysis.schedules import Schedule, missed, schedules
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.notebooks.scheduling import Place, calendar, files
from tests.notebooks.executed import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
WHEN = re.compile(r"(?:elapse|#\d+): \w{3} (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")  # what systemd-analyze says
CRON = shutil.which("cron", path=f"{os.environ['PATH']}:/usr/sbin")
SYSTEMD = shutil.which("systemd-analyze")
# Debian's cron knows no other folders than the system's: it is given its own view of them.
PRIVATE = """
mount -t tmpfs none /run && mount --bind "$0" /var/spool/cron/crontabs && mount -t tmpfs none /etc/cron.d \
  && mount --bind /dev/null /etc/crontab && exec "$1" -f
"""
A_MINUTE_S = 90.0  # with the run, on a busy machine
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 4,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
}
HOSTILE = '50% of $HOME\'s `id` "all" \\ $(id)'


def nightly(**changes: Any) -> Schedule:
    return Schedule(**{"name": "nightly", "notebook": "story.ipynb", "every": "0 2 * * *", "since": SINCE, **changes})


def dslkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dslkit.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module", autouse=True)
def cron(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A folder where a cron daemon of our own runs a notebook every minute, from the first test of this file on."""
    folder = tmp_path_factory.mktemp("cron")
    if CRON is None or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        yield None
        return
    cell = {"cell_type": "code", "metadata": {}, "source": "1 + 1", "outputs": [], "execution_count": None}
    (folder / "story.ipynb").write_text(json.dumps(NOTEBOOK | {"cells": [cell]}))
    environment = {**os.environ, "DSLKIT_HOME": str(folder / "home")}
    command = [sys.executable, "-c", "from dslkit.cli import main; main()", "schedule", "story.ipynb"]
    written = [*command, "--every", "* * * * *", "--name", "minutely", "--out", "tabs"]
    subprocess.run(written, cwd=folder, env=environment, check=True, capture_output=True)
    table = (folder / "tabs" / "minutely.cron").rename(folder / "tabs" / getpass.getuser())
    table.chmod(0o600)
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", PRIVATE, str(folder / "tabs"), CRON]) as daemon:
        yield folder
        daemon.terminate()


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


def test_another_schedule_of_that_name_is_not_replaced_in_silence(notebook: Callable[..., Path]) -> None:
    """What it was, and what it is now; the same once more is no news."""
    notebook("1", parameters="text: str = ''", name="story.ipynb")
    for _ in range(2):
        assert "replaced" not in dslkit("schedule", "story", "--every", "@daily", "-p", "text", "a b").stderr
    told = dslkit("schedule", "story", "--every", "0 2 * * *", "--timezone", "Etc/UTC", "--as", "systemd")
    assert told.returncode == 0
    assert "It was: story --every '0 0 * * *' -p 'text=a b'. It is now: " in told.stderr
    assert "--every '0 2 * * *' --timezone Etc/UTC." in told.stderr
    assert "replaced" not in told.stdout
    assert "replaced" not in dslkit("schedule", "story", "--every", "@daily", "--name", "other").stderr


def test_a_schedule_of_the_sample_requirements_says_so(tmp_path: Path) -> None:
    """Not where others are named, or the folder has a file of that name."""
    assert "our sample, requirements.jsonl" in dslkit("schedule", "generate_batch", "--every", "@daily").stderr
    (tmp_path / "wishes.txt").write_text("Summarise a text.")
    own = dslkit("schedule", "generate_batch", "--every", "@daily", "-p", "requirements", "wishes.txt")
    assert "sample" not in own.stderr
    (tmp_path / "wishes.txt").rename(tmp_path / "requirements.jsonl")
    assert "sample" not in dslkit("schedule", "generate_batch", "--every", "@daily").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", "--every", "@daily"), "No notebook 'missing'"),
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


def test_the_units_hold_the_words_that_were_given(place: Place) -> None:
    made = nightly(zone="Europe/Berlin", parameters={"text": HOSTILE}, every="30 2 1 * 1")
    units = files(made, "systemd", place)
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.read_string(units["nightly.service"])
    words = shlex.split(service["Service"]["ExecStart"].replace("$$", "$").replace("%%", "%"))
    assert words[1:] == ["run", "story.ipynb", "-p", f"text={HOSTILE}"]
    assert Path(words[0]).is_absolute()
    assert units["nightly.timer"].count("OnCalendar=") == 2


@pytest.mark.skipif(SYSTEMD is None, reason="needs systemd-analyze, of the package systemd")
def test_systemd_takes_the_units(place: Place, tmp_path: Path) -> None:
    made = nightly(zone="Europe/Berlin", parameters={"text": HOSTILE}, every="30 2 1 * 1")
    for name, text in files(made, "systemd", place).items():
        (tmp_path / name).write_text(text)
    paths = [str(path) for path in tmp_path.glob("nightly.*")]
    done = subprocess.run([str(SYSTEMD), "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(paths)) == (0, "", 2)


in_both_words = pytest.mark.parametrize(
    ("every", "moments"),
    [
        ("0 2 * * *", ("*-*-* 02:00:00",)),
        ("*/20 8-10 * * mon-fri", ("Mon,Tue,Wed,Thu,Fri *-*-* 08,09,10:00,20,40:00",)),
        ("0 0 1 */6 *", ("*-01,07-01 00:00:00",)),
        ("15 * * * 7", ("Sun *-*-* *:15:00",)),
        ("0 6 1,15 * 1", ("Mon *-*-* 06:00:00", "*-*-01,15 06:00:00")),
    ],
)


@in_both_words
def test_cron_in_the_words_of_systemd(every: str, moments: tuple[str, ...]) -> None:
    assert calendar(nightly(every=every)) == moments


@in_both_words
@pytest.mark.skipif(SYSTEMD is None, reason="needs systemd-analyze, of the package systemd")
def test_systemd_understands_the_same_times(every: str, moments: tuple[str, ...]) -> None:
    asked = [str(SYSTEMD), "calendar", "--base-time=2026-03-01 00:00:00 UTC", "--iterations=5", *moments]
    told = subprocess.run(asked, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=True).stdout
    found = sorted({datetime.fromisoformat(f"{day}T{clock}+00:00") for day, clock in WHEN.findall(told)})
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


@pytest.mark.parametrize("changes", [{}, {"zone": "Europe/Berlin", "parameters": {"text": HOSTILE}}])
def test_kubernetes_knows_every_field_of_the_manifest(place: Place, changes: dict[str, Any]) -> None:
    """Its own client reads it into a CronJob: a missing field is refused, one of another name or type is lost."""
    manifest = yaml.safe_load(files(nightly(**changes), "kubernetes", place)["nightly.yaml"])
    client = ApiClient()
    job = client.deserialize(json.dumps(manifest), "V1CronJob", "application/json")
    assert client.sanitize_for_serialization(job) == manifest


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


def test_a_cron_daemon_runs_the_written_line(cron: Path | None) -> None:
    """Last, as its daemon counts minutes meanwhile."""
    if cron is None:
        pytest.skip("needs cron, and the rights to give it folders of its own")
    deadline = time.monotonic() + A_MINUTE_S
    rows: list[tuple[object, ...]] = []
    while (not rows or rows[0][1] == "running") and time.monotonic() < deadline:
        time.sleep(0.2)
        rows = Ledger(cron / "home").sql("SELECT tags['schedule'], status FROM runs ORDER BY started_at").fetchall()
    (cron / "tabs" / getpass.getuser()).unlink()
    log = cron / "home" / "schedules" / "minutely.log"
    assert rows, log.read_text() if log.is_file() else "cron ran nothing"
    assert rows[0] == ("minutely", "completed"), log.read_text()
