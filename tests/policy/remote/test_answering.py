"""What a policy server computes is what the base computes, and a wrong request is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from datasets.randomness import stream
from policy.base import BasePolicy, Window
from policy.remote.answering import PolicyAnswers
from policy.remote.wire import PROTOCOL, Content, WireError
from station.testing.rehearsal import tiny_base

ROWS = 3


@pytest.fixture(scope="module")
def base() -> BasePolicy:
    return tiny_base()


@pytest.fixture(scope="module")
def answers(base: BasePolicy) -> PolicyAnswers:
    return PolicyAnswers(base)


def looked(base: BasePolicy, rows: int = ROWS) -> Window:
    """Noise in place of images."""
    rng = np.random.default_rng(5)
    n_obs, spec = base.settings.n_obs, base.spec
    return Window(
        images={
            camera.name: rng.integers(0, 256, (rows, n_obs, camera.height, camera.width, 3), np.uint8)
            for camera in spec.cameras
        },
        proprioception=rng.standard_normal((rows, n_obs, spec.proprioception_dim), np.float32),
    )


def embedding(base: BasePolicy) -> Content:
    window = looked(base)
    crop = base.draw_crops([stream(1, "crop", row) for row in range(ROWS)])
    return {
        "ask": "embed",
        "images": window.images,
        "proprioception": window.proprioception,
        "crop": crop,
    }


def observation(base: BasePolicy) -> Content:
    """As openpi's clients send it: the newest look alone."""
    window = looked(base, 1)
    seen = {f"observation/{name}": images[0, -1] for name, images in window.images.items()}
    return {**seen, "observation/state": window.proprioception[0, -1], "prompt": "place the orange"}


def test_each_answer_is_what_the_base_computes(base: BasePolicy, answers: PolicyAnswers) -> None:
    asked = embedding(base)
    w = base.draw_noise([stream(2, "noise", row) for row in range(ROWS)])
    with torch.inference_mode():
        c = base.embed(looked(base), asked["crop"])
        mu, logvar = base.bottleneck.encode(c)
        c_hat = base.bottleneck.decode(mu)
        actions = base.decode(c_hat, w)
    given = answers.answer(asked)
    for name, tensor in {"c": c, "mu": mu, "logvar": logvar}.items():
        assert np.array_equal(given[name], tensor.numpy())
    z, noise = mu.numpy(), w.numpy()
    assert np.array_equal(answers.answer({"ask": "encode", "c": c.numpy()})["logvar"], logvar.numpy())
    assert np.array_equal(answers.answer({"ask": "decode_latent", "z": z})["c_hat"], c_hat.numpy())
    assert np.array_equal(answers.answer({"ask": "act", "z": z, "w": noise})["actions"], actions.numpy())
    decoded = answers.answer({"ask": "decode", "c_hat": c_hat.numpy(), "w": noise})
    assert np.array_equal(decoded["actions"], actions.numpy())


def test_without_a_crop_the_centre_is_seen(base: BasePolicy, answers: PolicyAnswers) -> None:
    with torch.inference_mode():
        c = base.embed(looked(base)).numpy()
    assert np.array_equal(answers.answer({**embedding(base), "crop": None})["c"], c)


def test_an_observation_of_openpis_clients_gives_one_chunk(base: BasePolicy, answers: PolicyAnswers) -> None:
    seen = observation(base)
    noise = np.random.default_rng(3).standard_normal((base.prediction_horizon, base.spec.da))
    first = answers.answer({**seen, "noise": noise})
    assert first["actions"].shape == (base.prediction_horizon, base.spec.da)
    assert first["server_timing"]["infer_ms"] > 0
    # a window of the same look, and the state in double precision, are the same observation
    n_obs = base.settings.n_obs
    window = {
        key: np.repeat(
            value[None].astype(float if key == "observation/state" else value.dtype), n_obs, axis=0
        )
        for key, value in seen.items()
        if isinstance(value, np.ndarray)
    }
    assert np.array_equal(answers.answer({**window, "noise": noise})["actions"], first["actions"])
    drawn = [answers.answer(seen, ordinal)["actions"] for ordinal in (0, 1, 0)]
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])


def test_the_metadata_says_which_policy_and_which_observation(
    base: BasePolicy, answers: PolicyAnswers
) -> None:
    said = answers.metadata
    assert (said["protocol"], said["hash"], said["device"]) == (PROTOCOL, base.hash, "cpu")
    assert said["observation_keys"] == [key for key in observation(base) if key != "prompt"]


def without(name: str) -> Callable[[Content], Content]:
    return lambda asked: {key: value for key, value in asked.items() if key != name}


def with_(**changes: Any) -> Callable[[Content], Content]:
    return lambda asked: {**asked, **changes}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (with_(ask="format the disk"), "nothing called 'format the disk'"),
        (with_(ask=["embed"]), "nothing called"),
        (without("images"), "'images' is missing"),
        (with_(images={}), "'third' is missing"),
        (
            with_(images={"third": np.zeros((3, 2, 24, 24, 3), np.uint8)}),
            r"must be uint8 \[3, 2, 24, 28, 3\]",
        ),
        (with_(images={"third": np.zeros((3, 2, 24, 28, 3), np.float32)}), "must be uint8"),
        (with_(proprioception=np.zeros((2, 2, 2), np.float32)), "must be uint8"),
        (with_(proprioception=np.zeros((0, 2, 2), np.float32)), "for 1 to 64 cells"),
        (with_(proprioception=np.zeros((65, 2, 2), np.float32)), "for 1 to 64 cells"),
        (with_(proprioception=np.zeros((3, 2, 2))), "must be float32"),
        (with_(crop={"third": np.full((3, 2, 2), 5)}), "outside its images"),
        (with_(crop={"third": np.full((3, 2, 2), -1)}), "outside its images"),
        (with_(crop={}), "'third' is missing"),
        (with_(crop="centre"), "'crop' is missing, or no map"),
    ],
)
def test_a_wrong_request_is_refused(
    base: BasePolicy, answers: PolicyAnswers, change: Callable[[Content], Content], why: str
) -> None:
    with pytest.raises(WireError, match=why):
        answers.answer(change(embedding(base)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without("observation/third"), "missing: observation/third; unknown: none"),
        (with_(**{"observation/wrist": np.zeros(3)}), "missing: none; unknown: observation/wrist"),
        (with_(**{"observation/third": np.zeros((480, 640, 3), np.uint8)}), r"must be uint8 \[24, 28, 3\]"),
        (with_(**{"observation/third": "an image"}), "no array"),
        (with_(**{"observation/state": np.zeros(7)}), r"must be float32 \[2\]"),
        (with_(**{"observation/state": np.zeros(2, np.int64)}), "no array"),
        (with_(noise=np.zeros((3, 3))), r"must be float32 \[8, 7\]"),
    ],
)
def test_a_wrong_observation_is_refused(
    base: BasePolicy, answers: PolicyAnswers, change: Callable[[Content], Content], why: str
) -> None:
    with pytest.raises(WireError, match=why):
        answers.answer(change(observation(base)))
