"""The settings in force, by the names of their environment variables; of secrets only whether they are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AliasChoices, SecretStr

from dslkit.settings import Settings, load_settings
from dslkit.widgets import markup
from dslkit.widgets.markup import Shown

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def settings_table() -> Shown:
    """Every setting with its value and what it is for."""
    settings = load_settings()
    rows = [
        (_variable(name, field), _value(getattr(settings, name)), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    note = markup.notice("Set them in the environment or in a file .env beside the notebook, then restart the kernel.")
    text = "\n".join(f"{name}={value}" for name, value, _ in rows)
    return Shown(markup.table(("Setting", "Value", "What it is"), rows) + note, text)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"DSLKIT_{name.upper()}"


def _value(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set (not shown)" if value.get_secret_value() else "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
