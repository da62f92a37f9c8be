"""Each defect that real recordings have: mended and said, imported with a warning, or refused with why and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from datasets.importers.defects import Defect, Treatment
from datasets.importers.findings import Finding
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, SPECS, TICKS

Change = Callable[[h5py.File], None]

STATE = "observation/robot_state"


def finding(tmp_path: Path, change: Change) -> tuple[Finding, Desk]:
    """Of a DROID episode in which something was changed."""
    desk = Desk(tmp_path, SPECS["droid"])
    folder = sources.droid(desk.inbox)
    with h5py.File(folder / "trajectory.h5", "r+") as file:
        change(file)
    (result,) = desk.run()
    return result.finding, desk


def treated(found: Finding, defect: Defect) -> Treatment | None:
    return next((note.treatment for note in found.defects if note.defect is defect), None)


def put(file: h5py.File, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    del file[name]
    file[name] = values


def test_a_missing_member_is_named_and_the_other_episodes_come_in(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"])
    path = sources.robomimic(desk.inbox / "set.hdf5")
    with h5py.File(path, "r+") as file:
        del file["data/demo_0/actions"]
    broken, good = desk.run()
    assert broken.refused == "'actions' is missing" and broken.finding.key == "demo_0"
    assert treated(broken.finding, Defect.MISSING_MEMBER) is Treatment.REFUSED
    assert good.refused is None


@pytest.mark.parametrize(
    ("lost", "treatment"), [(1, Treatment.REPAIRED), (2, Treatment.REPAIRED), (3, Treatment.REFUSED)]
)
def test_a_short_tail_is_cut_and_a_long_one_refuses(tmp_path: Path, lost: int, treatment: Treatment) -> None:
    found, _ = finding(
        tmp_path, lambda file: put(file, f"{STATE}/joint_positions", file[f"{STATE}/joint_positions"][:-lost])
    )
    assert treated(found, Defect.UNEQUAL_LENGTHS) is treatment


def test_a_gap_is_bridged_and_marked_and_a_long_one_refuses(tmp_path: Path) -> None:
    def gap(length: float) -> Change:
        def change(file: h5py.File) -> None:
            time = 1_700_000_000 + np.arange(TICKS) / sources.HZ + length * (np.arange(TICKS) > 40)
            put(file, "observation/timestamp/robot_state/robot_timestamp_seconds", np.floor(time))
            put(file, "observation/timestamp/robot_state/robot_timestamp_nanos", (time % 1) * 1e9)

        return change

    short, _ = finding(tmp_path / "short", gap(0.3))
    assert treated(short, Defect.GAP) is Treatment.REPAIRED
    long, _ = finding(tmp_path / "long", gap(2.0))
    assert "lost 2.05 s" in str(long.refused)


def test_samples_that_repeat_an_instant_are_dropped(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    pq = sources.needs("pyarrow.parquet")
    (path,) = desk.inbox.rglob("*.parquet")
    table = pq.read_table(path)
    stamps = table["timestamp"].to_numpy().copy()
    stamps[33] = stamps[32]
    number = table.column_names.index("timestamp")
    pq.write_table(table.set_column(number, "timestamp", [stamps]), path)
    (result,) = desk.run()
    assert treated(result.finding, Defect.TIME_ORDER) is Treatment.REPAIRED
    assert "dropped 1 ticks that repeat the time of the one before" in result.finding.notes


def test_a_frozen_camera_is_a_warning(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        shown = file["observations/images/cam_high"]
        shown[20:50] = shown[20]
    (result,) = desk.run()
    assert result.refused is None
    assert treated(result.finding, Defect.FROZEN_IMAGES) is Treatment.WARNING
    assert any("'front' repeats the same image for 1." in note for note in result.finding.notes)


def test_an_image_that_cannot_be_decoded_refuses_with_its_number(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5", compressed=True)
    with h5py.File(path, "r+") as file:
        file["observations/images/cam_high"][37] = 0
    (result,) = desk.run()
    assert "image 37 of 'observations/images/cam_high' cannot be decoded" in str(result.refused)
    assert desk.store.ids() == []


def test_a_video_that_ends_too_early_refuses(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v2.1", episodes=1)
    (path,) = root.rglob("*.mp4")
    sources.video(path, sources.images(30))
    (result,) = desk.run()
    assert "ends before frame 3" in str(result.refused)


def test_idle_starts_and_skipped_steps_are_dropped_and_their_places_kept(tmp_path: Path) -> None:
    found, desk = finding(tmp_path, lambda file: None)
    assert (found.idle, found.clutch_off) == (sources.REST - 2, 5)
    (name,) = desk.store.ids()
    assert desk.store.header(name).source["kept"] == [[8, 30], [35, 60]]


@pytest.mark.parametrize(
    ("scale", "treatment"), [(1.005, Treatment.REPAIRED), (1.2, Treatment.REFUSED), (0.0, Treatment.REFUSED)]
)
def test_quaternions_are_normalised_or_refused(tmp_path: Path, scale: float, treatment: Treatment) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"])
    path = sources.robomimic(desk.inbox / "set.hdf5", demos=1)
    with h5py.File(path, "r+") as file:
        file["data/demo_0/obs/robot0_eef_quat"][30] *= scale
    desk.answers = {"": {"actions": "achieved"}}
    (result,) = desk.run()
    assert treated(result.finding, Defect.QUATERNION_NORM) is treatment


def test_quaternions_that_change_their_sign_are_made_continuous(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"], {"actions": "achieved"})
    path = sources.robomimic(desk.inbox / "set.hdf5", demos=1)
    plain = desk.looks(path)[0].finding
    assert treated(plain, Defect.QUATERNION_SIGN) is None
    with h5py.File(path, "r+") as file:
        file["data/demo_0/obs/robot0_eef_quat"][20:40] *= -1
    (result,) = desk.run()
    assert treated(result.finding, Defect.QUATERNION_SIGN) is Treatment.REPAIRED
    assert result.refused is None


def test_euler_angles_that_wrap_leave_no_trace(tmp_path: Path) -> None:
    # a tool that points down sits at half a turn, so that its roll flips between 180 and -180 degrees
    def wrap(file: h5py.File) -> None:
        for name in (f"{STATE}/cartesian_position", "action/cartesian_position"):
            values = file[name][()]
            values[::2, 3] = np.where(values[::2, 3] > 0, values[::2, 3] - 2 * np.pi, values[::2, 3])
            put(file, name, values)

    straight, one = finding(tmp_path / "straight", lambda file: None)
    wrapped, other = finding(tmp_path / "wrapped", wrap)
    assert straight.refused is None and wrapped.refused is None
    actions = [desk.store.load(desk.store.ids()[0]).action for desk in (one, other)]
    np.testing.assert_allclose(actions[0], actions[1], atol=1e-5)


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (1e300, "a number beyond 1e+06")],
)
def test_numbers_that_nothing_can_measure_refuse_with_their_place(
    tmp_path: Path, value: float, what: str
) -> None:
    def poke(file: h5py.File) -> None:
        file["action/cartesian_position"][41, 1] = value

    found, _ = finding(tmp_path, poke)
    assert found.refused == f"'action_pose' holds {what} at tick 41"
    assert treated(found, Defect.NOT_FINITE) is Treatment.REFUSED


def test_a_gripper_of_another_range_is_not_taken_for_ours(tmp_path: Path) -> None:
    def widen(file: h5py.File) -> None:
        put(file, "action/gripper_position", 85 * file["action/gripper_position"][()])

    found, _ = finding(tmp_path, widen)
    assert treated(found, Defect.GRIPPER_RANGE) is Treatment.REFUSED


def test_a_pose_out_of_reach_puts_the_frame_in_doubt(tmp_path: Path) -> None:
    def far(file: h5py.File) -> None:
        for name in (f"{STATE}/cartesian_position", "action/cartesian_position"):
            file[name][:, 0] += 5.0

    found, _ = finding(tmp_path, far)
    assert found.refused is None and treated(found, Defect.OUT_OF_REACH) is Treatment.WARNING


def test_half_a_file_refuses_only_itself(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    whole = sources.aloha(desk.inbox / "episode_0.hdf5").read_bytes()
    (desk.inbox / "episode_1.hdf5").write_bytes(whole[: len(whole) // 3])
    (desk.inbox / "notes.txt").write_text("nothing to import")
    good, cut = desk.run()
    assert good.refused is None
    assert treated(cut.finding, Defect.UNREADABLE) is Treatment.REFUSED


def test_what_cannot_be_opened_is_told_without_numbers_paths_or_names_of_errors(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    (desk.inbox / "link.hdf5").symlink_to(tmp_path / "gone")
    (desk.inbox / "notes.hdf5").write_text("no HDF5")
    for name, content in {"json": "{nope", "keys": "{}"}.items():
        sources.lerobot(desk.inbox / name, "v2.1", episodes=1)
        (desk.inbox / name / "meta" / "info.json").write_text(content)
    sources.lerobot(desk.inbox / "video", "v2.1", episodes=1)
    for video in (desk.inbox / "video").rglob("*.mp4"):
        video.write_bytes(b"no video" * 100)
    assert {result.finding.path.name: result.refused for result in desk.run()} == {
        "link.hdf5": "unreadable (a broken link)",
        "notes.hdf5": "unreadable, not an HDF5 file",
        "json": "meta/info.json is not valid JSON (line 1)",
        "keys": "meta/info.json lacks 'features'",
        "video": "the video episode_000000.mp4 is not an MP4, Matroska or AVI file, or its header is damaged; "
        "copy it again",
    }


def test_facts_that_are_no_json_are_named_with_what_to_do(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"], ANSWERS["robomimic"])
    with h5py.File(sources.robomimic(desk.inbox / "can.hdf5", demos=1), "r+") as file:
        file["data"].attrs["env_args"] = "{nope"
    (result,) = desk.run()
    assert str(result.refused) == (
        "the attribute 'env_args' of its group 'data' is not valid JSON; fix it, or delete it and answer instead"
    )


def test_arrays_that_could_do_more_than_decode_are_not_opened(tmp_path: Path) -> None:
    import json

    desk = Desk(tmp_path, SPECS["diffusion-policy"], ANSWERS["diffusion-policy"])
    root = sources.umi(desk.inbox / "dataset.zarr", episodes=1)
    described = root / "data" / "robot0_demo_start_pose" / ".zarray"
    facts = json.loads(described.read_text())
    described.write_text(json.dumps({**facts, "dtype": "|O", "filters": [{"id": "pickle"}]}))
    (result,) = desk.run()
    assert "holds |O, no numbers" in str(result.refused)
    described.write_text(json.dumps({**facts, "filters": [{"id": "pickle"}]}))
    (result,) = desk.run()
    assert "packed with 'pickle', which is not read" in str(result.refused)


def test_a_huge_image_is_not_decoded_into_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5", compressed=True)
    data = bytearray(cv2.imencode(".jpg", sources.image(3))[1].tobytes())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = b"\xff\xfe\xff\xfe"
    with h5py.File(path, "r+") as file:
        rows = file["observations/images/cam_high"]
        rows[0] = 0
        rows[0, : min(len(data), rows.shape[1])] = np.frombuffer(bytes(data), np.uint8)[: rows.shape[1]]
    (result,) = desk.run()
    assert result.refused is not None


def scaled(file: h5py.File, factor: float) -> None:
    for name in ("observations/qpos", "action"):
        values = file[name][()]
        values[:, :6] *= factor
        put(file, name, values)


def test_degrees_taken_for_radians_are_refused_and_the_flag_that_says_so_brings_them_in(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    with h5py.File(sources.aloha(desk.inbox / "episode_0.hdf5"), "r+") as file:
        scaled(file, 180 / np.pi)
    (result,) = desk.run()
    assert treated(result.finding, Defect.OUT_OF_REACH) is Treatment.REFUSED
    assert "--map angle=deg" in str(result.refused)
    desk.answers[""]["angle"] = "deg"
    (result,) = desk.run()
    assert result.refused is None and treated(result.finding, Defect.JUMP) is None


def test_a_joint_that_leaps_for_one_tick_is_told(tmp_path: Path) -> None:
    def leap(file: h5py.File) -> None:
        values = file[f"{STATE}/joint_positions"][()]
        values[45, 2] += 2.0
        put(file, f"{STATE}/joint_positions", values)

    found, _ = finding(tmp_path, leap)
    assert treated(found, Defect.JUMP) is Treatment.WARNING
    assert "a joint moves at" in str(found.defects)


def test_a_command_that_leaps_is_told_and_an_ordinary_one_is_not(tmp_path: Path) -> None:
    def leap(file: h5py.File) -> None:
        values = file["action/cartesian_position"][()]
        values[45:, 0] += 0.85
        put(file, "action/cartesian_position", values)

    ordinary, _ = finding(tmp_path / "ordinary", lambda file: None)
    assert treated(ordinary, Defect.JUMP) is None
    found, _ = finding(tmp_path / "leap", leap)
    assert "the commanded position moves at" in str(found.defects)


def test_a_column_that_never_changes_is_no_joint_angles_of_an_arm_that_moves(tmp_path: Path) -> None:
    still = {"joints": "robot0_demo_start_pose[0:6]", "angle": "rad", "unstored": "fill"}
    desk = Desk(tmp_path, sources.JOINT_SPEC, ANSWERS["diffusion-policy"] | still)
    sources.umi(desk.inbox / "demos.zarr")
    assert all("'joint_angles' never change" in str(result.refused) for result in desk.run())
