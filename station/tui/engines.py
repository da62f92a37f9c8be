"""Engines on this machine: found by session folder, started as detached processes, reached through the link.

An engine outlives the UI that started it; its output goes to the log in its session folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from datasets.errors import StationError
from datasets.lock import holder
from datasets.log_lines import without_stamp
from datasets.own_files import read_tail
from station.errors import in_words
from station.interruption import ended_by
from station.session.core.events import EventSource, OperatorEvent
from station.session.engine.options import EngineOptions
from station.session.engine.spawn import spawn
from station.session.folder import LOG, SessionFolder
from station.session.link.address import LinkError, NoEngineError
from station.session.link.client import Client, set_latch
from station.session.place import gone
from station.session.snapshot import Snapshot
from station.sessions import HEADER_FILE
from station.tui.feed import Feed, FeedError


class LinkedFeed:
    """A feed through the session's socket."""

    def __init__(self, client: Client) -> None:
        """`client` is connected."""
        self._client = client

    def latest(self) -> Snapshot | None:
        """See Feed."""
        return self._client.latest()

    def unseen(self) -> Snapshot | None:
        """See Feed."""
        return self._client.unseen()

    def send(self, event: OperatorEvent, pressed: float) -> int:
        """See Feed."""
        try:
            return self._client.send(event, pressed)
        except LinkError as error:
            raise FeedError(str(error)) from error

    def stop(self) -> str:
        """See Feed."""
        return self._client.stop()

    def answers(self) -> Mapping[int, str]:
        """See Feed."""
        return {ack.number: ack.refused for ack in self._client.acks}

    @property
    def holds_keys(self) -> bool:
        """See Feed."""
        return self._client.holds_keys

    def take_keys(self) -> None:
        """See Feed."""
        try:
            self._client.take_keys()
        except LinkError as error:
            raise FeedError(str(error)) from error

    @property
    def alive(self) -> bool:
        """See Feed."""
        return self._client.alive

    def close(self) -> None:
        """See Feed."""
        self._client.close()


class LocalEngines:
    """See Engines."""

    def __init__(self, options: EngineOptions | None = None) -> None:
        """`options`: of every engine that is started from here."""
        self._options = options or EngineOptions()
        self._started: dict[Path, subprocess.Popen[bytes]] = {}

    def attach(self, folder: Path) -> Feed | None:
        """See Engines."""
        try:
            return LinkedFeed(Client.connect(folder))
        except NoEngineError:
            return None
        except (StationError, OSError) as error:
            raise FeedError(in_words(error)) from error

    def start(self, folder: Path) -> None:
        """See Engines."""
        try:
            self._started[folder] = spawn(SessionFolder.open(folder), self._options)
        except StationError as error:
            raise FeedError(_absent(folder) or str(error)) from error
        except OSError as error:
            raise FeedError(f"The engine of {folder} did not start: {in_words(error)}") from error

    def end(self, folder: Path) -> None:
        """See Engines."""
        process = self._started.get(folder)
        if process is not None and process.poll() is None:
            process.terminate()

    def absence(self, folder: Path) -> str:
        """See Engines."""
        try:
            pid = holder(SessionFolder.open(folder).lock)
        except (StationError, OSError) as error:
            return _absent(folder) or in_words(error)
        if pid is None:
            return f"No engine runs on {folder}."
        return (
            f"Process {pid} holds {folder} and cannot be reached: it is starting, or its socket was deleted. Try again "
            f"in a minute; if that does not help, end it (kill {pid}) and run the session again. Nothing committed is "
            "lost, and stop still reaches its arms."
        )

    def stop(self, folder: Path) -> str:
        """See Engines."""
        try:
            set_latch(SessionFolder.open(folder), EventSource.OPERATOR)
        except (StationError, OSError) as error:
            return f"The stop could not be set: {in_words(error)} Use the emergency stop if an arm moves."
        return ""

    def obituary(self, folder: Path) -> str | None:
        """See Engines."""
        if _absent(folder):
            return gone(str(folder))
        process = self._started.get(folder)
        if process is None or process.poll() is None:
            return None
        return told_end(process.returncode, folder / LOG)


def _absent(folder: Path) -> str:
    """That there is no session at this path; empty where one is."""
    if os.path.lexists(folder / HEADER_FILE):
        return ""
    return f"There is no session at {folder}: it was removed or renamed. Put it back where it was, then try again."


def told_end(code: int, log: Path) -> str:
    """How a process with this exit code (negative: a signal) and this log ended."""
    last = _last_line(log)
    number = ended_by(code)
    if code > 0 and number is not None:
        return f"ended in order, asked by signal {number} ({signal.strsignal(number)})"
    said = without_stamp(last)
    if code > 0:
        return f"exit code {code}: {said}"
    how = f"killed by signal {-code} ({signal.strsignal(-code)})" if code else "it ended in order"
    # what an engine logs while it runs has a stamp; what ends a process in disorder is printed without one
    return how if said != last or not last else f"{how}: {last}"


def _last_line(path: Path) -> str:
    try:
        lines = read_tail(path).decode(errors="replace").strip().splitlines()
    except OSError as error:
        return f"{path} cannot be read ({error})"
    return lines[-1] if lines else ""
