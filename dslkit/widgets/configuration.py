"""The settings in force, by the names of their environment variables; of secrets only whether they are set."""

from __future__ import annotations

from pydantic import SecretStr

from dslkit.settings import Settings, load_settings
from dslkit.widgets import markup
from dslkit.widgets.markup import Shown


def settings_table() -> Shown:
    """Every setting with its value and what it is for."""
    settings = load_settings()
    rows = [
        (_variable(name), _value(getattr(settings, name)), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    note = markup.notice("Set them in the environment or in a file .env beside the notebook, then restart the kernel.")
    text = "\n".join(f"{name}={value}" for name, value, _ in rows)
    return Shown(markup.table(("Setting", "Value", "What it is"), rows) + note, text)


def _variable(name: str) -> str:
    return name.upper() if name.startswith("openai_") else f"DSLKIT_{name.upper()}"


def _value(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set (not shown)" if value.get_secret_value() else "not set"
    return "not set" if value is None else str(value)
