from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from datasets.randomness import stream
from datasets.windows import TrainingWindows
from policy.base import BasePolicy, PolicyFileError, PolicySettings
from policy.bottleneck import BottleneckSettings
from policy.encoder import EncoderHead, crop_images
from policy.steering.interface import Window
from tests.policy.toys import SIDE, SPEC, TINY, episode, window


def policy(seed: int = 1, **changes: object) -> BasePolicy:
    settings = PolicySettings.model_validate({**TINY.model_dump(), **changes})
    base = BasePolicy(SPEC, settings, BottleneckSettings(dz=4, hidden=32), seed=seed)
    episodes = [episode(i) for i in range(4)]
    base.fit_normalizers(TrainingWindows.from_episodes(episodes, settings.n_obs, settings.prediction_horizon))
    return base


def test_a_saved_policy_acts_as_before_and_keeps_its_hash(tmp_path: Path) -> None:
    base = policy().freeze()
    base.save(tmp_path)
    loaded = BasePolicy.load(tmp_path)
    noise = base.draw_noise([stream(0, "noise", i) for i in range(2)])
    seen = window([(0.2, 0.3), (0.8, 0.6)])
    assert torch.equal(base.decode(base.embed(seen), noise), loaded.decode(loaded.embed(seen), noise))
    assert loaded.hash == base.hash
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_a_large_frozen_policy_is_laid_out_for_decisions_and_decides_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"encoder": "resnet18", "widths": (32, 32)}
    plain = policy(**changes).eval()
    monkeypatch.setattr("policy.base.LARGE", 1)
    large = policy(**changes).freeze()
    assert large.flow.unet.product and not plain.flow.unet.product
    seen, noise = window([(0.2, 0.3)]), plain.draw_noise([stream(0, "noise")])
    with torch.no_grad():
        c, c_hat = large.embed(seen), plain.embed(seen)
        assert torch.allclose(c, c_hat, atol=1e-4)
        assert torch.allclose(large.decode(c_hat, noise), plain.decode(c_hat, noise), atol=1e-4)
    large.save(tmp_path)
    loaded = BasePolicy.load(tmp_path)
    assert loaded.hash == plain.hash and torch.equal(loaded.embed(seen), c)
    assert copy.deepcopy(loaded).requires_grad_().flow.unet.product, "a copy is trained as it is"


def test_a_small_frozen_policy_computes_as_an_unfrozen_one_bit_for_bit() -> None:
    plain, frozen = policy().eval(), policy().freeze()
    seen, noise = window([(0.2, 0.3)]), plain.draw_noise([stream(0, "noise")])
    assert torch.equal(plain.decode(plain.embed(seen), noise), frozen.decode(frozen.embed(seen), noise))


def test_saving_again_leaves_one_policy_in_the_folder(tmp_path: Path) -> None:
    policy(seed=1).save(tmp_path)
    second = policy(seed=2)
    second.save(tmp_path)
    assert BasePolicy.load(tmp_path).hash == second.hash
    assert len(list(tmp_path.glob("weights-*"))) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_policy_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    policy().save(tmp_path)
    file = next(tmp_path.glob("weights-*"))
    data = bytearray(file.read_bytes())
    data[len(data) - 40] ^= 1
    file.write_bytes(bytes(data) if damage == "flip" else bytes(data[: len(data) // 2]))
    if damage == "missing":
        file.unlink()
    with pytest.raises(PolicyFileError, match="Train"):
        BasePolicy.load(tmp_path)


def test_the_hash_tells_weights_and_settings_apart() -> None:
    hashes = {policy(seed=1).hash, policy(seed=2).hash, policy(seed=1, schedule=(1.0, 0.5, 0.0)).hash}
    assert len(hashes) == 3
    assert policy(seed=1).hash in hashes


def test_building_a_policy_does_not_touch_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    policy()
    assert torch.equal(before, torch.random.get_rng_state())


def test_actions_come_out_in_the_tasks_units() -> None:
    base = policy().freeze()
    chunk = base.decode(torch.zeros(1, base.dc), torch.zeros(1, 4, 7))
    flow = base.flow.sample(torch.zeros(1, 4, 7), torch.zeros(1, base.dc), base.settings.schedule)
    assert chunk.shape == (1, 4, 7)
    assert torch.allclose(base.action_normalizer.normalize(chunk), flow, atol=1e-4)


def test_each_cell_draws_its_crop_and_noise_from_its_own_stream() -> None:
    base = policy(crops={"top": (12, 12)})
    alone = [stream(3, "cell", i) for i in range(3)]
    together = [stream(3, "cell", i) for i in range(3)]
    crops, noise = base.draw_crops(together), base.draw_noise(together)
    for row, rng in enumerate(alone):
        assert np.array_equal(base.draw_crops([rng])["top"][0], crops["top"][row])
        assert torch.equal(base.draw_noise([rng])[0], noise[row])


def test_random_crops_reach_every_edge_and_never_beyond() -> None:
    base = policy(crops={"top": (SIDE - 2, SIDE)})
    offsets = base.draw_crop_batch(stream(0, "crops"), 200)["top"]
    assert set(offsets[..., 0].ravel()) == {0, 1, 2}
    assert set(offsets[..., 1].ravel()) == {0}


def test_a_crop_shows_exactly_the_pixels_at_its_offset() -> None:
    images = np.arange(2 * 1 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 1, 6, 5, 3)
    cut = crop_images(images, np.array([[[2, 1]], [[0, 0]]]), (4, 3))
    assert np.array_equal(cut[0], images[0, 0, 2:6, 1:4])
    assert np.array_equal(cut[1], images[1, 0, 0:4, 0:3])
    assert np.array_equal(crop_images(images, None, (4, 3))[0], images[0, 0, 1:5, 1:4])


@pytest.mark.parametrize("n_obs", [1, 2, 3])
def test_the_embedding_holds_every_observation_of_the_window(n_obs: int) -> None:
    base = policy(n_obs=n_obs).freeze()
    images = np.zeros((2, n_obs, SIDE, SIDE, 3), np.uint8)
    seen = base.embed(Window(images={"top": images}, proprioception=np.zeros((2, n_obs, 2), np.float32)))
    assert seen.shape == (2, n_obs * (16 + 2))
    images[0, 0, :8, :8] = 255
    moved = base.embed(Window(images={"top": images}, proprioception=np.zeros((2, n_obs, 2), np.float32)))
    changed = (moved - seen)[0].abs() > 0
    assert bool(changed[:16].any()) and not bool(changed[16 * n_obs :].any())
    assert torch.allclose(moved[1], seen[1], atol=1e-5)


@pytest.mark.parametrize("head", list(EncoderHead))
def test_the_papers_encoder_reads_images_of_odd_sizes(head: EncoderHead) -> None:
    base = policy(encoder="resnet18", head=head, embedding=32, crops={"top": (22, 23)}).freeze()
    assert base.embed(window([(0.2, 0.3)])).shape == (1, 32 + 2)
    assert len(base.draw_crops([stream(0, "crop")])["top"]) == 1


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"prediction_horizon": 7}, "multiple of 2"),
        ({"widths": (20, 32)}, "multiple of 8"),
        ({"schedule": (1.0, 0.5)}, "fall from 1 to 0"),
        ({"n_obs": 4}, "less than or equal to 3"),
    ],
)
def test_settings_that_cannot_work_say_why(changes: dict[str, object], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        PolicySettings.model_validate({**TINY.model_dump(), **changes})


def test_a_crop_that_does_not_fit_the_task_says_so() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        policy(crops={"top": (99, 10)})
    with pytest.raises(ValueError, match="camera 'left'"):
        policy(crops={"left": (9, 10)})
