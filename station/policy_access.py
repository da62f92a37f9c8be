"""Which session asks which policy server, by the operator's own file, and the token that both ends share.

An address belongs neither to a task nor to a session: whoever writes one into a folder that he passes on would receive
the images of the next operator's cell.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from datasets.errors import UsageError
from datasets.own_files import NotOursError, open_descriptor, read_bytes
from datasets.settings import Settings
from station.operator_config import KeyConfigError, config_path, read_table
from station.tasks.settings_text import problems

if TYPE_CHECKING:
    from policy.remote.line import Address

TABLE = "policy-server"
"""Of the operator's file."""
TOKEN = "STATION_POLICY_TOKEN"
"""Environment variable: the token itself."""
HERE = "here"
"""Instead of an address: compute on this machine."""
PORT = 8765
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FEWEST = 16
"""Characters of a token."""
_LARGEST = 1000


class PolicyAccess(Settings):
    """The table [policy-server] of the operator's file."""

    sessions: dict[str, str] = Field(default_factory=dict)
    """Name of a session -> address of its policy server; all others compute on this machine."""
    deadline: float = Field(default=2.0, gt=0.0, le=60.0)
    """s that a request may take before the arm is braked; a real arm's [safety] stale_plan must be longer."""
    token_file: Path | None = None
    """File with the token that the server shares; not set: policy-token beside the operator's file."""
    certificate: Path | None = None
    """Certificate (PEM) of a wss:// server that no authority known to this machine has signed."""

    @field_validator("sessions")
    @classmethod
    def _are_addresses(cls, sessions: dict[str, str]) -> dict[str, str]:
        for name, address in sessions.items():
            if address != HERE and (wrong := objection(address)):
                raise ValueError(f"{name}: {wrong}")
        return sessions

    def address(self, url: str) -> Address:
        """Everything that is needed to connect to `url`. Raises UsageError: no token, or no address."""
        from policy.remote.line import Address

        if wrong := objection(url):
            raise UsageError(f"This is no address of a policy server: {wrong}.")
        token = known_token(self.token_file)
        certificate = self.certificate.expanduser() if self.certificate else None
        return Address(url=url, token=token, deadline=self.deadline, certificate=certificate)

    def address_for(self, session: str, given: str | None) -> Address | None:
        """Where a session computes: at `given`, else as the file says; None for here. Raises UsageError."""
        url = given or self.sessions.get(session, HERE)
        return None if url == HERE else self.address(url)


def policy_access() -> PolicyAccess:
    """The operator's table; the defaults if there is none. Raises KeyConfigError."""
    path = config_path()
    table = read_table(TABLE, path, example="deadline = 2.0")
    try:
        return PolicyAccess.model_validate(table)
    except ValidationError as error:
        raise KeyConfigError(f"{path}: [{TABLE}] {' '.join(problems(PolicyAccess, error, table))}") from error


def exposure(url: str) -> str:
    """A sentence about who else can read what is sent there; empty if nobody."""
    parts = urlsplit(url)
    if parts.scheme == "wss" or parts.hostname in LOOPBACK:
        return ""
    return "Images and the token cross the network unencrypted: see 'station guide remote-policy'."


def objection(url: str) -> str:
    """What keeps a text from being a server's address; empty if it is one."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("ws", "wss") and parts.hostname and parts.port and not parts.username
    except ValueError:
        fine = False
    return "" if fine else f"'{url[:80]}' is not like ws://127.0.0.1:{PORT} or wss://gpu-host:{PORT}"


def token_path(named: Path | None = None) -> Path:
    """Where the token is kept."""
    return named.expanduser() if named else config_path().with_name("policy-token")


def known_token(named: Path | None = None) -> str:
    """The token of this user. Raises UsageError with the remedy if there is none, or others may read it."""
    given = os.environ.get(TOKEN)
    if given is not None:
        return _checked(given, TOKEN)
    path = token_path(named)
    try:
        found = path.stat()
        text = read_bytes(path, _LARGEST).decode(errors="replace")
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no token for the policy server at {path}. Copy there the file that the server named when it "
            f"started (mode 600), or set {TOKEN}."
        ) from error
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"{path} holds the policy server's token, and others may read it. Say: chmod 600 {path}"
        )
    return _checked(text, str(path))


def made_token(named: Path | None = None) -> tuple[str, bool]:
    """The token of this user, and whether it was made now. Raises UsageError."""
    path = token_path(named)
    if os.environ.get(TOKEN) is None and not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(open_descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(f"{secrets.token_urlsafe(32)}\n")
        except (OSError, NotOursError) as error:
            raise UsageError(
                f"A token cannot be written to {path} ({error}). Set {TOKEN}, or name a file with --token-file."
            ) from error
        return known_token(named), True
    return known_token(named), False


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if len(token) < _FEWEST or not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"The token in {where} must be {_FEWEST} or more letters, digits or signs in one line. Delete it, and a "
            "starting policy server makes a good one."
        )
    return token
