"""Says which suites were left out on this machine, and the line that brings them; can insist that none is. Keeps a
ledger of the tests that needed a second try.

Run by several workers (`-n auto --dist loadgroup`), one of them runs every test that keeps real time, one after the
other and at the usual priority; the others share what the cores have left.

Generated cases are the same in every run and on every machine, however slow, so that a change is judged by what it
changed; pytest's `--hypothesis-profile=explore` draws new ones.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

any_machine = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("repeat", any_machine, derandomize=True)
hypothesis.settings.register_profile("explore", any_machine, derandomize=False, print_blob=True)
hypothesis.settings.load_profile("repeat")
# else it mixes in the numbers of every module that happens to be imported, and a line anywhere changes all cases
providers._get_local_constants = Constants

for size in (
    "COLUMNS",
    "LINES",
):  # parallel workers get them, and every terminal that a test opens would have that size
    os.environ.pop(size, None)

os.environ["STATION_TRUST"] = "tests.hardware.fakes tests.hardware.cameras.fakes"
"""Drivers of our own that cells of tests name, here and in the processes that tests start."""

REALTIME = "realtime"
"""The mark of tests that keep real time, and the group of tests that one worker runs."""

THIS_KERNEL = "this kernel"
"""How a reason begins that no installation can change; nobody insists on those."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="append",
        default=[],
        metavar="FOLDER",
        help="fail when a test below this folder was left out for want of a package; may be given more than once",
    )
    parser.addoption(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="append a line for each test that needed a second try, with why",
    )
    parser.addoption(
        "--second-tries",
        action="store_true",
        help="try a test that keeps real time once more when it fails",
    )


def left_out(reporter: pytest.TerminalReporter) -> Counter[tuple[str, str]]:
    """(file, reason) -> tests."""
    found: Counter[tuple[str, str]] = Counter()
    for report in reporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            found[report.nodeid.split("::")[0], report.longrepr[2].removeprefix("Skipped: ")] += 1
    return found


def wanting(config: pytest.Config) -> list[str]:
    """Files that must not have been left out and were."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return []
    return sorted(
        {
            file
            for file, reason in left_out(reporter)
            if not reason.startswith(THIS_KERNEL) and file.startswith(tuple(config.getoption("--no-skips")))
        }
    )


def second_tries(reporter: pytest.TerminalReporter) -> list[str]:
    """Which tests failed first and were tried again, and why they failed."""
    return [
        f"{report.nodeid}: {' '.join(str(crash.message if crash else report.longrepr).split())[:300]}"
        for report in reporter.stats.get("rerun", [])
        for crash in [getattr(report.longrepr, "reprcrash", None)]
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker per core, and one that mostly waits: the one of the tests that keep real time."""
    return (os.cpu_count() or 1) + 1


class Urgency:
    """How urgently this process runs: a worker that keeps no real time gives way to the one that does."""

    def __init__(self) -> None:
        self._ordinary = os.sched_getscheduler(0), os.sched_getparam(0)
        self._settled = "PYTEST_XDIST_WORKER" not in os.environ

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """The first test decides: those that keep real time are one group, and one worker begins with it."""
        if not self._settled:
            self._settled = True
            if not item.get_closest_marker(REALTIME):
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # its children inherit this
                self._ordinary = os.sched_getscheduler(0), os.sched_getparam(0)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        """libfranka makes the thread that connects to an arm the most urgent of the machine; undo it."""
        if os.sched_getscheduler(0) != self._ordinary[0]:
            os.sched_setscheduler(0, *self._ordinary)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Urgency())


@pytest.hookimpl(tryfirst=True)  # the group becomes part of a test's name, which the workers are dealt by
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker(REALTIME):
            if config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group(REALTIME))
            if config.getoption("--second-tries"):
                item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """What was loaded stays: the garbage collector need not look through it again during every test."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    passed = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if wanting(session.config) and session.exitstatus in passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = left_out(terminalreporter)
    if found:
        terminalreporter.section("left out on this machine")
        for (file, reason), count in sorted(found.items()):
            terminalreporter.write_line(f"{file} ({count}): {reason}")
    ledger: Path | None = config.getoption("--ledger")
    worker = hasattr(config, "workerinput")  # the run that it works for writes the same
    if ledger and not worker and (tries := second_tries(terminalreporter)):
        with ledger.open("a") as lines:
            lines.writelines(f"{line}\n" for line in tries)
    for file in wanting(config):
        terminalreporter.write_line(f"{file} must not be left out here (--no-skips)", red=True)
