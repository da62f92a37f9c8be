"""The floors of the house, seen from outside: what a fresh interpreter has loaded, and the import contracts."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("datasets", "hardware", "policy", "station")


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


def imports_of(source: str, known: Mapping[str, object]) -> Iterator[str]:
    """The known modules that a module's text imports, anywhere: at its top, in a function, or for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in known:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = named & known.keys()
            yield from modules
            if modules != named:  # a name of the package itself
                yield node.module


def cycle_in(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; empty: there is none."""
    graph = {module: set(imports_of(source, sources)) - {module} for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = (file for floor in FLOORS for file in (ROOT / floor).rglob("*.py"))
    dotted = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    cycle = cycle_in({name.removesuffix(".__init__"): file.read_text() for name, file in dotted.items()})
    assert not cycle, " is imported by ".join(cycle)


@pytest.mark.parametrize(
    "back",
    [
        "from robot.arm import Arm",
        "from robot import arm",
        "import robot.arm",
        "if TYPE_CHECKING:\n    from robot.arm import Arm",
        "def build():\n    from robot.arm import Arm",
    ],
)
def test_a_circle_of_imports_is_found_wherever_they_are_written(back: str) -> None:
    sources = {"robot": "", "robot.arm": "from robot.link import Link", "robot.link": back}
    assert set(cycle_in(sources)) == {"robot.arm", "robot.link"}
    assert not cycle_in({**sources, "robot.link": "from robot import VERSION"})


@pytest.mark.slow
def test_the_session_engine_runs_without_the_terminal_ui() -> None:
    loaded = loaded_after("station.session.engine.engine")
    assert not {"textual", "textual_plot", "station.tui"} & loaded


def test_a_front_end_starts_and_reaches_an_engine_without_torch() -> None:
    loaded = loaded_after("station.session.link.client", "station.session.engine.spawn")
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
