"""The vendor's xArm SDK, loaded on demand and isolated from the rest of the process.

Only this file imports it. By default the SDK creates a folder in the user's home, prints, logs to standard output, sets
the time-out of every new socket in the process, mistakes a Unix socket in the temp folder for the arm, and retries a
silent arm for minutes; `open_api` opens a connection without any of that. The drivers use the connection and interpret
its return codes.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from hardware.cell import CellError

CONTROL_PORT = 502
"""The vendor's default."""

_INSTALL = "pip install 'station[xarm]' (or: pip install xarm-python-sdk)"
_CONNECT_TIMEOUT = 5.0

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_loading = threading.RLock()


class SdkMissingError(CellError):
    """The vendor's package is not installed."""


class UnreachableError(CellError):
    """Nothing that speaks the vendor's protocol answers at the address."""


def open_api(address: str, *, control_port: int = CONTROL_PORT, report: str = "") -> Any:
    """A connected `XArmAPI` in radians, whose calls never wait for a paused arm and never change a baud rate.

    `report` is the vendor's kind of report stream: "real" (100 Hz: poses and state, no errors), "rich" (5 Hz, all),
    or empty for none.

    Raises:
        SdkMissingError: the package is missing; the message says how to install it.
        UnreachableError: no answer within five seconds.
    """
    numeric = _resolved(address)
    api = _package().XArmAPI(
        numeric,
        is_radian=True,
        do_not_open=True,
        forbid_uds=True,
        enable_report=bool(report),
        report_type=report or "rich",
        check_is_pause=False,
        check_cmdnum_limit=False,
        baud_checkset=False,
    )
    failure = _connect(api, control_port)
    if failure:
        api.disconnect()
        raise UnreachableError(
            f"no xArm answers at {address}, port {control_port} ({failure}). Check that the control box is on, the "
            "network cable, and the address in the task file; the vendor's app shows the box's address."
        )
    return api


def error_texts(code: int) -> tuple[str, str]:
    """The vendor's title and advice for a controller's error."""
    found = _package("xarm.core.config.x_code").ControllerError(code)
    return found.title["en"], found.description["en"]


def warning_texts(code: int) -> tuple[str, str]:
    """The vendor's title and advice for a controller's warning."""
    found = _package("xarm.core.config.x_code").ControllerWarn(code)
    return found.title["en"], found.description["en"]


def gripper_error_texts(code: int) -> tuple[str, str]:
    """The vendor's title and advice for an error of its own gripper."""
    found = _package("xarm.core.config.x_code").GripperError(code)
    return found.title["en"], found.description["en"]


def _resolved(address: str) -> str:
    """The IP address: the SDK treats anything other than four numbers as a serial port."""
    try:
        return socket.gethostbyname(address)
    except OSError as error:
        raise UnreachableError(
            f"the address '{address}' of the xArm cannot be resolved ({error}). Write its four numbers, or a name "
            "this computer knows."
        ) from error


def _connect(api: Any, control_port: int) -> str:
    """Connect within the time-out; returns the failure, or an empty string."""
    failures: list[str] = []

    def attempt() -> None:
        try:
            api.connect()
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
            failures.append(str(error))

    # The SDK queries a box that accepts the connection but stays silent a hundred times; hence the thread.
    thread = threading.Thread(target=attempt, name="xarm connect", daemon=True)
    until = time.monotonic() + _CONNECT_TIMEOUT
    with _control_port(control_port):
        thread.start()
        while thread.is_alive() and not api.connected and time.monotonic() < until:
            time.sleep(0.001)
    thread.join(max(0.0, until - time.monotonic()))
    if thread.is_alive():
        return f"it accepted the connection and then said nothing for {_CONNECT_TIMEOUT:g} s"
    return failures[0] if failures else ""


@contextlib.contextmanager
def _control_port(port: int) -> Iterator[None]:
    """Set the SDK's port within the context: one constant for all arms, read until the connection is open."""
    sockets = _package("xarm.core.config.x_config").XCONF.SocketConf
    with _loading:
        usual = sockets.TCP_CONTROL_PORT
        sockets.TCP_CONTROL_PORT = port
        try:
            yield
        finally:
            sockets.TCP_CONTROL_PORT = usual


def _package(module: str = "xarm.wrapper") -> Any:
    with _loading:
        sockets = sys.modules.get("xarm.core.comm.socket_port")
        if sockets is None or not isinstance(vars(sockets)["socket"], _Sockets):
            _load()
        return importlib.import_module(module)


def _load() -> None:
    try:
        with _elsewhere_at_home(), contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module("xarm.wrapper")
    except ImportError as error:
        raise SdkMissingError(f"The xArm's package is missing. Run: {_INSTALL}") from error
    _quieten()


@contextlib.contextmanager
def _elsewhere_at_home() -> Iterator[None]:
    """Redirect HOME: on import the SDK creates folders there, and it may not even be writable."""
    home = os.environ.get("HOME")
    with tempfile.TemporaryDirectory(prefix="xarm-sdk-") as folder:
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home


def _quieten() -> None:
    """Redirect the SDK's prints and logs to this module's logger, and protect other sockets' time-outs."""
    for name, module in list(sys.modules.items()):
        if name == "xarm" or name.startswith("xarm."):
            vars(module)["print"] = _note
    logs = sys.modules["xarm.core.utils.log"]
    for logger in (logs.logger, logs.origin_logger):
        logger.handlers[:] = [_Forward()]
        logger.propagate = False
    vars(sys.modules["xarm.core.comm.socket_port"])["socket"] = _Sockets()


class _Forward(logging.Handler):
    """Forwards to the station's log at debug level; errors that matter are raised as exceptions."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("%s", record.getMessage())


def _note(*words: object, **_: object) -> None:
    _log.debug("%s", " ".join(str(word) for word in words))


class _Sockets:
    """The socket module, without the function that would change other sockets."""

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    @staticmethod
    def setdefaulttimeout(timeout: float | None) -> None:
        """Do nothing: the SDK sets its own sockets' time-outs itself."""
