"""Long jobs (recording, import, training) as station commands in their own processes.

The command prints one JSON object per line; other output is kept as text. A job is interrupted gracefully: it
ends at its next safe point, and the same command resumes there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets.plain_text import from_json

Facts = dict[str, Any]


def station_command(*words: str) -> list[str]:
    """A command line of this station."""
    return [sys.executable, "-m", "station", *words]


class Job:
    """One run of one command."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` is not started yet."""
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, hear: Callable[[Facts], None]) -> int:
        """Run to the end, passing on each line as it arrives; returns the exit code."""
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "TERM": "dumb"}
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            facts = parsed(line.decode(errors="replace"))
            if facts is not None:
                hear(facts)
        return await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.returncode is None

    def interrupt(self) -> None:
        """Ask the process to end at its next safe point."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)


def parsed(line: str) -> Facts | None:
    """A line of output as facts; plain words become an event of kind ``words``, blank lines nothing."""
    text = line.strip(" \t\r\n│╭╮╰╯─")
    if not text:
        return None
    try:
        facts = from_json(text)
    except json.JSONDecodeError:
        facts = None
    return facts if isinstance(facts, dict) and "event" in facts else {"event": "words", "message": text}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far one stage of a job is."""

    name: str
    done: int
    total: int
    eta: float | None = None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


@dataclass
class Record:
    """What a job has reported so far; kept across interruptions, so curves continue."""

    stages: dict[str, Stage] = field(default_factory=dict)
    """In order of their start."""
    current: str = ""
    """The stage that was heard of last."""
    losses: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """stage -> (iteration, training loss)"""
    held_out: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """stage -> (iteration, held-out loss)"""
    findings: list[Facts] = field(default_factory=list)
    results: list[Facts] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    error: str | None = None
    done: Facts | None = None

    @property
    def newest(self) -> Stage | None:
        """The stage that was heard of last."""
        return self.stages.get(self.current)

    def hear(self, facts: Facts) -> None:
        """Take in one line."""
        match facts["event"]:
            case "progress":
                self._progress(facts)
            case "finding":
                self.findings.append(facts)
            case "result":
                self.results.append(facts)
            case "done":
                self.done = facts
            case "error":
                self.error = str(facts.get("message", "the command failed without a word"))
            case "mapping" | "demonstrations":
                pass  # only some screens show these
            case _:
                self.words.append(str(facts.get("message", facts)))

    def _progress(self, facts: Facts) -> None:
        name, done = str(facts["stage"]), int(facts["done"])
        figures = {
            key: float(value)
            for key, value in facts.items()
            if key not in ("event", "stage", "done", "total", "eta") and isinstance(value, int | float)
        }
        self.current = name
        self.stages[name] = Stage(
            name=name, done=done, total=int(facts["total"]), eta=facts.get("eta"), figures=figures
        )
        for key, curve in (("loss", self.losses), ("held_out", self.held_out)):
            if key in figures:
                curve.setdefault(name, []).append((float(done), figures[key]))
