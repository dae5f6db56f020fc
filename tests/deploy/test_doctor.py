"""The doctor finds a good installation good, and in each broken one what is broken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dslkit import doctor
from dslkit.dify.engine import Engine
from dslkit.ledger import folder as _loaded  # noqa: F401 - a user without rights may not even read the package
from dslkit.settings import load_settings
from tests.deploy.model_list import listing

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk-planted-0123456789"
NOBODY = 65534


def dslkit(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own; warnings are errors there, too."""
    command = [sys.executable, "-W", "error", "-c", "from dslkit.cli import main; main()", *words]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def without_rights() -> Iterator[Path]:
    """A folder of somebody else's, seen by a user who may read it only."""
    folder = Path(tempfile.mkdtemp())
    home = folder / "home"
    (home / "ledger" / "journal").mkdir(parents=True)
    (home / "ledger" / "journal" / "1-1.jsonl").touch()
    for path in (folder, home, *home.rglob("*")):
        path.chmod(0o444 if path.is_file() else 0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield home
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, home, *home.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.engine
def test_a_good_installation() -> None:
    if Engine.find(os.environ.get("DSLKIT_ENGINE_PYTHON")) is None:
        pytest.skip("Dify's engine is not installed: dslkit engine install")
    with listing(200, "gpt-4o-mini") as server:
        settings = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": SECRET, "DSLKIT_MODEL": "gpt-4o-mini"}
        done = dslkit("doctor", "--json", "--port", str(free_port()), **settings)
    checks = json.loads(done.stdout)["checks"]
    assert [check for check in checks if check["status"] != "ok"] == []
    assert [check["name"] for check in checks] == [
        "versions", "settings", "ledger", "records", "disk", "permissions",
        "model", "prices", "telemetry", "engine", "knowledge", "port",
    ]  # fmt: skip
    assert done.returncode == 0
    assert server.keys == [f"Bearer {SECRET}"]
    assert SECRET not in done.stdout + done.stderr


def test_a_problem_is_exit_code_1_with_the_remedy_below_and_without_the_secret() -> None:
    with listing(401) as server:
        settings = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": SECRET, "DSLKIT_MODEL": "gpt-4o-mini"}
        done = dslkit("doctor", **settings, DSLKIT_ENGINE_PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert "problem  model        the server refuses the key (401)" in done.stdout
    assert "→ check OPENAI_API_KEY" in done.stdout
    assert "problem  engine" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_wrong_settings_are_the_only_problems_named() -> None:
    """Each on a line of its own, with what to do below, once."""
    done = dslkit("doctor", DSLKIT_WORKERS="many", DSLKIT_LOG_FORMAT="xml")
    assert done.returncode == 1
    _, *lines = done.stdout.splitlines()
    assert [line.split(" takes ")[0] for line in lines[::2]] == [
        "problem  settings     DSLKIT_WORKERS",
        "problem  settings     DSLKIT_LOG_FORMAT",
    ]
    assert {line.strip() for line in lines[1::2]} == {"→ correct or unset it"}


@pytest.mark.parametrize(
    ("status", "models", "found"),
    [
        (200, ("gpt-4o-mini",), "ok"),
        (200, ("another",), "warning"),
        (200, (), "ok"),
        (404, (), "warning"),
        (429, (), "warning"),
        (401, (), "problem"),
        (403, (), "problem"),
        (500, (), "problem"),
    ],
)
def test_what_the_models_server_says(
    monkeypatch: pytest.MonkeyPatch, status: int, models: tuple[str, ...], found: str
) -> None:
    with listing(status, *models) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        monkeypatch.setenv("DSLKIT_MODEL", "gpt-4o-mini")
        check = doctor.check_model(load_settings())
    assert check.status == found, check
    assert bool(check.remedy) == (found != "ok")
    assert ("refuses the key" in check.detail) == (status in {401, 403})


@pytest.mark.parametrize(
    ("key", "url", "said"),
    [
        ("", "", "needs a key"),
        ("sk planted", "", "spaces"),
        (SECRET, "http://127.0.0.1:9/v1", "ConnectionRefusedError"),
        (SECRET, "file:///etc/passwd", "ValueError"),
    ],
)
def test_a_model_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, key: str, url: str, said: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("DSLKIT_MODEL", "gpt-4o-mini")
    check = doctor.check_model(load_settings())
    assert (check.status, said in check.detail) == ("problem", True), check


def test_a_redirect_does_not_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with listing(200, "gpt-4o-mini") as other, listing(302, location=other.url) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        monkeypatch.setenv("DSLKIT_MODEL", "gpt-4o-mini")
        assert doctor.check_model(load_settings()).status == "problem"
        assert (len(server.keys), other.keys) == (1, [])


def test_a_home_that_cannot_be_written() -> None:
    with without_rights() as home:
        ledger, permissions = doctor.check_ledger(home), doctor.check_permissions(home, [])
    assert ledger.status == "problem"
    assert "Permission denied" in ledger.detail
    assert "DSLKIT_HOME" in ledger.remedy
    assert (permissions.status, "1 files" in permissions.detail) == ("problem", True)


def test_a_home_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert doctor.check_ledger(tmp_path / "file" / "home").status == "problem"


def test_looking_at_the_ledger_makes_no_home(tmp_path: Path) -> None:
    assert "can be made" in doctor.check_ledger(tmp_path / "new").detail
    assert not (tmp_path / "new").exists()


def test_lost_records_are_found(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "manifest.json").write_text("{")
    check = doctor.check_records(tmp_path)
    assert check.status == "problem"
    assert "ledger" in check.remedy


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk of one megabyte, filled to the last byte, in a mount namespace of its own."""
    look = "import sys; from pathlib import Path; from dslkit import doctor; d = Path(sys.argv[1]);"
    look += "print(*(doctor.check_ledger(home).status for home in (d, d / 'new')), doctor.check_disk(d).status,"
    look += "doctor.check_ledger(d).remedy)"
    script = (
        'mount -t tmpfs -o size=1m none "$1" || exit 77; cat /dev/zero >"$1/fill" 2>/dev/null; exec "$2" -c "$3" "$1"'
    )
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, look]
    if shutil.which("unshare") is None:
        pytest.skip("needs mount namespaces, which are Linux's")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"this user may mount nothing: {done.stderr.strip()}")
    assert done.stdout == "problem problem problem free some space, or name another: DSLKIT_HOME\n", done.stderr


def test_little_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(doctor, "SCANT_ROOM", free * 2)
    assert doctor.check_disk(tmp_path).status == "warning"
    monkeypatch.setattr(doctor, "LEAST_ROOM", free * 2)
    assert doctor.check_disk(tmp_path).status == "problem"


def test_a_filesystem_without_a_size_is_not_full() -> None:
    assert doctor.check_disk(Path("/proc/nohome")).status == "ok"


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    check = doctor.check_disk(tmp_path)
    assert (check.status, "TMPDIR" in check.remedy) == ("problem", True)


def test_no_engine_is_a_warning_and_a_wrong_one_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor.check_engine(Path(sys.executable)).status == "problem"  # it has no graphon
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    check = doctor.check_engine(None)
    assert (check.status, check.remedy) == ("warning", "run: dslkit engine install")


def test_a_broken_pattern_is_named(tmp_path: Path) -> None:
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "mine.yml").write_text("id: [")
    check = doctor.check_knowledge(tmp_path)
    assert (check.status, "mine.yml" in check.detail) == ("problem", True)


def test_a_port_of_somebody_who_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        check = doctor.check_port("127.0.0.1", taken.getsockname()[1])
    assert (check.status, "--port" in check.remedy) == ("problem", True)


@pytest.mark.parametrize(("health", "found"), [({}, "problem"), ({"status": "ok"}, "ok")])
def test_a_port_is_well_where_the_service_answers(health: dict[str, str], found: str) -> None:
    with listing() as server:
        server.health = health
        assert doctor.check_port("127.0.0.1", server.server_port).status == found


def test_misspelt_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("export DSLKIT_WORKER=3\n# DSLKIT_NOT=1\n")
    check = doctor.check_names({"DSLKIT_HOME": "x", "OPENAI_API_KEY_FILE": "y", "DSLKIT_ODD": "1"}, tmp_path / ".env")
    assert check.status == "warning"
    assert "DSLKIT_WORKER (did you mean DSLKIT_WORKERS?)" in check.detail
    assert "DSLKIT_ODD" in check.detail
    assert "DSLKIT_NOT" not in check.detail
    assert doctor.check_names({"DSLKIT_RUN_ID": "x"}, tmp_path / "none").status == "ok"


@pytest.mark.parametrize(("mode", "found"), [(0o644, "warning"), (0o600, "ok")])
def test_a_readable_dotenv_is_a_warning(tmp_path: Path, mode: int, found: str) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / ".env").chmod(mode)
    assert doctor.check_permissions(tmp_path / "home", [tmp_path / ".env"]).status == found


def test_a_readable_file_of_a_secret_is_a_warning(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-nobody-may-see", encoding="utf-8")
    key.chmod(0o777)
    checks = doctor.examine(port=free_port(), environment={"OPENAI_API_KEY_FILE": str(key)})
    (found,) = [check for check in checks if check.name == "permissions"]
    assert (found.status, found.remedy) == ("warning", f"chmod 600 {key}")


def test_a_python_without_sqlite_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"sqlite3", "chromadb"}]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("dslkit.knowledge")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "_sqlite3", None)
    found = doctor.check_knowledge(tmp_path)
    assert (found.status, found.remedy) == ("problem", "use a Python that was built with SQLite")


def test_a_dotenv_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("OPENAI_API_KEY=gehe\u00fcm".encode("latin-1"))
    with contextlib.chdir(tmp_path):
        (_, found) = doctor.examine(port=free_port())
    assert (found.status, found.detail) == ("problem", "The file .env is not UTF-8. Save it as UTF-8 and try again.")


def test_an_open_home_is_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert doctor.check_permissions(tmp_path, []).status == "warning"


def test_prices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSLKIT_MODEL", "gpt-4o-mini")
    assert "cost $0.00075" in doctor.check_prices(load_settings()).detail
    monkeypatch.setenv("DSLKIT_MODEL", "nobody-knows-this")
    assert doctor.check_prices(load_settings()).status == "warning"
    (tmp_path / "prices.toml").write_text("[[price]")
    monkeypatch.setenv("DSLKIT_PRICES", str(tmp_path / "prices.toml"))
    assert doctor.check_prices(load_settings()).status == "problem"


@pytest.mark.parametrize(
    ("named", "gone", "status", "said"),
    [
        ({}, (), "ok", "nobody is told"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "SENTRY_DSN": "https://k@x/1"}, (), "ok", "collector, errors go"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ("opentelemetry.exporter.otlp.proto.http",), "warning", "[otel]"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (), "warning", "4318"),
        ({"SENTRY_DSN": f"https://{SECRET}@x/1"}, ("sentry_sdk",), "warning", "[sentry]"),
        ({"SENTRY_DSN": f"https://{SECRET}@x:port/1"}, (), "warning", "no address of a Sentry project"),
    ],
)
def test_telemetry_that_would_not_arrive_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], gone: tuple[str, ...], status: str, said: str
) -> None:
    for name in gone:
        monkeypatch.setitem(sys.modules, name, None)  # as when it is not installed
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    check = doctor.check_telemetry(load_settings(), os.environ)
    assert (check.status, bool(check.remedy)) == (status, status != "ok")
    assert said in check.detail
    assert SECRET not in check.detail + check.remedy


def test_a_package_that_is_gone_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NEEDED", ("no-such-package",))
    check = doctor.check_versions()
    assert (check.status, "no-such-package" in check.detail) == ("problem", True)
