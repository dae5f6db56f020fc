"""The example of production settings lists every setting, says its true default, and starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from dslkit.settings import Settings, env_name, load_settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "deploy" / ".env.production.example").read_text(encoding="utf-8")
LINES = re.findall(r"^(# )?([A-Z][A-Z0-9_]+)=(\S*)$", EXAMPLE, re.MULTILINE)
FIELDS = {env_name(field): field for field in Settings.model_fields}


def test_every_setting_is_listed_once() -> None:
    names = [name for _, name, _ in LINES]
    assert len(names) == len(set(names))
    assert set(FIELDS) - set(names) == set()


def test_what_is_no_setting_of_ours_is_read_by_something() -> None:
    """Nothing is listed that does nothing: Jupyter's token, and what the code names."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dslkit").rglob("*.py"))
    others = {name for _, name, _ in LINES} - set(FIELDS) - {"JUPYTER_TOKEN"}
    assert [name for name in others if f'"{name}"' not in code] == []


def test_all_values_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name, value in LINES:
        if name in FIELDS:
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.cors_origins == ("https://app.example.com",)


@pytest.mark.parametrize(("name", "value"), [(name, value) for off, name, value in LINES if off and name in FIELDS])
def test_a_default_that_is_shown_is_the_default(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Where there is one; else the line is an example."""
    monkeypatch.delenv("DSLKIT_HOME")
    default = Settings.model_fields[FIELDS[name]].default
    monkeypatch.setenv(name, value)
    if default not in (None, ()):
        assert getattr(load_settings(), FIELDS[name]) == default


def test_no_secret_has_a_value() -> None:
    assert [value for _, name, value in LINES if name.endswith(("KEY", "TOKEN")) and value] == []
    assert Settings.model_fields["openai_api_key"].annotation == SecretStr | None


def test_each_section_is_there() -> None:
    heads = re.findall(r"^# ---- (.*?) -+$", EXAMPLE, re.MULTILINE)
    wanted = (
        "model",
        "environment",
        "CORS",
        "Tracing",
        "Error tracking",
        "Security",
        "Rate limits",
        "Performance",
        "Feature",
    )
    assert [word for word in wanted if not any(word in head for head in heads)] == []
