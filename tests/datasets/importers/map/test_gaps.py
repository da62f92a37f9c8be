"""Rows that no file holds are never read as zeros unasked: zarr v2 and v3, folders, zips and shards."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from datasets.importers.defects import Defect
from datasets.importers.files.description import NAME
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.formats.test_described import LAYOUTS, description, end_to_end
from tests.datasets.importers.sources import ANSWERS, SPECS, TICKS

POSITION = "data/robot0_eef_pos"
STORES: dict[str, tuple[str, Any]] = {
    "v2": ("set.zarr", 2),
    "v3": ("set.zarr", 3),
    "v2 in a zip": ("set.zarr.zip", 2),
    "v3 in a zip": ("set.zarr.zip", 3),
}


def desk_of(tmp_path: Path, **answers: str) -> Desk:
    return Desk(tmp_path, SPECS["diffusion-policy"], ANSWERS["diffusion-policy"] | answers)


def without(path: Path, ends: Callable[[str], bool]) -> list[str]:
    """Files of a store, taken out of it."""
    if path.is_dir():
        gone = [
            file for file in path.rglob("*") if file.is_file() and ends(file.relative_to(path).as_posix())
        ]
        for file in gone:
            file.unlink()
        return [file.relative_to(path).as_posix() for file in gone]
    with zipfile.ZipFile(path) as packed:
        held = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in held.items():
            if not ends(name):
                packed.writestr(name, content)
    return [name for name in held if ends(name)]


def second_chunk(name: str) -> Callable[[str], bool]:
    """Rows 100 to 119, which are the second episode's, in either version's words."""
    return lambda file: (
        file.startswith(name) and file.removeprefix(f"{name}/") in ("1.0", "c/1/0", "1", "c/1")
    )


@pytest.mark.parametrize(
    "kind", [kind if kind == "v2" else pytest.param(kind, marks=pytest.mark.slow) for kind in STORES]
)
def test_rows_whose_chunk_is_missing_are_asked_about_and_cost_their_own_episode(
    tmp_path: Path, kind: str
) -> None:
    name, version = STORES[kind]
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / name, version=version)
    (file,) = without(path, second_chunk(POSITION))
    first, second = desk.run()
    assert first.refused is None
    said = str(second.refused)
    assert f"rows 100 to 119 of 'robot0_eef_pos' are missing (there is no {file})" in said
    assert "would be read as 0" in said and "say --map unstored=lost|fill" in said
    assert "row 99 beside them says 0.4" in said
    desk.answers[""]["unstored"] = "lost"
    (_, second) = desk.run()
    assert "copy it again" in str(second.refused)
    desk.answers[""]["unstored"] = "fill"
    (_, second) = desk.run()
    assert second.refused is None or "quaternion" in second.refused or "jump" in second.refused
    assert any("taken as 0, as was answered" in note for note in second.finding.notes)


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_a_writer_who_stores_chunks_of_zeros_left_none_out(tmp_path: Path, version: Any) -> None:
    """Proved by the column itself, the loss is no question; by another column, it is told with the question."""
    desk = desk_of(tmp_path)
    with zarr.config.set({"array.write_empty_chunks": True}):
        path = sources.umi(desk.inbox / "set.zarr", version=version, episodes=3)
    without(path, second_chunk(POSITION))
    results = desk.run()
    assert "of 'robot0_demo_start_pose' chunks of nothing but 0 are stored" in str(results[1].refused)
    root = zarr.open_group(path, mode="r+", zarr_format=version)
    width = root["data/robot0_gripper_width"]
    assert isinstance(width, zarr.Array)
    values = np.asarray(width[:])
    del root["data/robot0_gripper_width"]
    values[:100] = 0
    root.create_array(
        "data/robot0_gripper_width", data=values, chunks=(50, 1), config={"write_empty_chunks": True}
    )
    without(path, lambda file: file in ("data/robot0_gripper_width/3.0", "data/robot0_gripper_width/c/3/0"))
    third = desk.run()[2]
    assert "writer left out no chunk of 0; copy it again" in str(third.refused)


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_what_a_writer_left_out_of_a_column_that_is_not_used_costs_nothing(
    tmp_path: Path, version: Any
) -> None:
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / "set.zarr", version=version)
    start = path / "data" / "robot0_demo_start_pose"
    assert {file.name for file in start.rglob("*")} <= {".zarray", ".zattrs", "zarr.json"}, (
        "zeros are left out"
    )
    assert [result.refused for result in desk.run()] == [None, None]


@pytest.mark.slow
def test_a_gripper_that_stays_shut_may_have_been_left_out(tmp_path: Path) -> None:
    """zarr 3 stores no chunk of zeros; once that is answered, the episode comes in and the notes say so."""
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / "set.zarr", version=3)
    width = zarr.open_group(path, mode="r+")["data/robot0_gripper_width"]
    assert isinstance(width, zarr.Array)
    width[100:] = np.zeros((20, 1))
    assert not (path / "data/robot0_gripper_width/c/1/0").exists()
    assert "'robot0_gripper_width' are missing" in str(desk.run()[1].refused)
    desk.answers[""]["unstored"] = "fill"
    second = desk.run()[1]
    assert second.refused is None
    notes = [note for note in second.finding.defects if note.defect is Defect.MISSING_MEMBER]
    assert [note.treatment.value for note in notes] == ["warning"]


@pytest.mark.slow
def test_a_lost_or_empty_shard_is_a_missing_file(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / "set.zarr", version=3)
    root = zarr.open_group(path, mode="r+")
    pose = root[POSITION]
    assert isinstance(pose, zarr.Array)
    values = np.asarray(pose[:])
    del root[POSITION]
    root.create_array(POSITION, data=values, chunks=(10, 3), shards=(60, 3))
    assert [result.refused for result in desk.run()] == [None, None]
    (path / POSITION / "c" / "1" / "0").write_bytes(b"")
    assert "rows 60 to 119 of 'robot0_eef_pos' are missing" in str(desk.run(again=True)[1].refused)


@pytest.mark.slow
def test_images_that_are_cut_into_tiles_are_all_looked_for(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / "set.zarr", version=3)
    root = zarr.open_group(path, mode="r+")
    del root["data/camera0_rgb"]
    shown = np.concatenate([sources.images()] * 2)
    root.create_array("data/camera0_rgb", data=shown, chunks=(1, 12, 16, 3))
    (path / "data/camera0_rgb/c/75/1/1/0").unlink()
    first, second = desk.run()
    assert first.refused is None
    assert "images 75 and on of 'camera0_rgb' is missing" in str(second.refused)


@pytest.mark.parametrize("kind", STORES)
def test_a_list_of_ends_whose_chunk_is_missing_is_no_list(tmp_path: Path, kind: str) -> None:
    name, version = STORES[kind]
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / name, version=version)
    without(path, lambda file: file in ("meta/episode_ends/0", "meta/episode_ends/c/0"))
    assert "a file of 'meta/episode_ends' is missing" in desk.inspect_all_refused()


def test_stamps_whose_chunk_is_missing_are_named_and_not_called_out_of_order(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    path = sources.umi(desk.inbox / "set.zarr", version=2)
    root = zarr.open_group(path, mode="r+", zarr_format=2)
    stamps = np.tile(np.arange(TICKS) / sources.HZ, 2)
    root.create_array("data/timestamp", data=stamps, chunks=(100,))
    assert json.loads((path / "data/timestamp/.zarray").read_text())["chunks"] == [100]
    without(path, second_chunk("data/timestamp"))
    first, second = desk.run()
    assert first.refused is None
    assert "of 'timestamp' are missing" in str(second.refused)


def _never_written(path: Path, name: str, rows: int) -> None:
    """A column in chunks of twenty rows, of which only the first `rows` were written."""
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        size = (20, *values.shape[1:])
        member = file.create_dataset(name, shape=values.shape, dtype=values.dtype, chunks=size)
        if rows:
            member[:rows] = values[:rows]


HDF5 = {
    "aloha": ("aloha", "episode_0.hdf5", "action"),
    "robomimic": ("robomimic", "image.hdf5", "data/demo_0/obs/robot0_eef_pos"),
    "droid": ("droid", "trajectory.h5", "action/cartesian_position"),
}


@pytest.mark.parametrize("kind", HDF5)
def test_rows_of_hdf5_that_were_never_written_are_asked_about(tmp_path: Path, kind: str) -> None:
    format_name, file, member = HDF5[kind]
    desk = Desk(tmp_path, SPECS[format_name], ANSWERS[format_name])
    sources.MAKERS[kind][1](desk.inbox)
    (path,) = desk.inbox.rglob(file)
    _never_written(path, member, 40)
    first, *others = desk.run()
    assert f"{member.removeprefix('data/demo_0/')}' from 40 on were never written" in str(first.refused)
    assert "say --map unstored=lost|fill" in str(first.refused)
    assert [other.refused for other in others] == [None] * len(others)


def test_rows_end_to_end_cost_the_episode_that_they_are_of(tmp_path: Path) -> None:
    desk = Desk(tmp_path, sources.POSE_SPEC)
    end_to_end(desk.inbox)
    (desk.inbox / NAME).write_text(description(LAYOUTS["end to end"][1]))
    _never_written(desk.inbox / "all.hdf5", "cmd", 100)
    first, second = desk.run()
    assert first.refused is None
    assert "rows of 'cmd' from 40 on were never written" in str(second.refused)
    _never_written(desk.inbox / "all.hdf5", "rgb", 0)
    assert "of 'rgb' were never written" in str(desk.run(again=True)[0].refused)


@pytest.mark.slow
def test_a_success_of_which_ticks_were_never_written_is_no_failure(tmp_path: Path) -> None:
    desk = Desk(tmp_path, sources.POSE_SPEC)
    end_to_end(desk.inbox)
    (desk.inbox / NAME).write_text(description(LAYOUTS["end to end"][1]))
    assert [look.finding.success for look in desk.run()] == [True, False]
    _never_written(desk.inbox / "all.hdf5", "ok", TICKS)
    assert [look.finding.success for look in desk.run(again=True)] == [True, None]
    _never_written(desk.inbox / "all.hdf5", "ok", 0)
    assert [look.finding.success for look in desk.run(again=True)] == [None, None]


def test_images_of_hdf5_that_were_never_written_are_no_black_images(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    _never_written(path, "observations/images/cam_high", 40)
    assert "images 40 and on of 'observations/images/cam_high' were never written" in str(
        desk.run()[0].refused
    )
