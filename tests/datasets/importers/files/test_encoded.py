"""Images that are kept as JPEG or PNG files in somebody's own arrays: HDF5, npz, pickles and parquet."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from datasets.importers.files.description import NAME
from datasets.importers.formats.described import describe
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.formats.test_described import description, end_to_end, trajectory
from tests.datasets.importers.sources import POSE_SPEC, TICKS

Files = list[bytes]


def files(kind: str = "JPEG") -> Files:
    """A file a tick, as Pillow writes it; PNG is exact."""
    written = []
    for tick, shown in enumerate(sources.images()):
        buffer = io.BytesIO()
        words = PngInfo()
        words.add_text("tick", "x" * tick)
        options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"pnginfo": words}
        Pillow.fromarray(shown).save(buffer, kind, **options)
        written.append(buffer.getvalue())
    assert len({len(one) for one in written}) > 1
    return written


def padded(rows: Files) -> np.ndarray[Any, np.dtype[np.uint8]]:
    longest = max(map(len, rows))
    return np.stack([np.frombuffer(row.ljust(longest, b"\0"), np.uint8) for row in rows])


def numbers() -> dict[str, Any]:
    whole = trajectory()
    return {name: whole[name] for name in ("ee", "grip", "cmd")}


def _hdf5(write: Callable[[h5py.File, Files], None]) -> Callable[[Path, Files], None]:
    def make(folder: Path, rows: Files) -> None:
        with h5py.File(folder / "e.h5", "w") as file:
            for name, values in numbers().items():
                file[name] = values
            write(file, rows)

    return make


def _any_length(file: h5py.File, rows: Files) -> None:
    member = file.create_dataset("rgb", (TICKS,), dtype=h5py.vlen_dtype(np.uint8))
    for tick, row in enumerate(rows):
        member[tick] = np.frombuffer(row, np.uint8)


def _padded(file: h5py.File, rows: Files) -> None:
    file["rgb"] = padded(rows)


def _strings(file: h5py.File, rows: Files) -> None:
    file["rgb"] = np.array(rows)


def _opaque(file: h5py.File, rows: Files) -> None:
    longest = max(map(len, rows))
    file["rgb"] = np.array([np.void(row.ljust(longest, b"\0")) for row in rows])


def _npz_strings(folder: Path, rows: Files) -> None:
    np.savez(folder / "e.npz", rgb=np.array(rows), **numbers())


def _npz_padded(folder: Path, rows: Files) -> None:
    np.savez(folder / "e.npz", rgb=padded(rows), **numbers())


def _pickled(folder: Path, rows: Files) -> None:
    (folder / "e.pkl").write_bytes(pickle.dumps({**numbers(), "rgb": rows}))


def _pickled_arrays(folder: Path, rows: Files) -> None:
    """As OpenCV's encoder gives them."""
    arrays = [np.frombuffer(row, np.uint8) for row in rows]
    (folder / "e.pkl").write_bytes(pickle.dumps({**numbers(), "rgb": arrays}))


def _pickled_steps(folder: Path, rows: Files) -> None:
    whole = numbers()
    steps = [
        {**{name: values[tick] for name, values in whole.items()}, "rgb": rows[tick]} for tick in range(TICKS)
    ]
    (folder / "e.pkl").write_bytes(pickle.dumps(steps))


def _parquet(folder: Path, rows: Files) -> None:
    pa, pq = sources.needs("pyarrow"), sources.needs("pyarrow.parquet")
    table = {name: pa.array(np.asarray(values).tolist()) for name, values in numbers().items()}
    pq.write_table(pa.table({**table, "rgb": pa.array(rows, pa.binary())}), folder / "e.parquet")


def _hugging_face(folder: Path, rows: Files) -> None:
    pa, pq = sources.needs("pyarrow"), sources.needs("pyarrow.parquet")
    table = {name: pa.array(np.asarray(values).tolist()) for name, values in numbers().items()}
    cells = pa.array([{"bytes": row, "path": f"{tick}.jpg"} for tick, row in enumerate(rows)])
    pq.write_table(pa.table({**table, "rgb": cells}), folder / "e.parquet")


KEPT: dict[str, Callable[[Path, Files], None]] = {
    "hdf5, any length": _hdf5(_any_length),
    "hdf5, padded": _hdf5(_padded),
    "hdf5, strings": _hdf5(_strings),
    "hdf5, opaque": _hdf5(_opaque),
    "npz, strings": _npz_strings,
    "npz, padded": _npz_padded,
    "pickled": _pickled,
    "pickled arrays": _pickled_arrays,
    "pickled steps": _pickled_steps,
    "parquet": _parquet,
    "parquet of Hugging Face": _hugging_face,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", KEPT)
def test_images_kept_as_files_in_arrays_come_out_as_they_were_seen(
    tmp_path: Path, kept: str, kind: str
) -> None:
    desk = Desk(tmp_path, POSE_SPEC)
    KEPT[kept](desk.inbox, files(kind))
    offered = describe(desk.inbox, POSE_SPEC)
    assert "(images, JPEG or PNG)" in offered and '"camera.front" = "rgb"' in offered
    (desk.inbox / NAME).write_text(description('files = "e.*"'))
    (result,) = desk.run()
    assert result.refused is None
    seen = desk.store.load(str(result.episode)).images["front"].astype(int)
    ticks = TICKS - 1 - 2 * np.arange(len(seen))[::-1]
    off = np.abs(seen - sources.images()[ticks])
    assert off.max() <= (0 if kind == "PNG" else 12), "the image of its tick, in its colours"


def test_images_that_an_encoder_took_for_the_other_order_are_turned_by_the_answer(tmp_path: Path) -> None:
    """OpenCV's encoder takes BGR; a recorder that hands it RGB writes files whose colours are swapped."""
    desk = Desk(tmp_path, POSE_SPEC)
    swapped = [cv2.imencode(".png", shown)[1].tobytes() for shown in sources.images()]
    _npz_padded(desk.inbox, swapped)
    (desk.inbox / NAME).write_text(description('files = "*.npz"', colour="bgr"))
    (result,) = desk.run()
    assert desk.store.load(str(result.episode)).images["front"][..., 2].mean() == pytest.approx(sources.BLUE)


def test_files_end_to_end_belong_to_their_episodes_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, POSE_SPEC)
    end_to_end(desk.inbox)
    rows = files("PNG") * 2
    for tick in range(TICKS):
        rows[TICKS + tick] = rows[TICKS + tick][:60] if tick >= 40 else rows[TICKS + tick]
    with h5py.File(desk.inbox / "all.hdf5", "r+") as file:
        del file["rgb"]
        member = file.create_dataset("rgb", (2 * TICKS,), dtype=h5py.vlen_dtype(np.uint8))
        for number, row in enumerate(rows):
            member[number] = np.frombuffer(row, np.uint8)
    (desk.inbox / NAME).write_text(description('files = "*.hdf5"\nends = "meta/episode_ends"'))
    first, second = desk.run()
    assert first.refused is None
    seen = desk.store.load(str(first.episode)).images["front"]
    np.testing.assert_array_equal(seen[-1], sources.image(TICKS - 1))
    assert "image 41 of 'rgb' cannot be decoded" in str(second.refused)


def test_rows_of_small_numbers_are_no_files(tmp_path: Path) -> None:
    """A column of bytes stays a column, and bytes of something else are neither."""
    desk = Desk(tmp_path, POSE_SPEC)
    labels = np.array([b"left"] * TICKS)
    np.savez(desk.inbox / "e.npz", flags=np.full((TICKS, 8), 255, np.uint8), side=labels, **trajectory())
    (desk.inbox / NAME).write_text(description('files = "*.npz"'))
    (look,) = desk.looks(desk.inbox)
    assert look.finding.refused is None and look.outline is not None
    assert look.outline.columns["flags"] == 8 and "side" not in look.outline.columns
    assert list(look.outline.cameras) == ["rgb"]
