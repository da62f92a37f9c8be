"""The floors of the house, seen from outside: what a fresh interpreter has loaded, and the import contracts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def loaded_after(*modules: str) -> set[str]:
    """Names in sys.modules of a fresh interpreter that imported `modules`."""
    code = f"import sys, {', '.join(modules)}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def modules_of(floor: str) -> list[str]:
    """Every module of a floor, dotted."""
    files = sorted((ROOT / floor).rglob("*.py"))
    dotted = (file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in files)
    return [name.removesuffix(".__init__") for name in dotted if not name.endswith("__main__")]


@pytest.mark.slow
def test_the_session_engine_runs_without_the_terminal_ui() -> None:
    loaded = loaded_after("station.session.engine.engine")
    assert not {"textual", "textual_plot", "station.tui"} & loaded


def test_the_session_link_reaches_a_front_end_without_torch() -> None:
    loaded = loaded_after("station.session.link.client")
    assert not {"textual", "torch", "mujoco"} & loaded


@pytest.mark.parametrize(
    ("floor", "strangers"),
    [
        ("datasets", {"station", "policy", "hardware", "torch", "textual", "mujoco"}),
        ("hardware", {"station", "policy", "torch", "textual"}),
        ("policy", {"station", "hardware", "textual", "mujoco"}),
    ],
)
def test_a_floor_alone_loads_nothing_from_above(floor: str, strangers: set[str]) -> None:
    assert not strangers & loaded_after(*modules_of(floor))


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
