"""Settings: wrong ones stop the start in words, and a secret comes from a file or is never seen."""

from __future__ import annotations

import pytest

from dslkit.errors import SettingsError
from dslkit.settings import Settings, env_name, is_secret, load_settings

SECRET = "sk-planted-0123456789"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DSLKIT_WORKERS", "two", "takes a whole number; unset it is 2"),
        ("DSLKIT_WORKERS", "0", "greater than 0"),
        ("DSLKIT_RATE_LIMIT_PERIOD", "inf", "takes a number; unset it is 60.0"),
        ("DSLKIT_RATE_LIMIT_ENABLED", "perhaps", "takes true or false; unset it is True"),
        ("DSLKIT_BUDGET_PER_DAY_USD", "-1", "takes an amount in USD. "),
        ("DSLKIT_TOKENS_PER_MINUTE", "1.5", "takes a whole number. "),
        ("DSLKIT_TRUSTED_PROXIES", "10.0.0.0/99", "takes a list with commas. must be addresses or networks"),
        ("DSLKIT_LOG_FORMAT", "xml", "'text' or 'json'"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_takes_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert f"{name} takes" in str(raised.value)
    assert said in str(raised.value)
    assert "unset them" in str(raised.value)
    if len(value) > 2:
        assert value not in str(raised.value)


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSLKIT_WORKERS", "-1")
    monkeypatch.setenv("DSLKIT_CONCURRENCY", "many")
    with pytest.raises(SettingsError, match=r"(?s)DSLKIT_CONCURRENCY.*DSLKIT_WORKERS"):
        load_settings()


@pytest.mark.parametrize("field", [name for name in Settings.model_fields if is_secret(name)])
def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path, field: str) -> None:
    name = env_name(field)
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / ".env").write_text(f"{name}=another\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    held = getattr(load_settings(), field)
    assert held.get_secret_value() == SECRET
    assert SECRET not in repr(load_settings())


def test_a_file_and_a_value_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(SettingsError, match="both set") as raised:
        load_settings()
    assert SECRET not in str(raised.value)


def test_a_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "/nowhere/key")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY_FILE names cannot be read"):
        load_settings()


def test_every_kind_of_setting_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field of a new type must not make the complaint fail itself."""
    from dslkit.settings import _complaint

    for field in Settings.model_fields:
        assert _complaint(field, "wrong").startswith(f"{env_name(field)} takes ")
