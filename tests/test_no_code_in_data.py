"""No file and no message that is read may carry code: what could run some is used nowhere but in one closed reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("datasets", "hardware", "policy", "station")
CLOSED = {"datasets/importers/files/unpickling.py"}
"""Its unpickler builds arrays and plain data, and refuses every other name."""
MODULES = {
    "pickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "multiprocessing",
    "yaml",
}
"""Modules that run what they read, or whose connections do."""
CALLS = {"eval", "exec", "loads_pickle", "read_pickle"}


def uses(source: str) -> Iterator[str]:
    """What in a module could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Attribute(value=value, attr="load"), keywords=keywords):
                given = {word.arg: ast.unparse(word.value) for word in keywords}
                name = ast.unparse(value)
                if name in ("np", "numpy") and given.get("allow_pickle") != "False":
                    yield "numpy.load without allow_pickle=False"
                if name == "torch" and given.get("weights_only") != "True":
                    yield "torch.load without weights_only=True"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Attribute(attr="ForkingPickler" | "Unpickler" | "read_pickle"):
                yield node.attr


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from multiprocessing.connection import Connection",
        "import multiprocessing as mp",
        "import marshal",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
    ],
)
def test_what_is_looked_for_is_found(line: str) -> None:
    assert list(uses(line))


def test_nothing_that_is_read_can_run_code() -> None:
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): list(uses(path.read_text())) for path in files}
    assert len(found) > 200
    assert {name: what for name, what in found.items() if what and name not in CLOSED} == {}
    assert found.keys() >= CLOSED


@pytest.mark.parametrize("floor", FLOORS)
def test_what_anybody_may_have_written_is_read_by_parsers_that_end_in_a_value_error(floor: str) -> None:
    parsers = ("json.loads(", "json.load(", "tomllib.loads(", "tomllib.load(")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / floor).rglob("*.py")
        if any(parser in path.read_text() for parser in parsers)
    }
    assert found <= {"datasets/plain_text.py"}
