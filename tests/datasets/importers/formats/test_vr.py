"""Importing VR recordings, against a synthetic one whose true motion is known at every instant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as SciPyRotation

from datasets.episode import EpisodeKind, Outcome
from datasets.journal.journal import Journal
from datasets.journal.records import Imported
from datasets.rotation import REFERENCE_QUATERNION, action_to_pose
from datasets.spec import DataSpec
from datasets.vr_recording import VrRecording, write
from tests.datasets.importers.desk import Desk as ImportDesk

HZ = 30.0
IDLE, TICKS, OPEN, CLOSED = 15, 120, 60, 75
"""The hand rests for IDLE ticks; the clutch is open in OPEN..CLOSED, during which the hand wanders off."""
FIRST = IDLE - 3
"""The first tick that an import keeps: a control period before the motion."""


def hand(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The commanded pose after s seconds of motion: along x at 0.1 m/s while yawing at 0.3 rad/s."""
    s = np.maximum(s, 0)
    zero = np.zeros_like(s)
    yaw = SciPyRotation.from_quat(REFERENCE_QUATERNION) * SciPyRotation.from_rotvec(
        np.stack([zero, zero, 0.3 * s], 1)
    )
    return np.concatenate([np.stack([0.3 + 0.1 * s, zero, zero + 0.2], 1), yaw.as_quat()], 1)


def moved(tick: NDArray[Any]) -> NDArray[np.float64]:
    """Seconds of motion that the arm has followed at each tick."""
    frozen = np.clip(tick - (OPEN - 1), 0, CLOSED - OPEN)
    return np.asarray((tick - frozen - IDLE) / HZ, np.float64)


def make_recording(spec: DataSpec) -> VrRecording:
    tick = np.arange(TICKS)
    motion = moved(tick)
    time = 100 + tick / HZ
    clutch = (tick < OPEN) | (tick >= CLOSED)
    pose = hand(motion)
    pose[~clutch, :3] += 0.4
    # every image says which tick it is
    frames = {
        camera.name: np.broadcast_to(
            tick.astype(np.uint8)[:, None, None, None], (TICKS, camera.height, camera.width, 3)
        ).copy()
        for camera in spec.cameras
    }
    return VrRecording(
        images=frames,
        image_time={name: time.copy() for name in frames},
        joint_angles=np.stack([motion, 2 * motion], 1),
        end_effector_pose=hand(motion - 1 / HZ),
        gripper=np.where(tick < 100, 1.0, 0.0),
        observation_time=time,
        action_pose=pose,
        action_gripper=np.where(tick < 99, 1.0, 0.0),
        action_time=time.copy(),
        clutch=clutch,
        success_button=tick == TICKS - 1,
        failure_button=np.zeros(TICKS, np.bool_),
        success=True,
        attributes={"style": "careful", "layout": {"orange": [0.1, 0.2]}},
    )


@pytest.fixture
def recording(spec: DataSpec) -> VrRecording:
    return make_recording(spec)


class Desk(ImportDesk):
    """With VR recordings in the inbox."""

    def put(self, name: str, recording: VrRecording) -> Path:
        path = self.inbox / name
        write(path, recording)
        return path


@pytest.fixture
def desk(tmp_path: Path, spec: DataSpec) -> Desk:
    return Desk(tmp_path, spec)


def test_idle_start_and_clutch_off_are_gone_and_the_motion_is_the_true_one(
    desk: Desk, recording: VrRecording
) -> None:
    desk.put("a.h5", recording)
    (result,) = desk.run()
    assert result.episode is not None
    finding = result.finding
    # one control period of stillness stays
    assert finding.idle == FIRST
    assert finding.clutch_off == CLOSED - OPEN
    episode = desk.store.load(result.episode)
    kept = TICKS - FIRST - (CLOSED - OPEN)
    assert episode.steps == finding.steps == (kept - 1) // 3
    # the last observation is the last tick; step t asks for what was commanded a tick before observation t+1
    seen = (kept - 1 - 3.0 * np.arange(episode.steps, -1, -1) - (IDLE - FIRST)) / HZ
    due = hand(np.asarray(seen[1:] - 1 / HZ, np.float64))
    position, quaternion, gripper = action_to_pose(episode.action, desk.spec.action)
    np.testing.assert_allclose(position, due[:, :3], atol=1e-5)
    np.testing.assert_allclose(np.abs((quaternion * due[:, 3:]).sum(1)), 1, atol=1e-6)
    np.testing.assert_array_equal(gripper, seen[1:] * HZ < 99 - IDLE - (CLOSED - OPEN))
    joints = np.maximum(seen, -(IDLE - FIRST) / HZ)
    np.testing.assert_allclose(episode.proprioception[:, :2], np.stack([joints, 2 * joints], 1), atol=1e-5)
    np.testing.assert_allclose(np.diff(episode.observation_time), desk.spec.dt)


def test_each_step_has_the_recorded_image_of_its_instant_and_none_of_clutch_off(
    desk: Desk, recording: VrRecording
) -> None:
    desk.put("a.h5", recording)
    (result,) = desk.run()
    assert result.episode is not None
    ticks = desk.store.load(result.episode).images["third"][:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(ticks[ticks >= CLOSED], np.arange(TICKS - 1, CLOSED - 1, -3)[::-1])
    assert not np.isin(ticks, np.arange(OPEN, CLOSED)).any()
    assert set(np.diff(ticks[ticks < OPEN])) == {3}


@pytest.mark.parametrize("start", [1.1e6, 1_795_000_000.0])
def test_a_recorder_may_count_its_time_since_it_was_started_or_since_1970(
    desk: Desk, recording: VrRecording, start: float
) -> None:
    desk.put("a.h5", recording)
    later: dict[str, Any] = {
        "observation_time": recording.observation_time + start,
        "action_time": recording.action_time + start,
        "image_time": {name: stamps + start for name, stamps in recording.image_time.items()},
    }
    desk.put("b.h5", replace(recording, **later))
    small, large = desk.run()
    assert large.refused is None and large.finding.steps == small.finding.steps
    one, other = (desk.store.load(str(result.episode)) for result in (small, large))
    np.testing.assert_allclose(other.action, one.action, atol=1e-6)
    np.testing.assert_array_equal(other.images["third"], one.images["third"])
    # to the microsecond, which single precision could not hold
    np.testing.assert_allclose(other.observation_time, one.observation_time + start, rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.command_time, one.command_time + start, rtol=0, atol=1e-6)


def test_commands_of_another_clock_than_the_observations_are_refused(
    desk: Desk, recording: VrRecording
) -> None:
    desk.put("a.h5", replace(recording, action_time=recording.action_time + 1_795_000_000.0))
    (result,) = desk.run()
    assert "'action_time' is up to 1795000000.0 s away from 'observation_time'" in str(result.refused)
    desk.put("b.h5", replace(recording, action_time=recording.action_time + 0.02))
    assert desk.run()[1].refused is None


def test_a_demonstration_carries_its_label_layout_style_and_provenance(
    desk: Desk, recording: VrRecording
) -> None:
    desk.put("good.h5", recording)
    desk.put("bad.h5", replace(recording, success=False))
    desk.put("unknown.h5", replace(recording, success=None))
    results = desk.run()
    statuses = desk.journal.ledger().episodes
    assert [status.outcome for status in statuses.values()] == [Outcome.FAILURE, Outcome.SUCCESS, None]
    assert [status.ordinal for status in statuses.values()] == [0, 1, 2]
    header = desk.store.header(str(results[1].episode))
    assert header.kind is EpisodeKind.DEMO and header.method == "careful"
    assert header.layout == {"orange": [0.1, 0.2]}
    assert header.source["kept"] == [[FIRST, OPEN], [CLOSED, TICKS]]
    assert header.id == f"demo-{results[1].finding.fingerprint}"


def test_importing_again_adds_nothing_not_even_under_another_name(desk: Desk, recording: VrRecording) -> None:
    path = desk.put("a.h5", recording)
    desk.run()
    lines = desk.journal.last_seq
    (desk.inbox / "copy.h5").write_bytes(path.read_bytes())
    results = desk.run()
    assert [result.duplicate for result in results] == [True, True]
    assert (len(desk.store.ids()), desk.journal.last_seq) == (1, lines)


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_an_import_cut_off_between_its_journal_lines_is_completed(
    desk: Desk, recording: VrRecording, lines: int
) -> None:
    desk.put("a.h5", recording)
    desk.run()
    whole = desk.journal.path.read_bytes().splitlines(keepends=True)
    desk.journal.path.write_bytes(b"".join(whole[:lines]))
    desk.journal = Journal(desk.journal.path, writable=True)
    desk.run()
    assert [line.op for line in desk.journal.lines] == ["episode", "label", "import"]


def test_an_interrupted_import_goes_on_where_it_was(desk: Desk, recording: VrRecording) -> None:
    for ordinal in range(3):
        desk.put(f"{ordinal}.h5", replace(recording, attributes={"attempt": ordinal}))
    next(desk.start())
    assert len(desk.store.ids()) == 1
    assert [result.duplicate for result in desk.run()] == [True, False, False]
    assert len(desk.store.ids()) == 3


def test_other_image_sizes_are_resized_and_said(desk: Desk, recording: VrRecording) -> None:
    big = np.repeat(np.repeat(recording.images["third"], 2, axis=1), 2, axis=2)
    path = desk.put("a.h5", replace(recording, images={**recording.images, "third": big}))
    finding = desk.inspect(path)
    assert finding.notes == ("resized 'third' from 20x16 to 10x8",)
    (result,) = desk.run()
    assert desk.store.load(str(result.episode)).images["third"].shape[1:] == (8, 10, 3)


def test_inspecting_writes_nothing(desk: Desk, recording: VrRecording) -> None:
    finding = desk.inspect(desk.put("a.h5", recording))
    assert (finding.refused, finding.success, finding.style) == (None, True, "careful")
    assert finding.rate == pytest.approx(HZ)
    assert desk.store.ids() == [] and desk.journal.last_seq == 0


def _poked(values: NDArray[Any], tick: int, value: float) -> NDArray[Any]:
    changed = values.copy()
    changed[tick] = value
    return changed


def _changes(recording: VrRecording) -> dict[str, dict[str, Any]]:
    quaternion = recording.action_pose.copy()
    quaternion[7, 3:] = 0
    jump = recording.action_pose.copy()
    jump[CLOSED:, 0] += 0.5
    gap = recording.observation_time + np.where(np.arange(TICKS) > 30, 3.0, 0.0)
    return {
        "no camera 'wrist'": {"images": {"third": recording.images["third"]}},
        "unequal lengths": {"gripper": recording.gripper[:-3]},
        "'joint_angles' holds NaN": {"joint_angles": _poked(recording.joint_angles, 3, np.nan)},
        "zero quaternion at tick 7": {"action_pose": quaternion},
        "does not increase at tick 9": {"action_time": _poked(recording.action_time, 9, 100.0)},
        "too short": {"clutch": np.arange(TICKS) < IDLE + 8},
        "the clutch was never closed": {"clutch": np.zeros(TICKS, np.bool_)},
        "nothing moves": {
            "action_pose": np.repeat(recording.action_pose[:1], TICKS, 0),
            "end_effector_pose": np.repeat(recording.action_pose[:1], TICKS, 0),
            "joint_angles": np.repeat(recording.joint_angles[:1], TICKS, 0),
            "action_gripper": np.ones(TICKS),
            "success_button": np.zeros(TICKS, np.bool_),
        },
        "from 0 to 85": {"gripper": recording.gripper * 85},
        "3 joints": {"joint_angles": np.zeros((TICKS, 3))},
        "jumps 50 cm": {"action_pose": jump},
        "lost 3.03 s": {"observation_time": gap},
    }


@pytest.mark.parametrize(
    "reason",
    [
        "no camera 'wrist'", "unequal lengths", "'joint_angles' holds NaN", "zero quaternion at tick 7",
        "does not increase at tick 9", "too short", "the clutch was never closed", "nothing moves", "from 0 to 85",
        "3 joints", "jumps 50 cm", "lost 3.03 s",
    ],
)  # fmt: skip
def test_a_broken_recording_is_refused_with_its_reason_and_the_rest_goes_on(
    desk: Desk, recording: VrRecording, reason: str
) -> None:
    desk.put("a_broken.h5", replace(recording, **_changes(recording)[reason]))
    desk.put("b_good.h5", recording)
    broken, good = desk.run()
    assert broken.refused is not None and reason in broken.refused
    assert broken.episode is None and good.episode is not None
    desk.run()
    refusals = [line.record for line in desk.journal.ledger().lines_of(Imported) if line.record.refused]
    assert [record.file for record in refusals] == ["a_broken.h5"], "told once, however often repeated"


def test_files_that_are_no_recordings_are_refused(desk: Desk, recording: VrRecording) -> None:
    (desk.inbox / "empty.h5").write_bytes(b"")
    whole = desk.put("whole.h5", recording).read_bytes()
    (desk.inbox / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with h5py.File(desk.inbox / "other.h5", "w") as file:
        file["data"] = [1, 2, 3]
    with h5py.File(desk.put("partly.h5", recording), "r+") as file:
        del file["action/pose"]
    refused = {result.finding.path.name: result.refused for result in desk.run()}
    refused["absent.h5"] = desk.inspect(desk.inbox / "absent.h5").refused
    assert refused.pop("whole.h5") is None
    assert {name: str(reason).split("(")[0].strip() for name, reason in refused.items()} == {
        "empty.h5": "unreadable, not an HDF5 file",
        "cut.h5": "unreadable, the HDF5 file is cut off; copy it again from where it was recorded",
        "other.h5": "unrecognised format. It holds data [3] int64. "
        "To import it, describe it: station import SESSION PATH --describe",
        "partly.h5": "'action/pose' is missing",
        "absent.h5": "unreadable",
    }


def test_small_defects_are_mended_and_said(desk: Desk, recording: VrRecording) -> None:
    scaled = recording.action_pose.copy()
    scaled[:, 3:] *= -1.004
    path = desk.put(
        "a.h5", replace(recording, action_pose=scaled, action_gripper=recording.action_gripper[:-2] * 1.02)
    )
    finding = desk.inspect(path)
    assert finding.refused is None and finding.ticks == TICKS - 2
    assert [note.split(" ")[0] for note in finding.notes] == ["cut", "normalised", "clipped"]
