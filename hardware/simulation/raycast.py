"""A ray-cast camera without OpenGL: colour from the geom, shading from the normal, shadows from rays to the lamp.

Images are deterministic functions of model and state. There are no textures, reflections or lens distortion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from datasets.observation import Image

Array = NDArray[np.float64]
Shadows = Literal["none", "half", "full"]

LAMP = np.array([0.55, -0.45, 1.5])
"""m, base frame; far enough away to shade with one direction, near enough for shadows to spread."""
_TO_LAMP = (LAMP - [0.42, 0.0, 0.0]) / np.linalg.norm(LAMP - [0.42, 0.0, 0.0])
_SKY = np.array([0.80, 0.86, 0.92])
_AMBIENT = 0.45
_FAR = 10.0
_OCCLUDED = 0.99
"""A ray from the lamp that ends before this fraction of its length was blocked."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera's mounting: fixed in the world, or on a site."""

    position: tuple[float, float, float]
    """m, in the mount's frame."""
    right: tuple[float, float, float]
    """The image's x axis."""
    up: tuple[float, float, float]
    """The image's y axis, upwards; the camera looks along ``-(right x up)``."""
    fov: float
    """Vertical field of view, degrees."""
    site: str | None = None
    """Site whose body carries the camera; None: the world."""


def look_at(position: tuple[float, float, float], target: tuple[float, float, float], fov: float) -> View:
    """A fixed view from `position` towards `target`, m, with the horizon level."""
    ahead = np.subtract(target, position)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    up /= np.linalg.norm(up)
    return View(position=position, right=_triple(right), up=_triple(up), fov=fov)


class RayCamera:
    """One camera of one model. Not thread-safe: it reuses its ray buffers."""

    def __init__(self, model: mujoco.MjModel, view: View, height: int, width: int, shadows: Shadows) -> None:
        self._model = model
        self._view = view
        self._shape = (height, width)
        self._shadows = shadows
        right, up = np.array(view.right), np.array(view.up)
        self._axes = np.stack([right, up, np.cross(right, up)], axis=1)  # camera -> mount
        self._rays = _pinhole_rays(height, width, view.fov)
        sky = (
            np.array([_SKY]) / _AMBIENT
        )  # last row, so that geom -1 finds it; a miss has no normal, hence no lamp
        self._colours = 255.0 * np.concatenate([model.geom_rgba[:, :3], sky])
        self._site = -1 if view.site is None else model.site(view.site).id
        count = height * width
        self._geom = np.empty(count, np.int32)
        self._distance = np.empty(count)
        self._normal = np.empty(3 * count)

    def render(self, data: mujoco.MjData) -> Image:
        """uint8 RGB [height, width, 3] of `data`, whose kinematics must be up to date."""
        origin, axes = self._pose(data)
        rays = self._rays @ axes.T
        self._cast(data, origin, rays)
        light = self._normal.reshape(-1, 3) @ _TO_LAMP
        np.maximum(light, 0.0, out=light)
        light *= self._lit(data, origin, rays)
        light *= 1.0 - _AMBIENT
        light += _AMBIENT
        image = self._colours[self._geom]
        image *= light[:, None]
        np.minimum(image, 255.0, out=image)
        return image.astype(np.uint8).reshape(*self._shape, 3)

    def _pose(self, data: mujoco.MjData) -> tuple[Array, Array]:
        if self._site < 0:
            return np.array(self._view.position), self._axes
        body = self._model.site_bodyid[self._site]
        rotation = data.xmat[body].reshape(3, 3)
        return data.xpos[body] + rotation @ np.array(self._view.position), rotation @ self._axes

    def _cast(self, data: mujoco.MjData, origin: Array, rays: Array) -> None:
        mujoco.mj_multiRay(
            self._model, data, origin, rays.ravel(), None, True, -1,
            self._geom, self._distance, self._normal, len(rays), _FAR,
        )  # fmt: skip
        self._distance[self._geom < 0] = _FAR

    def _lit(self, data: mujoco.MjData, origin: Array, rays: Array) -> Array | float:
        """1 where the lamp reaches the point that a ray hit, 0 in shadow, [height * width]."""
        if self._shadows == "none":
            return 1.0
        height, width = self._shape
        step = 2 if self._shadows == "half" else 1
        sparse = rays.reshape(height, width, 3)[::step, ::step]
        reach = self._distance.reshape(height, width, 1)[::step, ::step]
        towards = sparse * reach + (origin - LAMP)
        count = towards.shape[0] * towards.shape[1]
        geom, distance = np.empty(count, np.int32), np.empty(count)
        mujoco.mj_multiRay(
            self._model, data, LAMP, towards.ravel(), None, True, -1, geom, distance, None, count, _FAR
        )
        lit = ((distance >= _OCCLUDED) | (geom < 0)).astype(np.float64).reshape(towards.shape[:2])
        if step == 2:
            lit = lit.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        return lit.reshape(-1)


def _pinhole_rays(height: int, width: int, fov: float) -> Array:
    """Unit directions through the pixel centres in the camera frame, [height * width, 3], top row first."""
    half = np.tan(np.radians(fov) / 2.0)
    x = (np.arange(width) + 0.5 - width / 2) / (height / 2) * half
    y = (height / 2 - np.arange(height) - 0.5) / (height / 2) * half
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    rays = np.stack([grid_x, grid_y, -np.ones_like(grid_x)], axis=-1).reshape(-1, 3)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _triple(vector: Array) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])
