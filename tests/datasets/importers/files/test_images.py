"""Images in the ways people store them come out as the same RGB; depth is no camera, and two rates are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from datasets.importers.defects import RefusedError
from datasets.importers.files import images
from datasets.importers.files.video import VideoFrames
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, SPECS, TICKS

Stored = Callable[[NDArray[np.uint8]], NDArray[Any]]
STORED: dict[str, Stored] = {
    "plain": lambda shown: shown,
    "channels first": lambda shown: np.moveaxis(shown, -1, 1),
    "floats to 1": lambda shown: (shown / 255).astype(np.float32),
    "floats to 255": lambda shown: shown.astype(np.float64),
    "RGBA": lambda shown: np.concatenate([shown, np.full_like(shown[..., :1], 7)], -1),
    "RGBA floats, channels first": lambda shown: np.moveaxis(
        np.concatenate([shown, np.full_like(shown[..., :1], 255)], -1) / np.float16(255), -1, 1
    ),
}


@pytest.mark.parametrize("kind", STORED)
def test_images_come_out_as_they_were_seen_however_they_are_stored(kind: str) -> None:
    shown = sources.images()
    stored = STORED[kind](shown)
    assert images.is_colour(stored) and not images.is_depth(stored)
    frames = images.as_frames(stored, "front")
    assert (frames.count, frames.height, frames.width) == (TICKS, sources.HEIGHT, sources.WIDTH)
    wanted = np.array([0, 3, 3, TICKS - 1])
    np.testing.assert_allclose(np.stack(list(frames.pick(wanted))), shown[wanted], atol=1)
    assert bool(frames.notes) == (kind != "plain")


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 48, 64, 1), "float32"), ((9, 1, 48, 64), "uint8"), ((9, 48, 64), "uint16")]
)
def test_depth_is_no_colour_camera(shape: tuple[int, ...], dtype: str) -> None:
    stored = np.zeros(shape, dtype)
    assert images.is_depth(stored) and not images.is_colour(stored)


def test_normalised_images_are_refused_rather_than_guessed() -> None:
    shown = (sources.images() / 127.5 - 1).astype(np.float32)
    with pytest.raises(RefusedError, match="undo their normalisation"):
        list(images.as_frames(shown, "front").pick(np.zeros(1, np.int64)))


@pytest.mark.parametrize("kind", ["channels first", "RGBA", "floats to 1"])
def test_every_format_of_arrays_takes_them(tmp_path: Path, kind: str) -> None:
    shown = STORED[kind](sources.images())
    for name, change in {"aloha": _in_hdf5, "diffusion-policy": _in_zarr, "hil-serl": _in_pickle}.items():
        desk = Desk(tmp_path / name, SPECS[name], {**ANSWERS[name]})
        change(desk.inbox, shown)
        (result, *_) = desk.run()
        assert result.refused is None
        assert any("made RGB" in note for note in result.finding.notes)
        seen = desk.store.load(str(result.episode)).images["front"]
        assert seen[..., 2].mean() == pytest.approx(sources.BLUE, abs=2)


def _in_hdf5(inbox: Path, shown: NDArray[Any]) -> None:
    with h5py.File(sources.aloha(inbox / "episode_0.hdf5"), "r+") as file:
        del file["observations/images/cam_high"]
        file["observations/images/cam_high"] = shown


def _in_zarr(inbox: Path, shown: NDArray[Any]) -> None:
    root = zarr.open_group(sources.umi(inbox / "set.zarr", episodes=1), mode="r+", zarr_format=2)
    del root["data/camera0_rgb"]
    root.create_array("data/camera0_rgb", data=shown, chunks=(1, *shown.shape[1:]))


def _in_pickle(inbox: Path, shown: NDArray[Any]) -> None:
    import pickle

    path = sources.hil_serl(inbox / "demos.pkl", episodes=1)
    transitions = pickle.loads(path.read_bytes())
    for row, transition in zip(shown, transitions, strict=True):
        transition["observations"]["front"] = row[None]
    path.write_bytes(pickle.dumps(transitions))


def _info(root: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((root / "meta" / "info.json").read_text())
    return facts


def test_a_stream_that_is_marked_as_depth_is_neither_proposed_nor_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1")
    facts = _info(root)
    facts["features"]["observation.images.front"]["info"] = {"video.is_depth_map": True}
    (root / "meta" / "info.json").write_text(json.dumps(facts))
    refused = desk.inspect_all_refused()
    assert "and depth: observation.images.front" in refused
    desk.answers[""]["camera.front"] = "observation.images.front"
    assert "no colour camera" in desk.inspect_all_refused()


@pytest.mark.parametrize(
    ("names", "flat"),
    [
        ({"motors": sources.LEROBOT_NAMES}, True),
        ([sources.LEROBOT_NAMES[:3], sources.LEROBOT_NAMES[3:]], True),
        ({"arm": sources.LEROBOT_NAMES[:7], "hand": ["gripper"]}, True),
        ({name: place for place, name in enumerate(sources.LEROBOT_NAMES)}, True),
    ],
)
def test_names_of_numbers_are_found_however_they_are_nested(tmp_path: Path, names: Any, flat: bool) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    sources.lerobot(desk.inbox / "set", "v2.1", episodes=1, names=names)
    (result,) = desk.run()
    assert (result.refused is None) == flat


def test_openpis_names_of_columns_are_known(tmp_path: Path) -> None:
    pq = sources.needs("pyarrow.parquet")
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    facts = _info(root)
    for old, new in (("observation.state", "state"), ("action", "actions")):
        facts["features"][new] = facts["features"].pop(old)
    (root / "meta" / "info.json").write_text(json.dumps(facts))
    (table,) = root.rglob("*.parquet")
    rows = pq.read_table(table)
    renamed = {"observation.state": "state", "action": "actions"}
    pq.write_table(rows.rename_columns([renamed.get(name, name) for name in rows.column_names]), table)
    (result,) = desk.run()
    assert result.refused is None


def test_files_are_found_where_the_sets_own_template_puts_them(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1")
    facts = _info(root)
    facts["data_path"] = "tables/{episode_chunk:03d}/ep{episode_index:04d}.parquet"
    facts["video_path"] = "films/{video_key}/{episode_index:04d}.mp4"
    (root / "meta" / "info.json").write_text(json.dumps(facts))
    for number in range(2):
        for old, new in (
            (f"data/chunk-000/episode_{number:06d}.parquet", f"tables/000/ep{number:04d}.parquet"),
            (
                f"videos/chunk-000/observation.images.front/episode_{number:06d}.mp4",
                f"films/observation.images.front/{number:04d}.mp4",
            ),
        ):
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            (root / old).rename(root / new)
    assert [result.refused for result in desk.run()] == [None, None]


def test_a_template_that_leads_out_of_the_set_is_not_followed(tmp_path: Path) -> None:
    root = sources.lerobot(tmp_path / "set", "v2.1")
    facts = _info(root)
    (root / "data").rename(tmp_path / "data")
    facts["data_path"] = "../data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    (root / "meta" / "info.json").write_text(json.dumps(facts))
    desk = Desk(tmp_path / "desk", SPECS["lerobot"], ANSWERS["lerobot"])
    assert desk.run(root) == []


def test_a_video_and_a_table_of_two_rates_are_named_with_both(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    (film,) = root.rglob("*.mp4")
    sources.video(film, np.repeat(sources.images(), 2, axis=0), rate=40)
    (result,) = desk.run()
    assert result.refused is None
    assert any("has 40 frames a second and the table 20 rows" in note for note in result.finding.notes)
    sources.video(film, sources.images()[::4], rate=5)
    (slow,) = Desk(tmp_path / "slow", SPECS["lerobot"], ANSWERS["lerobot"]).run(desk.inbox)
    assert slow.refused is not None and "has 5 frames a second and the table 20 rows" in slow.refused


def test_stamps_that_contradict_the_declared_rate_are_noted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    facts = _info(root)
    (root / "meta" / "info.json").write_text(json.dumps({**facts, "fps": 30}))
    (result,) = desk.looks(desk.inbox)
    assert any("stamps say 20 samples a second, and 30 are declared" in note for note in result.finding.notes)


def test_isaac_labs_usual_names_are_proposed_and_its_conventions_asked(tmp_path: Path) -> None:
    path = tmp_path / "dataset.hdf5"
    pose, grip = sources.poses(sources.T), sources.opening(sources.T)[:, None]
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = json.dumps({"env_name": "Isaac-Lift", "type": 2})
        demo = file["data"].create_group("demo_0")
        demo.attrs["success"] = True
        demo["actions"] = np.concatenate([pose[:, :3], np.zeros((TICKS, 3)), grip], 1)
        demo["obs/policy/eef_pos"], demo["obs/policy/eef_quat"] = pose[:, :3], pose[:, 3:]
        demo["obs/policy/gripper_pos"] = np.concatenate([0.04 * grip, -0.04 * grip], 1)
        demo["obs/rgb_camera/table_cam"] = sources.images()
        demo["obs/rgb_camera/table_depth"] = np.zeros((TICKS, 24, 32, 1), np.float32)
    desk = Desk(tmp_path / "desk", sources.POSE_SPEC)
    look = desk.looks(path)[0]
    assert look.outline is not None and look.finding.success is True
    assert look.outline.entries["position"] == "obs/policy/eef_pos"
    assert look.outline.entries["camera.front"] == "rgb_camera/table_cam"
    assert [question.name for question in look.outline.open] == ["rate", "actions"]
    desk.answers[""] = {"rate": "20", "actions": "achieved", "gripper": "0,0.04", "quaternion": "xyzw"}
    (result,) = desk.run(path)
    assert result.refused is None


def _droid(tmp_path: Path, shown: NDArray[np.uint8], rate: int) -> Any:
    desk = Desk(tmp_path, SPECS["droid"])
    sources.droid(desk.inbox)
    (film,) = desk.inbox.rglob("*.mp4")
    sources.video(film, shown, rate=rate)
    (result,) = desk.run()
    return desk, result


def test_droids_video_that_runs_at_another_rate_is_matched_by_time_and_said_with_both(tmp_path: Path) -> None:
    desk, result = _droid(tmp_path, np.repeat(sources.images(), 3, axis=0), 60)
    assert result.refused is None
    assert any("has 60 frames a second and the table 20 rows" in note for note in result.finding.notes)
    shown = desk.store.load(str(result.episode)).images["front"][..., 0].mean((1, 2))
    assert shown[-1] == pytest.approx(4 * (TICKS - 1), abs=3) and (np.diff(shown) > 0).all()


def test_a_row_gets_the_image_nearest_in_time_and_not_the_next_one(tmp_path: Path) -> None:
    shown = np.zeros((90, 24, 32, 3), np.uint8)
    shown[2::9] = (
        255  # of 45 frames a second and 20 rows: the one just before every fourth row, and its nearest
    )
    video = VideoFrames(sources.video(tmp_path / "film.mp4", shown, rate=45), begin=0.0, count=40, rate=20.0)
    light = np.array([image.mean() for image in video.pick(np.arange(40))])
    assert (light[1::4] > 128).all() and (np.delete(light, np.s_[1::4]) < 128).all()


def test_droids_video_with_an_image_for_each_row_is_taken_so_whatever_rate_it_claims(tmp_path: Path) -> None:
    desk, result = _droid(tmp_path, sources.images(), 60)
    assert result.refused is None
    assert any(
        "60 frames, 60 a second, and the table 60 rows, 20 a second" in note for note in result.finding.notes
    )
    shown = desk.store.load(str(result.episode)).images["front"][..., 0].mean((1, 2))
    assert shown[-1] == pytest.approx(4 * (TICKS - 1), abs=3)


def test_droids_video_of_another_rate_and_length_is_refused_with_all_figures(tmp_path: Path) -> None:
    _, result = _droid(tmp_path, np.repeat(sources.images(), 2, axis=0), 60)
    assert "has 120 frames, 60 a second, and the table 60 rows, 20 a second" in str(result.refused)
    assert "nothing says which image belongs to which row" in str(result.refused)
