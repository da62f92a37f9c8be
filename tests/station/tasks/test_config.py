"""Tasks: those that come with the station, those an operator writes, and what is said about mistakes in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from datasets.settings import TRUST
from datasets.spec import Rotation
from policy.base import BasePolicy
from policy.encoder import EncoderKind
from policy.steering.interface import SteeringSettings
from policy.steering.zprl import ZPRLSettings
from station.tasks.config import Task, TaskError, list_tasks, load_task, parse_task, task_to_toml
from station.tasks.shelf import in_words, task_summaries
from tests.station.session.fakes import Pusher


class PusherSettings(SteeringSettings):
    """A method of one's own."""

    warmup: int = 3
    """Chunks before it learns."""

    def build(self, base: BasePolicy, seed: int, *, n_action_steps: int) -> Pusher:
        return Pusher(self.warmup)


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    """The embedded default, copied to where an operator would edit it."""
    path = tmp_path / "mine.toml"
    path.write_text(task_to_toml(load_task("place-orange")))
    return path


def complaint(path: Path, old: str, new: str) -> str:
    """What is said after `old` was changed into `new` in a task file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(TaskError) as caught:
        load_task(path)
    return str(caught.value)


@pytest.mark.parametrize("name", list_tasks())
def test_every_task_of_the_library_loads_and_is_called_like_its_file(name: str) -> None:
    assert load_task(name).name == name


@pytest.mark.parametrize("name", list_tasks())
def test_a_frozen_copy_of_a_task_reads_back_equal(name: str) -> None:
    task = load_task(name)
    assert parse_task(tomllib.loads(task_to_toml(task)), source="copy") == task


def test_the_library_describes_its_tasks() -> None:
    assert {"place-orange", "place-orange-paper", "place-orange-tiny"} <= set(list_tasks())
    assert all(summary.description for summary in task_summaries())


def test_what_policies_read_says_the_task_and_nothing_about_its_settings() -> None:
    task = load_task("place-orange")
    assert in_words(task.name, task.instruction, task.description) == "Place the orange half on the juicer."
    tasks = map(load_task, list_tasks())
    assert all("Hz" not in in_words(each.name, each.instruction, each.description) for each in tasks)
    assert in_words("cube", "", "Pick the cube: 10 Hz, small encoder") == "Pick the cube"
    assert in_words("cube", "", "") == "cube"


def test_the_papers_task_has_the_papers_hyperparameters() -> None:
    task = load_task("place-orange-paper")
    [camera] = task.cell.spec.cameras
    assert (camera.height, camera.width, task.cell.control_hz) == (110, 280, 30)
    assert task.policy.crops == {"third": (106, 276)}
    assert task.policy.encoder is EncoderKind.RESNET18
    assert (task.policy.n_obs, task.n_action_steps, task.policy.widths) == (1, 16, (256, 384, 512))
    assert task.policy.schedule == (1.0, 0.01, 0.0)
    steering = task.steering
    assert isinstance(steering, ZPRLSettings)
    assert (task.bottleneck.dz, steering.lam, steering.warmup_chunks) == (32, 0.2, 300)
    assert (steering.n_critics, steering.utd, steering.batch, steering.tau) == (5, 2, 256, 0.005)
    assert (steering.actor_lr, steering.critic_lr, steering.gamma) == (1e-4, 3e-4, 0.99)
    assert task.cell.spec.proprioception_dim == 7
    assert task.cell.spec.action.rotation is Rotation.ROTATION_VECTOR
    assert task.cell.spec.da == 7


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaskError, match=r"no task 'plce-ornge'\. Did you mean 'place-orange'\?"):
        load_task("plce-ornge")


def test_a_task_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no task file .*gone\.toml"):
        load_task(tmp_path / "gone.toml")


def test_broken_toml_is_named_with_its_line(task_file: Path) -> None:
    said = complaint(task_file, "[steering]", "[steering")
    assert str(task_file) in said
    assert "line" in said


def test_a_misspelt_setting_is_named_with_file_section_and_nearest_name(task_file: Path) -> None:
    said = complaint(task_file, "\nprediction_horizon = ", "\nprediction_horizn = ")
    assert (
        said
        == f"{task_file}: [policy] prediction_horizn: there is no such setting. Did you mean 'prediction_horizon'?"
    )


def test_a_misspelt_section_is_named_with_the_nearest(task_file: Path) -> None:
    assert "[steerin]: there is no such section. Did you mean 'steering'?" in complaint(
        task_file, "[steering]", "[steerin]"
    )


def test_a_value_out_of_range_is_answered_with_the_range_and_the_meaning(task_file: Path) -> None:
    said = complaint(task_file, "\nutd = 3.0", "\nutd = -1")
    assert "[steering] utd = -1: must be from 0 to 100. Gradient steps per fresh chunk." in said


def test_every_mistake_is_named_at_once(task_file: Path) -> None:
    text = task_file.read_text().replace("\nutd = 3.0", "\nutd = -1")
    task_file.write_text(text)
    assert len(complaint(task_file, "\ndz = 16", "\ndz = 0").splitlines()) == 2


@pytest.mark.parametrize(
    ("former", "name", "place"),
    [("execute", "n_action_steps", "the settings together"), ("horizon", "prediction_horizon", "[policy]")],
)
def test_a_task_file_of_an_earlier_version_is_read_and_both_names_are_refused(
    task_file: Path, former: str, name: str, place: str
) -> None:
    task, text = load_task(task_file), task_file.read_text()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
    assert f"{place}: {former} is the former name of {name}; keep only {name}." in complaint(
        task_file, line, f"{line}\n{former} = 8"
    )
    task_file.write_text(text.replace(line, line.replace(name, former)))
    assert load_task(task_file) == task


def test_executing_more_than_is_predicted_is_refused(task_file: Path) -> None:
    assert "n_action_steps = 17 exceeds" in complaint(
        task_file, "\nn_action_steps = 8", "\nn_action_steps = 17"
    )


@pytest.mark.parametrize(
    ("overlap", "said"),
    [
        (
            8,
            "overlap = 8 leaves nothing of a chunk of n_action_steps = 8; lower the first or raise the second",
        ),
        (9, "overlap = 9 leaves nothing"),
    ],
)
def test_an_overlap_that_leaves_nothing_to_execute_is_refused(
    task_file: Path, overlap: int, said: str
) -> None:
    assert said in complaint(task_file, "\noverlap = 0", f"\noverlap = {overlap}")


def test_an_overlap_and_the_steps_after_it_fit_into_what_is_predicted(task_file: Path) -> None:
    task_file.write_text(task_file.read_text().replace("\nn_action_steps = 8", "\nn_action_steps = 14"))
    said = complaint(task_file, "\noverlap = 0", "\noverlap = 3")
    assert "n_action_steps = 14 and overlap = 3 together exceed" in said
    task_file.write_text(task_file.read_text().replace("overlap = 3", "overlap = 2"))
    task = load_task(task_file)
    assert (task.overlap, task.decided_steps) == (2, 16)


@pytest.mark.parametrize(
    ("crops", "said"),
    [
        ("{ front = [60, 60] }", "the cell has no such camera; it has third, wrist; delete that crop"),
        ("{ third = [60, 65] }", "does not fit into its images of 64 by 64"),
    ],
)
def test_a_crop_that_its_images_cannot_give_is_refused(task_file: Path, crops: str, said: str) -> None:
    [line] = [line for line in task_file.read_text().splitlines() if line.startswith("crops = ")]
    assert said in complaint(task_file, line, f"crops = {crops}")


def test_a_method_of_ones_own_is_named_in_the_task_file_and_frozen_with_it(
    task_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST, f"{__name__}:PusherSettings")
    learnt = task_file.read_text().index("[steering]")
    task_file.write_text(
        task_file.read_text()[:learnt] + f'[steering]\nmethod = "{__name__}:PusherSettings"\nwarmup = 5\n'
    )
    task = load_task(task_file)
    assert isinstance(task.steering, PusherSettings) and task.steering.warmup == 5
    assert parse_task(tomllib.loads(task_to_toml(task)), source="copy") == task


def test_a_misspelt_method_is_answered_with_the_nearest(task_file: Path) -> None:
    said = complaint(task_file, 'method = "zprl"', 'method = "zpr"')
    assert "there is no method 'zpr'. Did you mean 'zprl'?" in said


def test_an_unknown_demonstrator_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaskError, match=r"\[demonstrations\] count.* Did you mean 'hasty'\?"):
        parse_task({"name": "mine", "demonstrations": {"count": {"hastey": 3}}}, source="mine.toml")


def test_a_task_cannot_be_changed_after_it_was_checked() -> None:
    task = Task(name="mine")
    with pytest.raises(ValueError, match="frozen"):
        task.n_action_steps = 3  # type: ignore[misc]
