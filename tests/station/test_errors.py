"""Every error of every floor ends a command with a sentence and an exit code of its own."""

from __future__ import annotations

import ast
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.durable import DiskFullError
from datasets.errors import ExitCode, UsageError
from datasets.lock import LockedError
from station.errors import refusal
from station.session.folder import NewerSchemaError, SessionError

ROOT = Path(__file__).parents[2]
FLOORS = ("datasets", "hardware", "policy", "station")
CAUGHT_ELSEWHERE = {"NotNowError", "ReaderGoneError"}
"""By the UI; by the command line, which then says nothing, for nobody reads it."""


def public_errors() -> Iterator[tuple[str, list[str]]]:
    """(class, bases) of every class in the product whose name ends in Error."""
    for path in sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and node.name[0] != "_":
                yield node.name, [ast.unparse(base) for base in node.bases]


def test_no_error_of_the_product_reaches_the_user_as_a_traceback() -> None:
    told = {"StationError", *CAUGHT_ELSEWHERE}
    untold = dict(public_errors())
    while heirs := {name for name, bases in untold.items() if name in told or told & set(bases)}:
        told |= heirs
        untold = {name: bases for name, bases in untold.items() if name not in heirs}
    assert untold == {}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NewerSchemaError("newer"), ExitCode.REFUSED),
        (SessionError("none"), ExitCode.FAILED),
        (LockedError(Path("s/lock"), 7), ExitCode.LOCKED),
        (DiskFullError("full"), ExitCode.FAILED),
        (UsageError("what"), ExitCode.USAGE),
    ],
)
def test_each_kind_of_mistake_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    known = refusal(error)
    assert known is not None
    assert (known.exit_code, known.message) == (code, str(error))


def test_the_system_s_errors_say_what_to_do() -> None:
    known = refusal(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert known is not None
    assert "/data/x" in known.message
    assert "Free some space" in known.message


def test_a_defect_keeps_its_traceback() -> None:
    assert refusal(ZeroDivisionError()) is None
