"""Rotations of one pose as plain floats: fast enough for a 250 Hz loop.

Quaternions are xyzw and of unit length, rotation vectors are rad in the base frame and within half a turn. For arrays
of rotations, and the representations in actions, see `datasets.rotation`.
"""

from __future__ import annotations

import math

Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)

_SMALL = 1e-6
"""rad; below it the series of sine and cosine are exact to rounding."""


def normalized(q: Quaternion) -> Quaternion | None:
    """`q` with unit length; None where its length is zero or not finite."""
    x, y, z, w = q
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if not 1e-9 < length < math.inf:
        return None
    return x / length, y / length, z / length, w / length


def turned(vector: Vector3, q: Quaternion) -> Quaternion:
    """`q` turned by a rotation vector of the base frame: exp(vector) q, of unit length."""
    rx, ry, rz = vector
    angle = math.sqrt(rx * rx + ry * ry + rz * rz)
    share = 0.5 - angle * angle / 48.0 if angle < _SMALL else math.sin(0.5 * angle) / angle
    ax, ay, az, aw = rx * share, ry * share, rz * share, math.cos(0.5 * angle)
    bx, by, bz, bw = q
    x = aw * bx + bw * ax + ay * bz - az * by
    y = aw * by + bw * ay + az * bx - ax * bz
    z = aw * bz + bw * az + ax * by - ay * bx
    w = aw * bw - ax * bx - ay * by - az * bz
    length = math.sqrt(x * x + y * y + z * z + w * w)
    return x / length, y / length, z / length, w / length


def turn_between(start: Quaternion, end: Quaternion) -> Vector3:
    """The shortest rotation vector of the base frame with exp(vector) start = end."""
    ax, ay, az, aw = end
    bx, by, bz, bw = -start[0], -start[1], -start[2], start[3]
    x = aw * bx + bw * ax + ay * bz - az * by
    y = aw * by + bw * ay + az * bx - ax * bz
    z = aw * bz + bw * az + ax * by - ay * bx
    w = aw * bw - ax * bx - ay * by - az * bz
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    factor = 2.0 / w if sine < _SMALL else 2.0 * math.atan2(sine, w) / sine
    return x * factor, y * factor, z * factor


def angular_velocity(vector: Vector3, rate: Vector3) -> Vector3:
    """rad/s in the base frame of exp(vector) q while `vector` changes at `rate`: the left Jacobian times `rate`."""
    rx, ry, rz = vector
    squared = rx * rx + ry * ry + rz * rz
    if squared < _SMALL * _SMALL:
        first, second = 0.5, 1.0 / 6.0
    else:
        angle = math.sqrt(squared)
        first = (1.0 - math.cos(angle)) / squared
        second = (angle - math.sin(angle)) / (squared * angle)
    once = cross(vector, rate)
    twice = cross(vector, once)
    return (
        rate[0] + first * once[0] + second * twice[0],
        rate[1] + first * once[1] + second * twice[1],
        rate[2] + first * once[2] + second * twice[2],
    )


def cross(a: Vector3, b: Vector3) -> Vector3:
    """The vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
