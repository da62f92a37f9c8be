"""Messages as openpi's clients write them, and what may not be in one."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from policy.remote.wire import WireError, pack, unpack


def openpi_array(array: np.ndarray[Any, Any]) -> dict[bytes, Any]:
    """As openpi-client 0.1.2 writes an array, by its documentation of the wire."""
    return {
        b"__ndarray__": True,
        b"data": array.tobytes(),
        b"dtype": array.dtype.str,
        b"shape": array.shape,
    }


def test_a_message_comes_back_as_it_was_sent() -> None:
    sent = {
        "image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        "state": np.array([0.5, -1.0], np.float32),
        "empty": np.zeros((0, 3)),
        "nested": {"list": [1, "two", None, np.float32(0.25)], "flag": True},
        "scalar": np.array(7, np.int64),
    }
    back = unpack(pack(sent))
    for name in ("image", "state", "empty", "scalar"):
        given = np.asarray(sent[name])
        assert back[name].dtype == given.dtype and back[name].shape == given.shape
        assert np.array_equal(back[name], given)
    assert back["nested"] == {"list": [1, "two", None, 0.25], "flag": True}


def test_arrays_are_those_of_openpis_clients() -> None:
    array = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    theirs = msgpack.packb(
        {"a": openpi_array(array), "n": {b"__npgeneric__": True, b"data": 3, b"dtype": "<i8"}}
    )
    assert np.array_equal(unpack(theirs)["a"], array)
    assert unpack(theirs)["n"] == 3
    plain = msgpack.unpackb(pack({"a": array}))
    assert plain == {"a": {**openpi_array(array), b"shape": [2, 3]}}


def test_an_array_out_of_memory_order_is_sent_in_order() -> None:
    array = np.arange(6, dtype=np.float64).reshape(2, 3).T[::-1]
    assert np.array_equal(unpack(pack({"a": array}))["a"], array)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        ({b"dtype": "|O"}, "Arrays of type '|O' are refused"),
        ({b"dtype": "|V16"}, "Arrays of type '|V16' are refused"),
        ({b"dtype": "<M8[s]"}, "are refused"),
        ({b"dtype": ">f4"}, "Arrays of type '>f4' are refused"),
        ({b"dtype": b"<f4"}, "are refused"),
        ({b"dtype": [["a", "<f4"]]}, "are refused"),
        ({b"shape": [3]}, "has 8 bytes"),
        ({b"shape": [2**40, 2**40]}, "has 8 bytes"),
        ({b"shape": [-2]}, "shape is"),
        ({b"shape": [2.0]}, "shape is"),
        ({b"shape": [True, 2]}, "shape is"),
        ({b"shape": [1] * 9}, "at most 8"),
        ({b"shape": 2}, "no shape"),
        ({b"data": "text"}, "no bytes"),
    ],
    ids=str,
)
def test_an_array_that_is_none_is_refused(array: dict[bytes, Any], why: str) -> None:
    whole = {b"__ndarray__": True, b"data": bytes(8), b"dtype": "<f4", b"shape": [2], **array}
    with pytest.raises(WireError, match=why.replace("|", r"\|").replace("[", r"\[")):
        unpack(msgpack.packb({"a": whole}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"hello",
        msgpack.packb([1, 2]),
        msgpack.packb({b"bytes": 1}),
        msgpack.packb({1: 2}),
        msgpack.packb({"a": msgpack.ExtType(4, b"x")}),
        msgpack.packb({"a": msgpack.Timestamp(0)}),
        msgpack.packb({"a": 1}) + b"\x00",
        msgpack.packb({"a": "x" * 100_000}),
        msgpack.packb({"a": list(range(300))}),
        msgpack.packb({"a": [[[] for _ in range(30)] for _ in range(30)]}),
        b"\x91" * 5000 + b"\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgpack.packb({"a": {b"__npgeneric__": True, b"data": [1], b"dtype": "<f4"}}),
        msgpack.packb({"a": {b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}}),
    ],
    ids=range(17),
)
def test_what_is_no_message_or_claims_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack(data)


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), np.array([1j]), np.array(["text"]), object(), {1, 2}, 2**70],
    ids=["objects", "complex", "texts", "object", "set", "huge"],
)
def test_what_cannot_be_read_is_not_sent(value: object) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        pack({"a": value})
