"""Who can see a terminal: asked of a real tmux, and read from the socket that GNU screen leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from station.tui.audience import Audience, Lookout, browser, choose, screen, somebody, tmux
from tests.station.tui.terminal import Terminal

PATIENCE = 60.0


def eventually(pane: dict[str, str], anybody: bool) -> Audience:
    deadline = time.monotonic() + PATIENCE
    while (found := tmux(pane)).anybody is not anybody:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


class Tmux:
    """A server of its own, with one session that nobody is attached to."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "t")
        self.do("-f", "/dev/null", "new-session", "-d", "-s", "work", "sleep 600")
        server, pane = self.do("display-message", "-p", "-t", "work", "#{pid} #{pane_id}").split()
        self.pane = {"TMUX": f"{self.socket},{server},0", "TMUX_PANE": pane}

    def do(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words],
            capture_output=True,
            text=True,
            check=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("TMUX")},
        )
        return done.stdout


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    server = Tmux(tmp_path_factory.mktemp("t"))
    yield server
    server.do("kill-server")


@pytest.fixture
def client(server: Tmux) -> Iterator[Terminal]:
    words = f"import os; os.environ.pop('TMUX', 0); os.execvp('tmux', ['tmux', '-S', {server.socket!r}, 'attach'])"
    terminal = Terminal(["-c", words])
    yield terminal
    terminal.close()


def test_a_tmux_session_without_a_client_is_seen_by_nobody(server: Tmux) -> None:
    found = tmux(server.pane)
    assert not found.anybody and "Nobody is attached to tmux session work" in found.remark


@pytest.mark.slow
def test_a_client_of_tmux_sees_the_window_that_it_shows_until_it_goes(server: Tmux, client: Terminal) -> None:
    assert eventually(server.pane, anybody=True) == Audience()
    server.do("new-window", "-t", "work", "sleep 600")
    assert "shows this window" in eventually(server.pane, anybody=False).remark
    server.do("select-window", "-t", "work:0")
    eventually(server.pane, anybody=True)
    server.do("detach-client", "-s", "work")
    assert "Nobody is attached" in eventually(server.pane, anybody=False).remark


def test_a_tmux_that_does_not_answer_leaves_it_unknown(tmp_path: Path) -> None:
    found = tmux({"TMUX": f"{tmp_path / 'gone'},1,0", "TMUX_PANE": "%0"})
    assert found.anybody and "does not tell whether anybody looks" in found.remark


@pytest.mark.parametrize(("mode", "anybody"), [(0o700, True), (0o600, False), (0o770, True)])
def test_gnu_screen_tells_by_its_sockets_mode(tmp_path: Path, mode: int, anybody: bool) -> None:
    socket = tmp_path / "77.pts-0.lab"
    socket.touch()
    socket.chmod(mode)
    found = screen({"STY": socket.name, "SCREENDIR": str(tmp_path)})
    assert found.anybody is anybody
    assert ("Nobody is attached to screen session 77.pts-0.lab" in found.remark) is not anybody


def test_a_screen_whose_socket_is_not_found_leaves_it_unknown(tmp_path: Path) -> None:
    found = screen({"STY": "77.nowhere", "SCREENDIR": str(tmp_path)})
    assert found.anybody and "GNU screen" in found.remark


@pytest.mark.parametrize(
    ("environment", "ancestors", "named"),
    [
        ({}, ["bash", "zellij"], "zellij"),
        ({"ZELLIJ": "0"}, [], "zellij"),
        ({}, ["zsh", "mosh-server", "systemd"], "mosh"),
        ({}, ["bash", "dtach"], "dtach"),
        ({}, ["sudo", "bash", "tmux: server"], "tmux"),
        ({"TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver"}, ["station"], "browser"),
    ],
)
def test_what_cannot_tell_is_named(environment: dict[str, str], ancestors: list[str], named: str) -> None:
    found = choose(environment, ancestors)()
    assert found.anybody and named in found.remark


def test_a_detached_multiplexer_around_an_attached_one_cannot_be_excluded(tmp_path: Path) -> None:
    (tmp_path / "77.lab").touch(mode=0o700)
    around = {"STY": "77.lab", "SCREENDIR": str(tmp_path), "TMUX": "/tmp/t,1,0"}
    assert "GNU screen within tmux" in choose(around, ["bash", "screen"])().remark


def test_a_plain_terminal_and_one_behind_ssh_go_with_their_window() -> None:
    assert choose({}, ["bash", "sshd", "sshd", "systemd"]) is somebody
    assert somebody() == Audience() != browser()


def test_a_multiplexer_is_asked_again_and_again_and_never_by_who_waits_for_a_key() -> None:
    answers = iter([Audience(), Audience(anybody=False, remark="nobody")])
    lookout = Lookout(lambda: next(answers, Audience(anybody=False, remark="nobody")), every=0.01)
    lookout.start()
    deadline = time.monotonic() + PATIENCE
    while lookout.newest.anybody:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lookout.close()
