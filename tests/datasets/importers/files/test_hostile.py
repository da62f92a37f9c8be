"""Foreign data that would have bytes read that are not its own: links of every kind, pickles of more than arrays.

What is asserted is that nothing of the secret beside the data comes in, and that the refusal says what to do.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datasets import vr_recording
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files.unpickling import ArrayUnpickler
from datasets.importers.interface import Source
from datasets.importers.kinematics import forward_kinematics
from datasets.importers.read.reader import Reader
from datasets.spec import DataSpec
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.formats.test_vr import make_recording
from tests.datasets.importers.sources import ANSWERS, MAKERS, SPECS

SECRET_SHAPE = (sources.TICKS, sources.HEIGHT, sources.WIDTH, 3)


def secret(root: Path) -> Path:
    """A file that is none of the data's business, and an HDF5 file with what is in it."""
    path = root / "secret"
    path.write_bytes(bytes(range(251)) * (1 + int(np.prod(SECRET_SHAPE)) // 251))
    with h5py.File(root / "secret.h5", "w") as file:
        file["images"] = np.full(SECRET_SHAPE, 7, np.uint8)
    return path


def external_link(file: h5py.File, name: str, root: Path) -> None:
    file[name] = h5py.ExternalLink(str(root / "secret.h5"), "/images")


def virtual_dataset(file: h5py.File, name: str, root: Path) -> None:
    layout = h5py.VirtualLayout(shape=SECRET_SHAPE, dtype=np.uint8)
    layout[:] = h5py.VirtualSource(str(root / "secret.h5"), "images", shape=SECRET_SHAPE)
    file.create_virtual_dataset(name, layout)


def raw_storage(file: h5py.File, name: str, root: Path) -> None:
    size = int(np.prod(SECRET_SHAPE))
    file.create_dataset(name, SECRET_SHAPE, np.uint8, external=[(str(root / "secret"), 0, size)])


Lead = Callable[[h5py.File, str, Path], None]
IMAGES = {
    "aloha": "observations/images/cam_high",
    "robomimic": "data/demo_1/obs/front_image",
    "droid": "observation/robot_state/joint_positions",
    "vr": "images/third",
}


@pytest.mark.parametrize("lead", [external_link, virtual_dataset, raw_storage])
@pytest.mark.parametrize("kind", IMAGES)
def test_an_hdf5_file_that_leads_to_another_file_is_refused(
    tmp_path: Path, kind: str, lead: Lead, spec: DataSpec
) -> None:
    secret(tmp_path)
    desk = Desk(tmp_path / "desk", SPECS.get(kind, spec), ANSWERS.get(kind))
    if kind == "vr":
        vr_recording.write(desk.inbox / "a.h5", make_recording(spec))
    else:
        MAKERS[kind][1](desk.inbox)
    (path,) = [*desk.inbox.rglob("*.h5"), *desk.inbox.rglob("*.hdf5")]
    with h5py.File(path, "r+") as file:
        del file[IMAGES[kind]]
        lead(file, IMAGES[kind], tmp_path)
    results = desk.run()
    assert desk.store.ids() == []
    assert [note.defect for result in results for note in result.finding.defects] == [Defect.OUTSIDE]
    assert f"'{IMAGES[kind]}' is" in str(results[0].refused)
    assert "only data inside the file are read" in str(results[0].refused)


def test_a_camera_that_plays_a_recording_follows_it_nowhere_either(tmp_path: Path, spec: DataSpec) -> None:
    secret(tmp_path)
    vr_recording.write(tmp_path / "a.h5", make_recording(spec))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["images/third"]
        external_link(file, "images/third", tmp_path)
    with pytest.raises(vr_recording.RecordingError, match="link into another file"):
        vr_recording.read(tmp_path / "a.h5")


def test_links_inside_an_hdf5_file_do_no_harm(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        file["moved"] = file["action"]
        del file["action"]
        file["action"] = h5py.SoftLink("/moved")
        file["observations/above"] = file["/"]
    assert [result.refused for result in desk.run()] == [None]


def reduced(*words: Any) -> Any:
    """An object that pickles as a call of these words."""

    class Call:
        def __reduce__(self) -> tuple[Any, ...]:
            return words

    return Call()


OBJECTS = np.array([{"a": 1}, None], dtype=object)
RECORDS = np.zeros(2, dtype=[("a", "f8"), ("b", "O")])
RECONSTRUCT: Any = np.zeros(0).__reduce__()[0]
FROM_BUFFER: Any = np.zeros(1).__reduce_ex__(5)[0]
TYPE_STATE = (3, "|", None, ("a",), {"a": (np.dtype("f8"), 0)}, 8, 1, 0)
HOSTILE = {
    "objects": OBJECTS,
    "records": RECORDS,
    "an array over a buffer": reduced(np.ndarray, ((8,), np.dtype("f8"), b"\0" * 64, 0, (1 << 40,))),
    "an array of any size": reduced(np.ndarray, ((1 << 36,), np.dtype("u1"))),
    "a type that lies": reduced(np.dtype, ("f8", False, True), TYPE_STATE),
    "a type of objects": reduced(np.dtype, ("O8", False, True)),
    "a state of objects": reduced(
        RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1,), np.dtype("O"), False, [print])
    ),
    "a state that is too short": reduced(
        RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1 << 40,), np.dtype("f8"), False, b"\0" * 8)
    ),
    "a shape that wraps around": reduced(
        RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (1 << 32, 1 << 32), np.dtype("f8"), False, b"")
    ),
    "a buffer that is too short": reduced(FROM_BUFFER, (b"\0" * 8, np.dtype("f8"), (1 << 40,), "C")),
    "a changed builder": reduced(RECONSTRUCT, (np.ndarray, (0,), b"b"), (None, {"__class__": 1})),
    "a function": reduced(os.system, ("true",)),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_builds_arrays_of_numbers_and_nothing_else(name: str, protocol: int) -> None:
    data = pickle.dumps([HOSTILE[name]], protocol=protocol)
    with pytest.raises((pickle.UnpicklingError, TypeError, ValueError)):
        ArrayUnpickler(io.BytesIO(data)).load()


def test_a_pickle_cannot_change_what_builds_the_next_one() -> None:
    # GLOBAL numpy._core.multiarray._reconstruct, state (None, {"_function": 1}), BUILD
    data = b"cnumpy._core.multiarray\n_reconstruct\n(N}X\x09\x00\x00\x00_functionK\x01stb."
    with pytest.raises(pickle.UnpicklingError, match="change what builds it"):
        ArrayUnpickler(io.BytesIO(data)).load()


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_as_they_were_pickled(protocol: int) -> None:
    content = {
        "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "number": np.float64(2.5),
        "truth": np.bool_(True),
        "none": np.zeros((0, 3)),
        "words": np.array(["ab", "c"]),
        "swapped": np.arange(3, dtype=">i4"),
        "alone": np.array(3.0),
    }
    read = ArrayUnpickler(io.BytesIO(pickle.dumps(content, protocol=protocol))).load()
    assert read.keys() == content.keys()
    for name, values in content.items():
        np.testing.assert_array_equal(np.asarray(read[name]), values)


def test_a_file_behind_a_link_comes_in_only_when_it_is_named_or_asked_for(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    sources.aloha(outside / "episode_0.hdf5")
    desk = Desk(tmp_path / "desk", SPECS["aloha"], ANSWERS["aloha"])
    (desk.inbox / "episode_0.hdf5").symlink_to(outside / "episode_0.hdf5")
    (desk.inbox / "more").symlink_to(outside)
    results = desk.run()
    assert desk.store.ids() == [] and len(results) == 2
    for result in results:
        assert "leads out of the named folder" in str(result.refused)
        assert str(outside) in str(result.refused) and "--follow-links" in str(result.refused)
    followed = Reader().find([desk.inbox], follow=True)
    assert followed and all(isinstance(each, Source) for each in followed)
    assert [result.refused for result in desk.run(desk.inbox / "more")] == [None]


def test_links_that_lead_round_in_circles_are_followed_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    for name in ("a", "b"):
        (desk.inbox / name).mkdir()
        (desk.inbox / name / "up").symlink_to(desk.inbox)
    (desk.inbox / "a" / "b").symlink_to(desk.inbox / "b")
    (desk.inbox / "a" / "itself").symlink_to(desk.inbox / "a" / "itself")
    real = sources.aloha(desk.inbox / "b" / "episode_0.hdf5")
    (desk.inbox / "a" / "episode_9.hdf5").symlink_to(real)
    (result,) = desk.run()
    assert result.refused is None and result.finding.path == real


@pytest.mark.parametrize("kind", ["lerobot-v2.1", "droid", "umi"])
def test_a_data_set_whose_file_is_a_link_out_of_it_is_refused_whole(tmp_path: Path, kind: str) -> None:
    name, make = MAKERS[kind]
    desk = Desk(tmp_path / "desk", SPECS[name], ANSWERS[name])
    made = make(desk.inbox)
    large = max((path for path in made.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    hidden = tmp_path / "hidden"
    shutil.move(large, hidden)
    large.symlink_to(hidden)
    (result,) = desk.run()
    assert f"its '{large.relative_to(made)}' is a link that leads out of the named folder" in str(
        result.refused
    )
    assert desk.store.ids() == []
    followed = Reader().find([desk.inbox], follow=True)
    assert followed and all(isinstance(each, Source) for each in followed)


def test_a_folder_behind_a_link_inside_is_looked_through_for_links_that_lead_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk", SPECS["droid"])
    folder = sources.droid(desk.inbox)
    shutil.move(folder / "recordings", desk.inbox / "recordings")
    (folder / "recordings").symlink_to(desk.inbox / "recordings")
    assert [result.refused for result in desk.run()] == [None]
    video = desk.inbox / "recordings" / "MP4" / "222.mp4"
    shutil.move(video, tmp_path / "hidden.mp4")
    video.symlink_to(tmp_path / "hidden.mp4")
    (result,) = desk.run()
    assert "leads out of the named folder" in str(result.refused)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("kind", "inner"),
    [
        ("lerobot-v2.1", "meta/episodes.jsonl"),
        ("lerobot-v2.1", "data/chunk-000/episode_000001.parquet"),
        ("umi", "data/robot0_eef_pos/0.0"),
    ],
)
def test_a_data_set_that_holds_a_pipe_is_refused_before_anything_waits_for_it(
    tmp_path: Path, kind: str, inner: str, follow: bool
) -> None:
    root = MAKERS[kind][1](tmp_path)
    (root / inner).unlink()
    os.mkfifo(root / inner)
    (found,) = Reader().find([tmp_path], follow=follow)
    assert f"its '{inner}' is a pipe" in str(getattr(found, "refused", ""))


def test_a_snapshot_in_a_hugging_face_cache_may_link_into_the_store_beside_it(tmp_path: Path) -> None:
    cache = tmp_path / "datasets--somebody--lift"
    snapshot = cache / "snapshots" / "0123abcd"
    made = sources.lerobot(tmp_path / "made", "v2.1", episodes=1)
    (cache / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in made.rglob("*") if path.is_file())):
        blob = cache / "blobs" / str(number)
        shutil.move(path, blob)
        link = snapshot / path.relative_to(made)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    desk = Desk(tmp_path / "desk", SPECS["lerobot"], ANSWERS["lerobot"])
    assert [result.refused for result in desk.run(snapshot)] == [None]


def test_a_list_of_episodes_cannot_name_a_video_outside_its_data_set(tmp_path: Path) -> None:
    pq, pa = sources.needs("pyarrow.parquet"), sources.needs("pyarrow")
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v3.0")
    (listed,) = (root / "meta" / "episodes").rglob("*.parquet")
    rows = pq.read_table(listed).to_pylist()
    moved = [
        {name.replace("videos/observation.images.front", "videos/../../../x"): row[name] for name in row}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(moved), listed)
    (result,) = desk.run()
    assert "which is not inside it" in str(result.refused)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {name}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_video_that_is_a_playlist_plays_no_other_file(tmp_path: Path, kind: str) -> None:
    desk = Desk(tmp_path, SPECS["droid"], {"camera.front": "ext1"})
    folder = sources.droid(desk.inbox)
    video = folder / "recordings" / "MP4" / "222.mp4"
    other = folder / "recordings" / "MP4" / "other.mp4"
    shutil.move(video, other)
    video.write_text(PLAYLISTS[kind].format(secret=other, name=other.name))
    (result,) = desk.run()
    assert "222.mp4 is not an MP4" in str(result.refused)


def test_a_zip_whose_members_climb_out_of_it_reads_only_itself(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["diffusion-policy"], ANSWERS["diffusion-policy"])
    path = sources.umi(desk.inbox / "dataset.zarr.zip", episodes=1)
    described = (sources.umi(tmp_path / "outside.zarr", episodes=1) / "data/camera0_rgb/.zarray").read_text()
    with zipfile.ZipFile(path, "a") as archive:
        for name in (
            "data/../../../outside.zarr/data/camera0_rgb/.zarray",
            "/etc/.zarray",
            "data/../x/.zarray",
        ):
            archive.writestr(name, described)
    (result,) = desk.run()
    assert result.outline is not None and list(result.outline.cameras) == ["camera0_rgb"]


@pytest.mark.parametrize(
    "text",
    [
        '<mujoco><include file="{secret}"/><worldbody><body name="a"><joint/></body></worldbody></mujoco>',
        '<mujoco><worldbody><body name="a"><joint/><flexcomp name="f" file="{secret}"/></body></worldbody></mujoco>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><mujoco model="&x;"><worldbody/></mujoco>',
    ],
)
def test_a_description_of_an_arm_cannot_have_other_files_read(tmp_path: Path, text: str) -> None:
    sources.needs("mujoco")
    words = tmp_path / "secret.xml"
    words.write_text("<mujoco><asset/></mujoco>")
    path = tmp_path / "arm.xml"
    path.write_text(text.format(secret=words))
    with pytest.raises(RefusedError):
        forward_kinematics(str(path))(np.zeros((1, 1)))
