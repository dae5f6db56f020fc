"""Examines an installation: what is there, what would go wrong, and what to do about it.

Each check is a function of its own that never raises and never shows a secret; ``examine`` makes all of them.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dslkit.errors import DslkitError
from dslkit.settings import OFFLINE_MODEL, Settings, env_name, is_secret, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Status = Literal["ok", "warning", "problem"]

PORT = 8888
LEAST_ROOM = 256 * 1024**2  # bytes: less, and a batch soon stops
SCANT_ROOM = 1024**3
MODEL_TIMEOUT_S = 5.0
PYTHONS = ((3, 11), (3, 13))
_NEEDED = ("openai", "duckdb", "chromadb", "papermill", "jupyter_server", "genai-prices", "vl-convert-python")
_OPENAI_URL = "https://api.openai.com/v1"
_NOT_SETTINGS = {"DSLKIT_RUN_ID", "DSLKIT_SCHEDULE", "DSLKIT_SHARED"}  # of runs, of schedules, of tests
_MILLION = 1_000_000
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # to this machine, whatever HTTP_PROXY says


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, how it stands, and what to do; ``remedy`` is empty when all is well."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(
    *, ip: str = "127.0.0.1", port: int = PORT, environment: Mapping[str, str] | None = None
) -> Iterator[Check]:
    """Every check, each as it is made; with wrong settings nothing that depends on them is looked at."""
    environment = os.environ if environment is None else environment
    yield check_versions()
    try:
        settings = load_settings()
    except DslkitError as error:
        yield from _wrong_settings(str(error))
        return
    with ThreadPoolExecutor(3) as others:  # servers and processes, which take their time
        model = others.submit(check_model, settings)
        engine = others.submit(check_engine, settings.engine_python)
        listening = others.submit(check_port, ip, port)
        yield check_names(environment, Path(".env"))
        yield check_ledger(settings.home)
        yield check_records(settings.home)
        yield check_disk(settings.home)
        yield check_permissions(settings.home, [Path(".env"), *_secret_files(environment)])
        yield model.result()
        yield check_prices(settings)
        yield check_telemetry(settings, environment)
        knowledge = check_knowledge(settings.home)
        yield engine.result()
        yield knowledge
        yield listening.result()


def check_versions() -> Check:
    """This Python, dslkit, and what it cannot do without."""
    found, missing = [f"Python {sys.version.split()[0]}", f"dslkit {metadata.version('dslkit')}"], []
    for name in _NEEDED:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    detail = ", ".join(found)
    if missing:
        return _problem("versions", f"not installed: {', '.join(missing)}", "install dslkit again: pip install dslkit")
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return _problem("versions", detail, "use Python 3.11 to 3.13")
    return _ok("versions", detail)


def check_names(environment: Mapping[str, str], dotenv: Path) -> Check:
    """Names that look like settings and are none: a misspelt one has no effect, and nothing else says so."""
    known = {env_name(field) for field in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known} | _NOT_SETTINGS
    unknown = sorted(
        name for name in {*environment, *_names_in(dotenv)} if name.startswith("DSLKIT_") and name not in known
    )
    if not unknown:
        return _ok("settings", "all that is set is a setting, and takes its value")
    near = [difflib.get_close_matches(name, known, 1) for name in unknown]
    words = [f"{name} (did you mean {match[0]}?)" if match else name for name, match in zip(unknown, near, strict=True)]
    return _warning("settings", f"no setting has this name: {', '.join(words)}", "correct or unset it")


def check_ledger(home: Path) -> Check:
    """Whether records can be written: folders, file locks, a file made durable.  Makes no home where there is none."""
    from dslkit.ledger.folder import Folder, network_filesystem  # noqa: PLC0415 - rooms load when they are looked at

    there = _existing(home)
    try:
        if there == home:
            Folder(home.resolve()).create()
        _write_durably(there)
    except (OSError, DslkitError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or str(error)
        full = getattr(cause, "errno", None) == errno.ENOSPC
        remedy = "free some space" if full else "make it a folder that can be written"
        return _problem("ledger", f"{home} takes no records: {reason}", f"{remedy}, or name another: DSLKIT_HOME")
    kind = network_filesystem(there)
    if kind:
        remedy = "name a folder on a local disk with DSLKIT_HOME"
        return _warning("ledger", f"{home} lies on a network filesystem ({kind})", remedy)
    return _ok("ledger", f"{home} takes records" if there == home else f"{home} can be made")


def check_records(home: Path) -> Check:
    """Whether all that was recorded can be read."""
    from dslkit.ledger import Ledger  # noqa: PLC0415 - loads duckdb

    try:
        found = Ledger(home).verify()
    except (OSError, DslkitError) as error:
        return _problem("records", f"the ledger cannot be read: {error}", "see: dslkit ledger verify")
    if found.lost:
        wrong = [finding.message for finding in found.findings if finding.severity == "error"]
        return _problem("records", wrong[0], "see: dslkit ledger verify, then dslkit ledger rebuild")
    return _ok("records", f"{found.calls:,} attempts, nothing lost")


def check_disk(home: Path) -> Check:
    """Room for the ledger and its caches, and a temporary folder that can be written."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"room?")
            file.flush()
        usage = shutil.disk_usage(_existing(home))
    except OSError as error:
        remedy = "free some space, or name another temporary folder with TMPDIR"
        return _problem("disk", f"no temporary file can be written ({error.strerror})", remedy)
    if not usage.total:  # /proc, or a tmpfs without a limit: nothing there is ever full
        return _ok("disk", f"the filesystem of {home} has no size")
    free, detail = usage.free, f"{usage.free // _MILLION:,} MB free at {home}"
    if free < LEAST_ROOM:
        return _problem("disk", detail, "free some space: dslkit ledger prune --before 365d, or a larger disk")
    return _warning("disk", detail, "a larger disk soon") if free < SCANT_ROOM else _ok("disk", detail)


def check_permissions(home: Path, secrets: Sequence[Path]) -> Check:
    """Files that this user cannot write, as when root ran once; and secrets or records that everybody can read."""
    effective = os.access in os.supports_effective_ids
    files = (path for path in (home / "ledger").rglob("*") if path.is_file())
    foreign = [path for path in files if not os.access(path, os.W_OK, effective_ids=effective)]
    if foreign:
        remedy = f"give them to this user: chown -R $(id -u) {home}"
        return _problem("permissions", f"{len(foreign)} files of the ledger belong to somebody else", remedy)
    if shown := [
        str(path) for path in secrets if path.is_file() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)
    ]:
        names = " ".join(shown)
        return _warning("permissions", f"everybody on this machine can read {names}", f"chmod 600 {names}")
    if home.is_dir() and home.stat().st_mode & stat.S_IWOTH:
        return _warning("permissions", f"everybody on this machine can write to {home}", f"chmod o-w {home}")
    return _ok("permissions", "nothing is open to others that should not be")


def check_model(settings: Settings, timeout_s: float = MODEL_TIMEOUT_S) -> Check:
    """Whether the server answers, takes the key and knows the model; asks for its list of models, which is free."""
    if settings.model == OFFLINE_MODEL:
        return _ok("model", "offline: needs no key and no network")
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    if not key:
        return _problem("model", f"{settings.model} needs a key", "set OPENAI_API_KEY or OPENAI_API_KEY_FILE")
    if not key.isascii() or key != "".join(key.split()):
        return _problem("model", "the key has spaces or signs that no key has", "copy OPENAI_API_KEY once more")
    return _asked(settings, key, timeout_s)


def _asked(settings: Settings, key: str, timeout_s: float) -> Check:
    try:
        known = _models(settings.openai_base_url or _OPENAI_URL, key, timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            return _refusal(error.code)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        remedy = "check OPENAI_BASE_URL, the network, and whether the server runs"
        return _problem("model", f"no answer from the model's server ({type(reason).__name__})", remedy)
    if known and settings.model not in known:
        remedy = f"check DSLKIT_MODEL; it lists {', '.join(sorted(known)[:5])}…"
        return _warning("model", f"the server does not list {settings.model}", remedy)
    return _ok("model", f"the server answers and takes the key for {settings.model}")


def check_prices(settings: Settings) -> Check:
    """Whether the model's price is known: without one there is no cost, and no budget."""
    from dslkit.pricing import Prices  # noqa: PLC0415 - price lists take 0.2 s to load
    from dslkit.records import Usage  # noqa: PLC0415 - with them

    try:
        prices = Prices(settings.prices)
    except DslkitError as error:
        return _problem("prices", str(error), "correct the file that DSLKIT_PRICES names")
    usage = Usage(input_tokens=1000, output_tokens=1000)
    price = prices.price(usage, provider="openai", model=settings.model, date=datetime.now(UTC))
    if price.cost_usd is None:
        remedy = "give its price in the file that DSLKIT_PRICES names"
        return _warning("prices", f"the price of {settings.model} is unknown, so its cost stays unknown", remedy)
    return _ok("prices", f"1,000 tokens in and out of {settings.model} cost ${price.cost_usd:f}")


def check_telemetry(settings: Settings, environment: Mapping[str, str]) -> Check:
    """Whether traces and errors can be sent to where the environment wants them; sends none."""
    from dslkit.telemetry import errors, exporting  # noqa: PLC0415 - rooms load when they are looked at

    dsn = settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else ""
    found = {}
    if exporting.is_wanted(environment):
        found["traces go to a collector"] = exporting.obstacle(environment)
    if dsn:
        found["errors go to Sentry"] = errors.obstacle(dsn)
    if problems := [problem for problem in found.values() if problem]:
        return _warning("telemetry", " ".join(problems), "do so, or unset what names the receiver")
    return _ok("telemetry", ", ".join(found) or "nobody is told: neither a collector nor Sentry is named")


def check_engine(python: Path | None) -> Check:
    """Run a shipped workflow on Dify's engine."""
    from dslkit.dify.engine import Engine, status  # noqa: PLC0415 - rooms load when they are looked at
    from dslkit.dify.workflow import Workflow  # noqa: PLC0415
    from dslkit.knowledge import shipped_patterns  # noqa: PLC0415

    remedy = "correct or unset DSLKIT_ENGINE_PYTHON" if python else "run: dslkit engine install"
    try:
        found = status(python=python)
    except DslkitError as error:
        return _problem("engine", str(error), remedy)
    if found.python is None:
        return _warning("engine", "not installed: workflows count as clean, not as working", found.remedy)
    pattern = shipped_patterns()[0]
    workflow = Workflow.from_reply(json.dumps(dict(pattern.plan)), name=pattern.title, mode=pattern.mode)
    with Engine(found.python, workers=1) as engine:
        run = engine.run(workflow.document)
    if run.status != "ran":
        said = "; ".join(finding.message for finding in run.findings)
        return _problem("engine", f"a shipped workflow does not run: {said}", remedy)
    return _ok("engine", f"graphon {found.graphon} ran a shipped workflow in {run.seconds:.1f} s")


def check_knowledge(home: Path) -> Check:
    """Read all patterns and search them."""
    try:
        from dslkit.knowledge import Knowledge  # noqa: PLC0415 - Chroma takes over a second to load

        known = Knowledge(home)
        count = len(known.list())
        found = known.search("summarise a document", 1)
        known.close()
    except ModuleNotFoundError as error:
        lacking = str(error.name).lstrip("_")
        remedy = "use a Python that was built with SQLite" if lacking == "sqlite3" else "pip install dslkit again"
        return _problem("knowledge", f"this Python has no {lacking}, which the search of patterns needs", remedy)
    except Exception as error:  # noqa: BLE001 - Chroma, an embedding or a pattern file: whatever it is, it is the finding
        remedy = f"correct the file it names in {home / 'patterns'}, or remove {home / 'knowledge'}, which is a cache"
        return _problem("knowledge", f"{type(error).__name__}: {error}", remedy)
    return _ok("knowledge", f"{count} patterns, the search finds {found[0].pattern.id if found else 'nothing'}")


def check_port(ip: str, port: int) -> Check:
    """Whether the service can listen, or listens already."""
    try:
        with socket.create_server((ip, port)):
            return _ok("port", f"{port} on {ip} is free")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    if _is_ours(ip, port):
        return _ok("port", f"dslkit serves on {ip}:{port}")
    return _problem("port", f"{port} on {ip} cannot be used: {reason}", "name another: dslkit serve --port N")


def _wrong_settings(message: str) -> list[Check]:
    """One for each line that is set in: these name a setting each, below a heading and above what to do."""
    lines = message.splitlines()
    wrong = [line.strip() for line in lines if line.startswith(" ")]
    return [_problem("settings", line, "correct or unset it") for line in wrong or lines]


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)


def _warning(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status="warning", detail=detail, remedy=remedy)


def _problem(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status="problem", detail=detail, remedy=remedy)


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return path if path.exists() else next(above for above in path.absolute().parents if above.exists())


def _write_durably(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"record?")
        file.flush()
        os.fsync(file.fileno())


def _secret_files(environment: Mapping[str, str]) -> list[Path]:
    """Those that ``NAME_FILE`` names."""
    names = (f"{env_name(field)}_FILE" for field in Settings.model_fields if is_secret(field))
    return [Path(environment[name]) for name in names if environment.get(name)]


def _names_in(dotenv: Path) -> set[str]:
    """The names that a ``.env`` sets; its values are left alone."""
    try:
        lines = dotenv.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    return {line.partition("=")[0].removeprefix("export ").strip() for line in lines if "=" in line}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for the server it was set for; urllib would carry it on to wherever that one points."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _models(base_url: str, key: str, timeout_s: float) -> set[str]:
    """The ids that the server lists; none where it answers in a form of its own."""
    url = f"{base_url.rstrip('/')}/models"
    if not url.startswith(("http://", "https://")):
        raise ValueError("no address of a server")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - http(s), seen above
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s) as answer:
        try:
            listed = json.load(answer)["data"]
            return {str(model["id"]) for model in listed}
        except (ValueError, LookupError, TypeError):
            return set()


def _refusal(status: int) -> Check:
    if status in {401, 403}:
        return _problem("model", f"the server refuses the key ({status})", "check OPENAI_API_KEY and OPENAI_BASE_URL")
    if status == 404:  # noqa: PLR2004 - HTTP's "not found"
        remedy = "check that OPENAI_BASE_URL ends in /v1, if the server has it so"
        return _warning("model", "the server answers, but lists no models", remedy)
    if status == 429:  # noqa: PLR2004 - HTTP's "too many requests"
        return _warning("model", "the server answers: too many requests", "wait, or lower DSLKIT_REQUESTS_PER_MINUTE")
    return _problem("model", f"the server answers {status}", "see the server's own log, or check OPENAI_BASE_URL")


def _is_ours(ip: str, port: int) -> bool:
    host = "127.0.0.1" if ip in {"0.0.0.0", ""} else ip  # noqa: S104 - what is asked for, not listened on
    try:
        with _DIRECT.open(f"http://{host}:{port}/health", timeout=2) as answer:
            return "status" in json.load(answer)
    except (OSError, ValueError):
        return False
