"""Every foreign format, from real layouts to true poses, images, labels and times."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.episode import Outcome
from datasets.importers.defects import Defect
from datasets.importers.kinematics import forward_kinematics
from datasets.importers.mapping import parse_answers
from datasets.rotation import action_to_pose
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, BOTH_ARMS, MAKERS, SPECS, TICKS

SUCCESSES = {
    "aloha": [None],
    "aloha-jpeg": [None],
    "robomimic": [True, False],
    "droid": [True],
    "lerobot-v2.1": [True, False],
    "lerobot-v3.0": [True, False],
    "umi": [None, None],
    "umi-zip": [None, None],
    "umi-v3": [None, None],
    "umi-v3-zip": [None, None],
    "hil-serl": [True, True],
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_format_gives_the_true_motion_images_and_label(tmp_path: Path, kind: str) -> None:
    name, make = MAKERS[kind]
    desk = Desk(tmp_path, SPECS[name], ANSWERS[name])
    make(desk.inbox)
    results = desk.run()
    assert [(result.refused, result.finding.format) for result in results] == [(None, name)] * len(results)
    assert [result.finding.success for result in results] == SUCCESSES[kind]
    episode = desk.store.load(str(results[0].episode))
    # step t asks for what was commanded a sample before observation t+1; time closes over skipped steps
    skipped = 6 if name == "droid" else 0
    last = TICKS - 1 - skipped
    seen = last - 2.0 * np.arange(episode.steps, -1, -1)
    due = seen[1:] if name in ("robomimic", "lerobot", "diffusion-policy", "hil-serl") else seen[1:] - 1
    position, quaternion, _ = action_to_pose(episode.action, desk.spec.action)
    if name == "aloha":
        expected = forward_kinematics("xarm6")(sources.joints(due))
    else:
        expected = sources.poses(np.minimum(due + (due > 4) * (skipped == 6), TICKS - 1))
    np.testing.assert_allclose(position, expected[:, :3], atol=2e-3)
    assert np.abs((quaternion * expected[:, 3:]).sum(1)).min() > 1 - 1e-4
    shown = episode.images["front"]
    assert shown.shape == (episode.steps + 1, sources.HEIGHT, sources.WIDTH, 3)
    ticks = shown[:, :, :, 0].mean((1, 2)) / 4
    assert ticks[-1] == pytest.approx(TICKS - 1, abs=0.6)
    assert np.diff(ticks).min() > 0.5
    assert shown[..., 2].mean() == pytest.approx(sources.BLUE, abs=4)
    np.testing.assert_allclose(np.diff(episode.observation_time), desk.spec.dt)
    if desk.spec.observes_pose:
        measured = sources.poses(seen)
        position, quaternion, _ = action_to_pose(episode.proprioception, desk.spec.action)
        np.testing.assert_allclose(position, measured[:, :3], atol=2e-3)
        assert np.abs((quaternion * measured[:, 3:]).sum(1)).min() > 1 - 1e-4
    grip = episode.proprioception[:, -1]
    assert grip[0] == pytest.approx(1, abs=0.01) and grip[-1] == pytest.approx(0, abs=0.01)


def _stamp_replay_buffer(inbox: Path) -> None:
    import zarr

    (path,) = inbox.iterdir()
    data = zarr.open_group(path, mode="r+", zarr_format=2)["data"]
    assert isinstance(data, zarr.Group)
    data.create_array("timestamp", data=EPOCH + np.tile(sources.T, 2) / sources.HZ, chunks=(100,))


def _stop_the_robots_clock(inbox: Path) -> None:
    (path,) = inbox.rglob("trajectory.h5")
    with h5py.File(path, "r+") as file:
        del file["observation/timestamp/robot_state"]


EPOCH = 1_700_000_000.0


@pytest.mark.parametrize(
    ("kind", "change"), [("umi", _stamp_replay_buffer), ("droid", _stop_the_robots_clock)]
)
def test_time_since_1970_is_taken_as_it_is_and_changes_nothing_else(
    tmp_path: Path, kind: str, change: Callable[[Path], None]
) -> None:
    name, make = MAKERS[kind]
    episodes = []
    made = tmp_path / "made"
    make(made)  # once: the encoder of videos writes other bytes now and then
    for folder in ("plain", "stamped"):
        desk = Desk(tmp_path / folder, SPECS[name], ANSWERS[name])
        shutil.copytree(made, desk.inbox, dirs_exist_ok=True)
        if folder == "stamped":
            change(desk.inbox)
        results = desk.run()
        assert [result.refused for result in results] == [None] * len(results)
        episodes.append(desk.store.load(str(results[0].episode)))
    plain, stamped = episodes
    assert stamped.steps == plain.steps
    assert EPOCH <= stamped.observation_time[0] < stamped.observation_time[-1] < EPOCH + TICKS / sources.HZ
    np.testing.assert_allclose(np.diff(stamped.observation_time), desk.spec.dt, atol=1e-6)
    np.testing.assert_allclose(stamped.action, plain.action, atol=1e-5)
    np.testing.assert_array_equal(stamped.images["front"], plain.images["front"])


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if "-" in kind else kind for kind in MAKERS]
)
def test_a_second_import_adds_nothing_and_a_moved_source_is_known(tmp_path: Path, kind: str) -> None:
    name, make = MAKERS[kind]
    desk = Desk(tmp_path, SPECS[name], ANSWERS[name])
    make(desk.inbox)
    first = desk.run()
    lines = desk.journal.last_seq
    desk.inbox.rename(tmp_path / "moved")
    desk.inbox = tmp_path / "moved"
    assert [result.duplicate for result in desk.run()] == [True] * len(first)
    assert desk.journal.last_seq == lines


def test_increments_and_absolute_actions_of_a_simulator_mean_the_same(tmp_path: Path) -> None:
    actions = []
    for delta in (True, False):
        desk = Desk(tmp_path / str(delta), SPECS["robomimic"])
        sources.robomimic(desk.inbox / "set.hdf5", delta=delta)
        (result, *_) = desk.run()
        actions.append(desk.store.load(str(result.episode)).action)
    np.testing.assert_allclose(actions[0], actions[1], atol=1e-5)


def test_a_simulators_raw_states_are_refused_with_what_makes_them_usable(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"])
    sources.robomimic(desk.inbox / "demo.hdf5", obs=False)
    assert ["dataset_states_to_obs" in str(result.refused) for result in desk.run()] == [True, True]


def test_svo_recordings_are_refused_with_what_makes_them_usable(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["droid"])
    sources.droid(desk.inbox, svo=True)
    (result,) = desk.run()
    assert result.refused is not None and "svo_to_mp4" in result.refused


def test_a_label_is_only_taken_from_a_source_that_has_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    sources.aloha(desk.inbox / "episode_0.hdf5")
    (result,) = desk.run()
    assert desk.journal.ledger().episodes[str(result.episode)].outcome is None
    assert "no success label; say --outcome, or label it in the review" in result.finding.notes
    other = Desk(tmp_path / "other", SPECS["robomimic"])
    sources.robomimic(other.inbox / "set.hdf5")
    good, bad = other.run()
    outcomes = [other.journal.ledger().episodes[str(result.episode)].outcome for result in (good, bad)]
    assert outcomes == [Outcome.SUCCESS, Outcome.FAILURE]


@pytest.mark.parametrize("mark", [np.bool_, int, lambda good: str(bool(good))])
def test_a_mark_of_success_on_a_demonstration_counts_before_its_rewards(
    tmp_path: Path, mark: Callable[[bool], object]
) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"])
    path = sources.robomimic(desk.inbox / "set.hdf5")
    with h5py.File(path, "r+") as file:
        for number, good in enumerate((False, True)):
            file[f"data/demo_{number}"].attrs["success"] = mark(good)
    assert [result.finding.success for result in desk.run()] == [False, True]


def test_one_arm_of_two_is_chosen_by_its_columns(tmp_path: Path) -> None:
    import h5py

    desk = Desk(tmp_path, SPECS["aloha"], ANSWERS["aloha"])
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        for name in ("observations/qpos", "action"):
            one = file[name][()]
            del file[name]
            file[name] = np.concatenate([one, one + 0.5], 1)
    (result,) = desk.run()
    assert result.refused is not None and "--map joints=" in result.refused
    desk.answers[""] |= {
        "joints": "observations/qpos[7:13]",
        "action.joints": "action[7:13]",
        **{
            f"{side}gripper": f"{name}[6:7]"
            for side, name in (("", "observations/qpos"), ("action.", "action"))
        },
        **{
            f"{side}{end}": value
            for side in ("", "action.")
            for end, value in (("closed", "0"), ("open", "1"))
        },
    }
    (result,) = desk.run()
    assert result.refused is None
    first = desk.store.load(str(result.episode)).proprioception[0, :6]
    np.testing.assert_allclose(first, sources.joints(np.zeros(1))[0] + 0.5, atol=0.05)


WITHOUT_RANGES = {name: ANSWERS["aloha"][name] for name in ("colour", "rate", "kinematics", "state")}


def two_arms(tmp_path: Path, answers: dict[str, str], second: float = 0.5) -> tuple[Desk, Path]:
    """An ALOHA file of two arms, of which the second says the `second` part of the first's numbers."""
    spec = SPECS["aloha"]
    both = replace(
        spec,
        proprioception=tuple(f"{side}_{name}" for side in ("left", "right") for name in spec.proprioception),
        action=replace(spec.action, arms=2),
    )
    desk = Desk(tmp_path, both, answers)
    path = sources.aloha(desk.inbox / "episode_0.hdf5")
    with h5py.File(path, "r+") as file:
        for name in ("observations/qpos", "action"):
            one = file[name][()]
            del file[name]
            file[name] = np.concatenate([one, second * one], 1)
    return desk, path


def test_what_is_written_alike_of_both_arms_is_asked_once(tmp_path: Path) -> None:
    desk, _ = two_arms(tmp_path, WITHOUT_RANGES)
    (look,) = desk.looks(desk.inbox)
    assert look.outline is not None
    named = {question.name: question for question in look.outline.open}
    assert named.keys() == {"arms.range", "arms.action.range", "angle"}
    said = named["arms.range"].sentence
    assert "'observations/qpos[6:7]'" in said and "'observations/qpos[13:14]'" in said
    assert "it runs from 0 to 1" in said and "it runs from 0 to 0.5" in said
    assert "say --map arms.range=CLOSED,OPEN" in said and "--map arm2.range=" in said
    desk.answers[""] |= parse_answers(
        ["arms.range=0,1", "arms.action.range=0,1", "arm2.action.range=0,0.5", "angle=rad"]
    )
    (result,) = desk.run()
    assert result.refused is None
    action = desk.store.load(str(result.episode)).action
    assert action[0, 6] == pytest.approx(action[0, -1]) == pytest.approx(1), "one arm's own answer counts"
    (look,) = desk.looks(desk.inbox)
    assert look.outline is None or not look.outline.open


def test_grippers_of_other_units_are_asked_about_one_by_one(tmp_path: Path) -> None:
    desk, _ = two_arms(
        tmp_path, {name: ANSWERS["aloha"][name] for name in ("colour", "rate", "kinematics", "state")}, 0.08
    )
    (look,) = desk.looks(desk.inbox)
    assert look.outline is not None
    names = {question.name for question in look.outline.open}
    assert names == {"range", "arm2.range", "action.range", "arm2.action.range", "angle"}


def test_a_range_of_both_arms_that_one_contradicts_is_told_of_that_one(tmp_path: Path) -> None:
    answers = WITHOUT_RANGES | {"angle": "rad"}
    desk, _ = two_arms(tmp_path, answers | parse_answers(["arms.range=0,1", "arms.action.range=0,1"]), 0.08)
    (result,) = desk.run()
    assert result.refused is None
    said = [note.text for note in result.finding.defects if note.defect is Defect.CONTRADICTION]
    assert any("--map arm2.range=0,0.08" in text for text in said) and len(said) == 2


def test_two_arms_fill_a_task_of_two_arms(tmp_path: Path) -> None:
    desk, _ = two_arms(tmp_path, BOTH_ARMS)
    (result,) = desk.run()
    assert result.refused is None
    episode = desk.store.load(str(result.episode))
    assert episode.action.shape[1] == 14 and episode.proprioception.shape[1] == 14
    np.testing.assert_allclose(
        episode.proprioception[:, 7:13], 0.5 * episode.proprioception[:, :6], atol=1e-6
    )
