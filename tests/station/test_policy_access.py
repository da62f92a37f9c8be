"""Which session asks which server, and the token: the operator's own file, and mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import UsageError
from station.operator_config import KeyConfigError
from station.policy_access import TOKEN, exposure, made_token, policy_access

URL = "ws://gpu-host:8765"
GOOD = "0123456789abcdef"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv(TOKEN, raising=False)
    return tmp_path / "config.toml"


def test_without_a_word_about_it_everything_computes_here() -> None:
    assert policy_access().address_for("mine", None) is None


def test_the_file_says_which_session_asks_which_server(config: Path) -> None:
    config.write_text(f'[policy-server]\ndeadline = 0.5\n[policy-server.sessions]\nmine = "{URL}"\n')
    token, new = made_token()
    assert new and made_token() == (token, False)
    access = policy_access()
    address = access.address_for("mine", None)
    assert address is not None and (address.url, address.token, address.deadline) == (URL, token, 0.5)
    assert access.address_for("another", None) is None
    assert access.address_for("mine", "here") is None
    other = access.address_for("another", "wss://127.0.0.1:1")
    assert other is not None and other.url == "wss://127.0.0.1:1"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("deadline = 0", "deadline"),
        ("dedline = 1", "Did you mean 'deadline'"),
        ('sessions = { mine = "gpu-host:8765" }', "is not like ws://"),
        ('sessions = { mine = "http://gpu-host:8765" }', "is not like ws://"),
        ('sessions = { mine = "ws://gpu-host" }', "is not like ws://"),
        ('sessions = { mine = "ws://me:secret@gpu-host:8765" }', "is not like ws://"),
        ('sessions = { mine = "ws://gpu-host:99999" }', "is not like ws://"),
    ],
)
def test_a_mistake_in_the_file_is_named(config: Path, line: str, why: str) -> None:
    config.write_text(f"[policy-server]\n{line}\n")
    with pytest.raises(KeyConfigError, match=why) as refused:
        policy_access()
    assert str(config) in str(refused.value)


def test_a_wrong_address_of_the_command_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, GOOD)
    with pytest.raises(UsageError, match="no address of a policy server: 'gpu-host' is not like"):
        policy_access().address_for("mine", "gpu-host")


def test_the_token_is_found_in_the_environment_or_in_a_file_that_only_its_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, path = policy_access(), tmp_path / "policy-token"
    with pytest.raises(UsageError, match="There is no token for the policy server"):
        access.address(URL)
    path.write_text(f"{GOOD}\n")
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        access.address(URL)
    path.chmod(0o600)
    assert access.address(URL).token == GOOD
    monkeypatch.setenv(TOKEN, GOOD[::-1])
    assert access.address(URL).token == GOOD[::-1]
    assert made_token() == (GOOD[::-1], False)


def test_an_address_that_others_can_listen_in_on_is_told() -> None:
    assert "unencrypted" in exposure(URL)
    for safe in ("wss://gpu-host:8765", "ws://localhost:8765", "ws://[::1]:8765"):
        assert not exposure(safe)


@pytest.mark.parametrize("token", ["", "short", "a b c d e f g h i j k", f"{GOOD}\n{GOOD}", "ä" * 20])
def test_a_token_that_is_none_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(UsageError, match="must be 16 or more"):
        made_token()
