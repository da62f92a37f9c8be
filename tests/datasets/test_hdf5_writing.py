"""A disk that is full ends no process that writes HDF5."""

from __future__ import annotations

import ast
import errno
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import datasets
from datasets import hdf5_writing
from datasets.durable import DiskFullError, write_all
from datasets.hdf5_writing import writing

ROOT = Path(datasets.__file__).parents[1]
FULL = """
import sys
from pathlib import Path
import numpy as np
from datasets.durable import DiskFullError
from datasets.hdf5_writing import writing
try:
    with writing(Path("/dev/full")) as file:
        for number in range(20):
            file.create_dataset(f"images/{number}", data=np.ones((50, 1000), np.uint8), compression="gzip")
except DiskFullError as error:
    print(error)
"""


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    images = np.arange(6000, dtype=np.uint8).reshape(2, 30, 100)
    with writing(tmp_path / "whole.h5") as file:
        file.create_dataset("a/images", data=images, chunks=(1, 30, 100), compression="gzip")
        file.attrs["kind"] = "whole"
    with h5py.File(tmp_path / "whole.h5") as file:
        assert np.array_equal(file["a/images"][()], images)
        assert file.attrs["kind"] == "whole"


def test_a_full_disk_is_an_error_in_words_and_no_segmentation_fault() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The disk is full")
    assert done.stderr == ""


def test_whichever_write_the_disk_refuses_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the last one, of which HDF5 itself notices nothing."""

    def written(writes: int) -> bytes:
        left = iter(range(writes))

        def on_a_disk(descriptor: int, data: bytes) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            write_all(descriptor, data)

        monkeypatch.setattr(hdf5_writing, "write_all", on_a_disk)
        with writing(tmp_path / "file.h5") as file:
            file.create_dataset("numbers", data=np.arange(1000), chunks=(100,))
        return (tmp_path / "file.h5").read_bytes()

    whole = written(10_000)
    for writes in range(10_000):
        try:
            assert written(writes) == whole
        except DiskFullError:
            continue
        break
    assert writes > 10


def test_a_mistake_of_the_writer_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "half.h5") as file:
        file["what is not there"]


@pytest.mark.slow
def test_no_other_module_lets_hdf5_write() -> None:
    found = set()
    for folder in ("datasets", "hardware", "policy", "station"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("h5py.File"):
                    mode = node.args[1] if len(node.args) > 1 else None
                    if not (isinstance(mode, ast.Constant) and mode.value == "r"):
                        found.add(path.name)
    assert found == {"hdf5_writing.py"}
