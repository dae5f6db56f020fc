"""Environment and ``.env``, read once at the edge (CLI, notebooks, server) into one frozen value.

A secret may also lie in a file that ``NAME_FILE`` names, as Docker and systemd hand secrets over.  Rooms never import
this: they take plain keyword arguments.
"""

from __future__ import annotations

import os
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AliasChoices, BeforeValidator, Field, PlainValidator, SecretStr, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dslkit.errors import SettingsError

OFFLINE_MODEL = "offline"

_Count = Annotated[int, Field(gt=0)]
_Usd = Annotated[Decimal, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]


def _listed(value: object) -> object:
    """What stands between the commas of an environment variable."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, with commas between them") from None


_Listed = BeforeValidator(_listed)
_Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]


class Settings(BaseSettings):
    """Every setting, by its environment name: ``DSLKIT_`` and the field in upper case, or the alias."""

    model_config = SettingsConfigDict(
        env_prefix="DSLKIT_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Field(default=Path(".dslkit"), description="ledger, cache, patterns and shared windows")
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="key of the provider",
    )
    openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
        description="any OpenAI-compatible server; the SDK's own default when unset",
    )
    model: str = Field(default=OFFLINE_MODEL, description="model asked for; 'offline' needs no key and no network")
    requests_per_minute: _Count = Field(default=100, description="sliding window of requests, shared by all processes")
    tokens_per_minute: _Count | None = Field(default=None, description="sliding window of tokens; unlimited when unset")
    concurrency: _Count = Field(default=64, description="requests in flight at most, per process")
    budget_per_run_usd: _Usd | None = Field(default=None, description="a run stops before it would spend more")
    budget_per_day_usd: _Usd | None = Field(default=None, description="a UTC day stops before it would spend more")
    engine_python: Path | None = Field(default=None, description="an interpreter that has Dify's engine (graphon)")
    prices: Path | None = Field(default=None, description="TOML file of price overrides")
    alert_rules: Path = Field(default=Path("alerts.toml"), description="TOML file of the rules of `dslkit alerts`")
    sentry_dsn: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("SENTRY_DSN", "sentry_dsn"),
        description="where errors are reported, without prompts, answers and keys; needs the extra 'sentry'",
    )
    rate_limit_enabled: bool = Field(default=True, description="whether the service limits what a client may ask")
    rate_limit_requests: Annotated[int, Field(gt=0, le=10_000)] = Field(
        default=100, description="requests that the service admits from one client in rate_limit_period"
    )
    rate_limit_period: _Seconds = Field(default=60.0, description="length of the service's sliding window, in seconds")
    trusted_proxies: Annotated[tuple[_Network, ...], NoDecode, _Listed] = Field(
        default=(), description="addresses or networks, with commas, whose X-Forwarded-For and X-Real-IP are believed"
    )
    cors_origins: Annotated[tuple[_Origin, ...], NoDecode, _Listed] = Field(
        default=(), description="origins, with commas, whose pages may call the service: https://app.example.com"
    )
    workers: _Count = Field(default=2, description="processes in which the service generates workflows")
    generate_timeout: _Seconds = Field(default=600.0, description="seconds after which the service gives up a workflow")
    max_request_bytes: _Count = Field(default=2_000_000, description="size of a request's body that the service takes")
    log_format: Literal["text", "json"] = Field(default="text", description="form of the service's request log")
    reports: Path = Field(default=Path("reports"), description="folder whose HTML files the service shows at /reports/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic; a folder of secrets is not ours
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, files of secrets, environment, ``.env``: the first that has a setting gives it."""
        files = InitSettingsSource(settings_cls, _secrets_in_files())
        return init_settings, files, env_settings, dotenv_settings


def load_settings() -> Settings:
    """Read the environment and ``.env`` of the working folder; raise SettingsError naming what is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except UnicodeDecodeError:
        raise SettingsError("The file .env is not UTF-8. Save it as UTF-8 and try again.") from None


def env_name(field: str) -> str:
    """The environment variable of a field of ``Settings``."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"DSLKIT_{field.upper()}"


def is_secret(field: str) -> bool:
    """Whether the field of ``Settings`` is never to be shown, and may be read from a file."""
    annotation = Settings.model_fields[field].annotation
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _secrets_in_files() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in filter(is_secret, Settings.model_fields):
        name = env_name(field)
        file = os.environ.get(f"{name}_FILE")
        if not file:
            continue
        if os.environ.get(name):
            raise SettingsError(f"{name} and {name}_FILE are both set: unset one of them.")
        try:
            found[field] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise SettingsError(
                f"The file that {name}_FILE names cannot be read ({reason}): correct its path or its permissions."
            ) from None
    return found


def _explain(error: ValidationError) -> str:
    """Name each wrong setting, what it takes, and the remedy; never show a value, it may be a secret."""
    details = error.errors(include_input=False, include_url=False)
    lines = [_complaint(str(detail["loc"][0]), detail["msg"]) for detail in details]
    return "Wrong settings (environment or .env):\n  " + "\n  ".join(lines) + "\nCorrect or unset them and try again."


def _complaint(location: str, reason: str) -> str:
    field = next((name for name in Settings.model_fields if location in {name, env_name(name)}), None)
    if field is None:
        return f"{location}: {reason}"
    default = Settings.model_fields[field].default
    without = "" if default in (None, ()) else f"; unset it is {default}"
    return f"{env_name(field)} takes {_TAKES[_kind(field)]}{without}. {reason.removeprefix('Value error, ')}"


def _kind(field: str) -> object:
    """What a field holds, where it is not None."""
    annotation = Settings.model_fields[field].annotation
    origin = get_origin(annotation)
    if origin in _TAKES:
        return origin
    choices = [choice for choice in get_args(annotation) or (annotation,) if choice is not type(None)]
    kind = choices[0]
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


_TAKES: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    Decimal: "an amount in USD",
    bool: "true or false",
    str: "text",
    SecretStr: "text, which is never shown",
    Path: "a path",
    tuple: "a list with commas",
    Literal: "one word of a few",
}
