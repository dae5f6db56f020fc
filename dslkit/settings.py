"""Environment and ``.env``, read once at the edge (CLI, notebooks, server) into one frozen value.

Rooms never import this: they take plain keyword arguments.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dslkit.errors import SettingsError

OFFLINE_MODEL = "offline"

_Count = Annotated[int, Field(gt=0)]
_Usd = Annotated[Decimal, Field(gt=0)]


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


def load_settings() -> Settings:
    """Read the environment and ``.env`` of the working folder; raise SettingsError naming what is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    """Name each wrong setting and the remedy; never show a value, it may be a secret."""
    details = error.errors(include_input=False, include_url=False)
    lines = [f"{_env_name(detail['loc'])}: {detail['msg']}" for detail in details]
    return "Wrong settings (environment or .env):\n  " + "\n  ".join(lines) + "\nCorrect or unset them and try again."


def _env_name(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "?"
    return name if name.isupper() else f"DSLKIT_{name.upper()}"
