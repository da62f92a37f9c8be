"""How a check says what is wrong: one sentence about the class under test, and where the rule is written down."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from datasets.errors import StationError
from datasets.settings import OneOf
from datasets.vr_recording import RecordingError

Errors = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What is checked, against which interface."""

    subject: str
    """Name of the class under test."""
    interface: str
    """Dotted name of the interface, whose docstrings are the contract."""

    def require(self, ok: object, rule: str, method: str = "") -> None:
        """Raise AssertionError unless `ok`; `rule` says what is wrong, `method` which docstring forbids it."""
        if not ok:
            where = f"{self.interface}.{method}" if method else self.interface
            raise AssertionError(f"{self.subject}: {rule}. See {where}, and 'station guide extending'.")

    def refuses(self, errors: Errors, call: Callable[[], object], when: str, method: str) -> BaseException:
        """The error that `call` must raise, one of `errors`, with a message that also says what to do now.

        Raises:
            AssertionError: it raises nothing or something else, or its message names no remedy.
        """
        kinds = errors if isinstance(errors, tuple) else (errors,)
        names = " or ".join(kind.__name__ for kind in kinds)
        try:
            call()
        except kinds as error:
            told = isinstance(error, StationError) and not isinstance(error, RecordingError)
            self.require(
                not told or _remedied(str(error)),
                f"{method} {when} says '{error}', which does not say what to do now; add a sentence that does",
                method,
            )
            return error
        except Exception as error:
            raise AssertionError(
                f"{self.subject}: {method} {when} raises {type(error).__name__} ({error}) instead of {names}. "
                f"See {self.interface}.{method}, and 'station guide extending'."
            ) from error
        self.require(False, f"{method} {when} raises nothing; it must raise {names}", method)
        raise AssertionError("unreachable")

    def calm(self, call: Callable[[], object], when: str, method: str) -> None:
        """Require that `call` raises nothing."""
        try:
            call()
        except Exception as error:
            raise AssertionError(
                f"{self.subject}: {method} {when} raises {type(error).__name__} ({error}); it must not raise. "
                f"See {self.interface}.{method}, and 'station guide extending'."
            ) from error

    def eventually(self, reached: Callable[[], bool], patience: float, rule: str, method: str = "") -> None:
        """Require that `reached` comes true within `patience` s; asked every few milliseconds."""
        deadline = time.monotonic() + patience
        while not reached():
            self.require(time.monotonic() < deadline, f"{rule} (within {patience:g} s)", method)
            time.sleep(0.005)

    def recent(self, stamp: float, method: str) -> None:
        """Require a stamp in s on the machine's monotonic clock, neither in the future nor minutes old."""
        now = time.monotonic()
        self.require(
            -60.0 < stamp - now <= 0.0,
            f"a time stamp is {stamp:.6g}, and time.monotonic() is {now:.6g}; stamps are in seconds on that clock, "
            "not in the future",
            method,
        )


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None: ...


@contextmanager
def closed_after(device: Closable) -> Iterator[None]:
    """Close a device after the block; what the block raised is not hidden by what `close` raises."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            device.close()
        raise
    device.close()


def require_settings(contract: Contract, settings: OneOf) -> None:
    """Settings survive the way through a task file, and name the class that reads them."""
    kind = type(settings)
    same = kind.model_validate(settings.model_dump()) == settings
    contract.require(same, f"{kind.__name__} does not read back what it writes (model_dump)")
    said = str(getattr(settings, settings.chooser))
    in_tree = said in kind.kinds
    named = f"{kind.__module__}:{kind.__qualname__}"
    contract.require(
        in_tree or said == named,
        f"{kind.__name__}.{settings.chooser} is '{said}'; set its default to '{named}', as a task file names it",
    )


def _remedied(message: str) -> bool:
    """Whether at least one sentence follows the first: what is wrong, then what to do."""
    return re.search(r"[.;!?)]\s+[A-Z`'\"].{3,}", message, re.DOTALL) is not None
