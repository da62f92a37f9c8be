"""What a run of the tests says about the tests that it did not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SUITE = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="Xvfb is missing: apt install xvfb")
def test_hotkeys():
    pass

@pytest.mark.skip(reason="this kernel gives no /dev/uinput")
def test_pedal():
    pass
"""
CASES = """
from hypothesis import given, strategies

seen = []

@given(strategies.floats(0.0, 1.0), strategies.integers(0, 100_000))
def test_numbers(share, count):
    seen.append((share, count))

def test_told():
    print("CASES", hash(tuple(seen)), len(seen))
"""
URGENT = """
import os
import pytest

def test_becomes_the_most_urgent_of_the_machine():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("this kernel lets this user become no more urgent")

def test_is_as_urgent_as_the_run():
    assert os.sched_getscheduler(0) != os.SCHED_FIFO
"""
SHARED = """
import os, time
from pathlib import Path
import pytest

def note(kind):
    with Path(__file__).with_name("noted").open("a") as file:
        file.write(f"{kind} {os.environ['PYTEST_XDIST_WORKER']} {os.sched_getscheduler(0) == os.SCHED_IDLE}\\n")

@pytest.mark.parametrize("number", range(12))
def test_keeps_no_time(number):
    time.sleep(0.05)
    note("any")

@pytest.mark.realtime
@pytest.mark.parametrize("number", range(4))
def test_keeps_time(number):
    time.sleep(0.2)
    note("real")
"""
SECOND = """
from pathlib import Path
import pytest

@pytest.mark.realtime
def test_comes_late():
    seen = Path(__file__).with_name("seen")
    late, _ = seen.exists(), seen.touch()
    assert late, "the arm came late"
"""
MODULE = "import pytest\npytest.importorskip('no_such_package', reason='pip install it')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two suites, one of which cannot even be collected here."""
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    for folder, name, text in (("devices", "test_keys.py", SUITE), ("formats", "test_tables.py", MODULE)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = realtime\n")
    return tmp_path


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=project, env=alone, capture_output=True, text=True, check=False, timeout=120
    )


def test_suites_that_were_left_out_are_named_with_the_line_that_brings_them(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stdout
    assert "devices/test_keys.py (1): Xvfb is missing: apt install xvfb" in done.stdout
    assert "formats/test_tables.py (1): pip install it" in done.stdout


@pytest.mark.slow
def test_a_run_that_insists_fails_for_what_an_installation_would_have_brought(project: Path) -> None:
    done = run(project, "--no-skips", "devices")
    assert done.returncode == 1, done.stdout
    assert "devices/test_keys.py must not be left out here" in done.stdout
    assert "formats/test_tables.py must not" not in done.stdout
    assert run(project, "--no-skips", "formats").returncode == 1


def test_nobody_insists_on_what_the_kernel_lacks(project: Path) -> None:
    done = run(project, "--no-skips", "devices", "-k", "runs or pedal", "devices")
    assert done.returncode == 0, done.stdout
    assert "this kernel gives no /dev/uinput" in done.stdout


@pytest.mark.slow
def test_generated_cases_are_the_same_whatever_else_is_imported(project: Path) -> None:
    (project / "constants.py").write_text(
        "import hypothesis\nNUMBERS = [0.123, 0.456, 0.789, 4711, 4712, 4713]\n"
    )
    told = []
    for beside in ("", "import constants\n"):
        (project / "test_cases.py").write_text(beside + CASES)
        done = run(project, "-s", "test_cases.py")
        told += [line for line in done.stdout.splitlines() if line.startswith((".CASES", "CASES"))]
    assert len(told) == 2 and told[0] == told[1], told


def test_no_test_is_more_urgent_for_what_another_did_to_its_process(project: Path) -> None:
    (project / "test_urgent.py").write_text(URGENT)
    assert run(project, "test_urgent.py").returncode == 0


@pytest.mark.slow
def test_tests_that_keep_real_time_have_a_worker_of_their_own_and_the_others_give_way(project: Path) -> None:
    (project / "test_shared.py").write_text(SHARED)
    done = run(project, "-p", "xdist", "-n", "3", "--dist", "loadgroup", "test_shared.py")
    assert done.returncode == 0, done.stdout
    noted = [line.split() for line in (project / "noted").read_text().splitlines()]
    real = {worker for kind, worker, _ in noted if kind == "real"}
    assert len(real) == 1 and len(noted) == 16
    # this test may itself run in a worker that gives way
    inherited = os.sched_getscheduler(0) == os.SCHED_IDLE
    assert all((idle == "True") == (inherited or worker not in real) for _, worker, idle in noted), noted


def test_a_test_that_keeps_no_real_time_has_no_second_try(project: Path) -> None:
    (project / "test_second.py").write_text(SECOND.replace("@pytest.mark.realtime", ""))
    assert run(project, "-p", "pytest_rerunfailures", "--second-tries", "test_second.py").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2", "--dist", "loadgroup")])
def test_a_second_try_stands_in_the_ledger_once_with_its_reason(
    project: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    (project / "test_second.py").write_text(SECOND)
    ledger = tmp_path / "ledger"
    words = ("-p", "pytest_rerunfailures", "--second-tries", "--ledger", str(ledger), *workers)
    done = run(project, *words, "test_second.py")
    assert done.returncode == 0, done.stdout
    (line,) = ledger.read_text().splitlines()
    assert line.startswith("test_second.py::test_comes_late")
    assert line.endswith(": AssertionError: the arm came late assert False")
