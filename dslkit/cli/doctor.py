"""The verb that examines an installation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from dslkit.cli.terminal import put, put_json


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(doctor)


def doctor(
    ip: Annotated[str, typer.Option(help="Address on which the service is to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Its port.")] = 8888,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Examine this installation and say what to do; exit code 1 when something would not work."""
    from dslkit.doctor import examine

    found = []
    for check in examine(ip=ip, port=port):
        found.append(check)
        if not as_json:
            put(f"{check.status:8} {check.name:12} {check.detail}")
            if check.remedy:
                put(f"{'':21} → {check.remedy}")
    if as_json:
        put_json({"checks": [asdict(check) for check in found]})
    if any(check.status == "problem" for check in found):
        raise typer.Exit(1)
