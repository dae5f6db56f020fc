"""From given values to the cell that sets them: checked, refused when secret, in the notebook's own spelling."""

from __future__ import annotations

import datetime as dt
import difflib
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from dslkit.notebooks.parameters import Parameter, ParameterError
from dslkit.notebooks.secrets import find_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INJECTED_BY_PAPERMILL = frozenset({"PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"})


def fit_all(
    parameters: Sequence[Parameter], given: Mapping[str, object], *, notebook: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The given values in the types of their parameters.

    Raises:
        ParameterError: a secret, an unknown name or a value that does not fit; all of them at once, with what exists.
    """
    refuse_secrets(given, notebook=notebook, environment=environment)
    known = {parameter.name: parameter for parameter in parameters}
    fitted: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in given.items():
        try:
            fitted[name] = _fit(known, name, value)
        except ValueError as error:
            problems.append(f"  {name}: {error}")
    if problems:
        raise ParameterError("\n".join([f"{notebook} cannot take these parameters:", *problems, *listing(parameters)]))
    return fitted


def refuse_secrets(given: Mapping[str, object], *, notebook: str, environment: Mapping[str, str]) -> None:
    """Raise ParameterError when a value looks like a secret; the message names it and does not show it."""
    secret = list(find_secrets(given, environment))
    if secret:
        raise ParameterError(
            f"{notebook}: {', '.join(secret)} looks like a secret. Parameters are saved in the output notebook and the"
            " ledger; pass secrets by environment or .env (OPENAI_API_KEY), the notebook reads them there."
        )


def source(parameters: Sequence[Parameter], fitted: Mapping[str, object]) -> str:
    """The source of the injected cell: one assignment a line."""
    spellings = {kind: spelling for parameter in parameters for kind, spelling in parameter.spellings.items()}
    return "\n".join(["# Parameters", *(f"{name} = {_literal(value, spellings)}" for name, value in fitted.items())])


def plain(fitted: Mapping[str, object]) -> dict[str, Any]:
    """The values as JSON holds them: for the output notebook's metadata and the ledger."""
    values: dict[str, Any] = to_jsonable_python(fitted)
    return values


def _fit(known: Mapping[str, Parameter], name: str, value: object) -> object:
    if name in known:
        try:
            return known[name].fit(value)
        except ValueError as error:
            raise ValueError(f"{value!r} does not fit {known[name].type_name}: {error}") from None
    if name in INJECTED_BY_PAPERMILL:
        return value
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    raise ValueError("unknown" + (f"; did you mean {near[0]!r}?" if near else ""))


def listing(parameters: Sequence[Parameter]) -> list[str]:
    """What a notebook takes, one parameter a line, after a line that says so."""
    if not parameters:
        return ["It takes none: it has no cell tagged 'parameters' with assignments in it."]
    return ["It takes:", *(f"  {parameter}" for parameter in parameters)]


def _literal(value: object, spellings: Mapping[type, str]) -> str:
    """Python source of a value; types that are no literals go by the name the notebook gives them."""
    inner = partial(_literal, spellings=spellings)
    spelled = spellings.get(_named_kind(value), "")
    match value:
        case dict():
            text = f"{{{', '.join(f'{inner(key)}: {inner(each)}' for key, each in value.items())}}}"
        case list():
            text = f"[{', '.join(inner(each) for each in value)}]"
        case tuple() | set():
            text = f"{type(value).__name__}({inner(list(value))})"
        case dt.date() | dt.time():
            text = f"{spelled}.fromisoformat({value.isoformat()!r})" if spelled else repr(value.isoformat())
        case dt.timedelta():
            text = f"{spelled}(seconds={value.total_seconds()!r})" if spelled else repr(value.total_seconds())
        case Path() | Decimal():
            text = f"{spelled}({str(value)!r})"
        case _:
            text = repr(value)
    return text


def _named_kind(value: object) -> type:
    """The class as a notebook names it; a PosixPath goes by Path."""
    return Path if isinstance(value, Path) else type(value)
