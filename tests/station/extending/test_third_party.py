"""A package outside the tree, made of the examples of the guide: trusted, found, checked and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from datasets import installed
from datasets.exporters import exporter
from datasets.exporters.error import ExportError
from datasets.importers.findings import Finding
from datasets.importers.interface import Source
from datasets.importers.read.registry import UnknownFormatError, all_formats, format_named, search
from datasets.importers.read.worker import isolated_reader
from datasets.settings import TRUST
from hardware.cell import ClockSpeed
from hardware.latch import StopLatch
from station.session.engine.factory import make_cells
from station.session.folder import SessionFolder
from station.tasks.config import TaskError, load_task, parse_task, task_to_toml
from tests.datasets.importers import sources
from tests.station.conftest import Station

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "station" / "guides" / "extending.md").read_text(encoding="utf-8")


def install(folder: Path, points: dict[str, dict[str, str]], name: str = "acme") -> None:
    """As pip would: the metadata of a package whose entry points these are."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in each.items()) for group, each in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages are imported, with nothing in it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv(TRUST, raising=False)
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    all_formats.cache_clear()
    yield folder
    all_formats.cache_clear()
    for module in [name for name in sys.modules if name.split(".")[0] == "acme"]:
        del sys.modules[module]


@pytest.fixture
def acme(site: Path) -> Path:
    """The guide's package, installed."""
    files = re.findall(r"```(?:python)?\n# (acme/\w+\.py|pyproject\.toml)\n(.*?)```", GUIDE, re.DOTALL)
    written = dict(files)
    (site / "acme").mkdir()
    (site / "acme" / "__init__.py").touch()
    for name, text in written.items():
        (site / name).write_text(text)
    install(site, tomllib.loads(written["pyproject.toml"])["project"]["entry-points"])
    return site


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "take.tape"
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "tape"
        file["pose"] = sources.poses(sources.T)
        file["opening"] = sources.opening(sources.T)[:, None]
        file["front"] = sources.images()
        file["time"] = sources.T / sources.HZ
    return path


@pytest.mark.slow
def test_the_checks_of_the_guide_pass(acme: Path, tape: Path, tmp_path: Path) -> None:
    (acme / "conftest.py").write_text(
        "from pathlib import Path\nimport pytest\nfrom tests.datasets.importers.sources import POSE_SPEC\n"
        f"@pytest.fixture\ndef tape(): return Path({str(tape)!r})\n@pytest.fixture\ndef spec(): return POSE_SPEC\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(acme / "acme" / "checks.py")],
        cwd=acme,
        env={**os.environ, "PYTHONPATH": f"{acme}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert "7 passed" in done.stdout, done.stdout[-3000:]


def test_devices_of_a_task_need_trust_and_then_are_read(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = next(text for text in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "[[cameras]]" in text)
    table = {"name": "parrots", "session": {"cells": 1}, **tomllib.loads(block)}
    with pytest.raises(TaskError, match=r"--trust acme\.(cameras:TestCardSettings|arms:ParrotArmSettings)"):
        parse_task(table, source="mine.toml")
    monkeypatch.setenv(TRUST, "acme.arms acme.grippers acme.cameras")
    cell = parse_task(table, source="mine.toml").cell
    assert type(cell.arms[0]).__name__ == "ParrotArmSettings"  # type: ignore[attr-defined]


def test_a_cell_of_its_own_is_what_a_session_drives(
    acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST, "acme.cells")
    table = {"name": "mirror", "session": {"cells": 1}, "cell": {"kind": "acme.cells:MirrorSettings"}}
    task = parse_task(table, source="mine.toml")
    latch = StopLatch(tmp_path / "stop.latch")
    [cell] = make_cells(task, 1, ClockSpeed.REAL, latch)
    assert cell.spec == task.cell.spec
    with pytest.raises(Exception, match="of real devices there is one"):
        make_cells(task, 2, ClockSpeed.REAL, latch)


def test_a_method_of_its_own_goes_through_the_command_line(
    acme: Path, station: Station, tmp_path: Path
) -> None:
    task = tmp_path / "mine.toml"
    text = task_to_toml(load_task("place-orange-tiny"))
    start = text.index("[steering]")
    end = text.index("\n[", start)
    task.write_text(f'{text[:start]}[steering]\nmethod = "acme.methods:ShakenSettings"\n{text[end:]}')
    refused = station("new", tmp_path / "shaken", "--task", task)
    assert refused.exit_code == 2 and "--trust acme.methods:ShakenSettings" in refused.output
    made = station("--trust", "acme.methods:ShakenSettings", "new", tmp_path / "shaken", "--task", task)
    assert made.exit_code == 0, made.output
    frozen = tomllib.loads((tmp_path / "shaken" / "session.toml").read_text())
    assert "acme.methods:ShakenSettings" in str(frozen)


@pytest.mark.slow
def test_an_installed_format_is_found_without_trust_also_by_the_reading_process(
    acme: Path, tape: Path
) -> None:
    assert [found.format for found in search([tape])] == ["tape"]
    with isolated_reader() as reader:
        [source] = reader.find([tape])
    assert isinstance(source, Source) and source.format == "tape"
    assert ".tape" in format_named("tape").suffixes


def test_an_installed_exporter_is_found_by_the_command(
    acme: Path, station: Station, session: SessionFolder, tmp_path: Path
) -> None:
    done = station("export", session.path, "--format", "lines", "--out", tmp_path / "lines")
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "lines").glob("*.jsonl"))


def test_without_the_package_both_are_unknown(site: Path) -> None:
    with pytest.raises(UnknownFormatError, match="Unknown import format 'tape'"):
        format_named("tape")
    with pytest.raises(ExportError, match="Unknown export format 'lines'"):
        exporter("lines")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "text", "words"),
    [
        ("broken", "raise ZeroDivisionError", r"cannot be loaded \(ZeroDivisionError"),
        ("broken", "Thing = 7", "it is no Format. Derive it from Format"),
        ("other", "{base}", "its class is called 'broken'. Give both the same name"),
        ("aloha", "{base}\n    name = 'aloha'", "'aloha' is already there. Rename it"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_what_removes_it(
    site: Path, point: str, text: str, words: str, tape: Path
) -> None:
    base = "from station.extending.formats import Format\nclass Thing(Format):\n    name = 'broken'"
    (site / "acme.py").write_text(text.format(base=base))
    install(site, {installed.FORMATS: {point: "acme:Thing"}})
    with pytest.raises(installed.PackageError, match=words) as caught:
        all_formats()
    assert "package acme offers" in str(caught.value) and str(caught.value).endswith("pip uninstall acme")
    with isolated_reader() as reader, pytest.raises(UnknownFormatError, match=words):
        assert not [found for found in reader.find([tape]) if isinstance(found, Finding)]
