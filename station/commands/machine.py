"""``station doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from station.commands.options import JsonOption
from station.errors import ExitCode
from station.sessions import sessions_root


def doctor(*, as_json: JsonOption = False) -> None:
    """Check this machine and say what to install or change."""
    from rich.console import Console
    from rich.text import Text

    from station import doctor as examination

    console = Console()
    findings = []
    for finding in examination.examine(sessions_root()):
        findings.append(finding)
        if as_json:
            continue
        check = finding.check
        mark, style = (
            ("ok", "green") if check.ok else ("note", "yellow") if finding.optional else ("FIX", "red")
        )
        console.print(
            Text.assemble((f"{mark:>4}  ", style), (f"{check.name:<36}", "bold"), check.detail),
            soft_wrap=True,
        )
        if not check.ok:
            console.print(Text(f"      -> {check.remedy}", style=style), soft_wrap=True)
    if as_json:
        typer.echo(
            json.dumps([{**asdict(finding.check), "optional": finding.optional} for finding in findings])
        )
    if not examination.healthy(findings):
        raise typer.Exit(ExitCode.FAILED)
