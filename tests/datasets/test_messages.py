"""Messages between processes: everything comes back as it was, and nothing else is ever built."""

from __future__ import annotations

import json
import math
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.channel import Channel
from datasets.messages import HEAD, Codec, Limits, MessageError
from datasets.settings import Settings

PATIENCE = 30.0


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Lamp(Settings):
    watts: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Word:
    pressed: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Name(Word):
    text: str
    colour: Colour = Colour.RED


@dataclass(frozen=True, kw_only=True)
class Number(Word):
    value: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Everything:
    word: Word
    path: Path = Path("a/b")
    lamp: Lamp = field(default_factory=Lamp)
    curve: tuple[tuple[int, float], ...] = ()
    names: list[Name] = field(default_factory=list)
    ages: dict[str, float] = field(default_factory=dict)
    asked: dict[Name, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    either: Name | tuple[Number, ...] | bool | None = None
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


CODEC: Codec[Everything] = Codec(Everything)


def sent(message: Everything) -> Everything:
    return CODEC.decode(b"".join(CODEC.encode(message)))


def forged(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return HEAD.pack(b"stn1", len(text), len(body)) + text + body


def test_what_is_sent_arrives_as_it_was() -> None:
    message = Everything(
        word=Name(text="gr\u00fcn \udc80 \x1b", colour=Colour.BLUE, pressed=math.pi),
        path=Path("/a/b c"),
        lamp=Lamp(watts=7.5),
        curve=((1, 0.5), (2, 1.0), (3, math.inf)),
        names=[Name(text="x")],
        ages={"left": 0.1},
        asked={Name(text="rate"): "30"},
        told={"deep": [1, {"er": None}]},
    )
    found = sent(message)
    for name in ("word", "path", "lamp", "curve", "names", "ages", "asked", "told", "either"):
        assert getattr(found, name) == getattr(message, name)
    assert type(found.word) is Name and type(found.word.colour) is Colour


@pytest.mark.parametrize("either", [None, True, Name(text="n"), (Number(value=1), Number(value=None)), ()])
def test_each_member_of_a_union_comes_back_as_itself(either: Any) -> None:
    assert sent(Everything(word=Word(), either=either)).either == either


def test_arrays_keep_type_shape_and_bits_and_may_be_written_to() -> None:
    arrays = {
        "image": np.random.default_rng(0).integers(0, 255, (7, 5, 3), dtype=np.uint8),
        "times": np.array([0.1, math.nan, -0.0]),
        "steps": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "flags": np.array([True, False]),
        "none": np.zeros((0, 4), np.float32),
        "one": np.array(3.0, np.float32),
    }
    with _pair() as (one, other):
        one.send(Everything(word=Word(), arrays=arrays), PATIENCE)
        found = other.receive(PATIENCE).arrays
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


def test_numbers_of_numpy_are_numbers() -> None:
    message = Everything(word=Number(value=np.int64(3)), ages={"a": np.float32(0.5)})  # type: ignore[arg-type, dict-item]
    found = sent(message)
    assert found.word == Number(value=3) and found.ages == {"a": 0.5}


class Opens:
    """What a hostile peer would like to have built."""

    def __reduce__(self) -> tuple[object, ...]:
        return open, ("owned", "w")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"os.system": {"command": "true"}}, "'os.system' is not expected here; Everything would be"),
        ({"Name": {"text": "x"}}, "'Name' is not expected here"),
        ({"Everything": {"word": {"Opens": {}}}}, "word: 'Opens' is not expected here"),
        ({"Everything": {"word": {"Name": {"text": 3}}}}, "word.text: 3 is no str"),
        ({"Everything": {"word": {"Name": {"text": "x", "evil": 1}}}}, "word: a Name has no 'evil'"),
        ({"Everything": {"word": {"Name": {}}}}, "word: a Name needs 'text'"),
        ({"Everything": {}}, "a Everything needs 'word'"),
        ({"Everything": {"word": {"Name": {"text": "x", "colour": "loud"}}}}, "'loud' is no Colour"),
        ({"Everything": {"word": {"Word": {}}, "lamp": {"watts": "x"}}}, "lamp: no Lamp"),
        ({"Everything": {"word": {"Word": {}}, "curve": [[1, 2, 3]]}}, "curve: .* is no tuple of 2"),
        ({"Everything": {"word": {"Word": {}}, "curve": [[1, "2"]]}}, "curve: '2' is no float"),
        ({"Everything": {"word": {"Word": {}}, "asked": [[{"Name": {}}, "x"]]}}, "asked: a Name needs"),
        ({"Everything": {"word": {"Word": {}}, "asked": 3}}, "asked: 3 is no dict"),
        ({"Everything": {"word": {"Word": {}}, "either": "x"}}, "either: 'x' is no"),
        ({"Everything": {"word": {"Word": {}}, "arrays": {"a": [0, "|O", [2]]}}}, "is no array of numbers"),
        ({"Everything": {"word": {"Word": {}}, "arrays": {"a": [0, "|u1", [-1]]}}}, "is no array"),
        ({"Everything": {"word": {"Word": {}}, "arrays": {"a": [0, "|u1", [2**60]]}}}, "lies outside"),
        ({"Everything": {"word": {"Word": {}}, "arrays": {"a": [-16, "|u1", [1]]}}}, "lies outside"),
        ([], r"\[\] is no Everything"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 100_000, "not JSON"),
        (pickle.dumps(Opens()), "not JSON"),
    ],
)
def test_what_was_not_agreed_on_is_a_sentence_and_builds_nothing(
    header: object, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MessageError, match=sentence):
        CODEC.decode(forged(header, bytes(16)))
    assert not list(tmp_path.iterdir())


def test_a_message_that_is_too_large_is_refused_by_both_ends() -> None:
    small: Codec[Everything] = Codec(Everything, Limits(header=1000, arrays=100))
    for message in (
        Everything(word=Name(text="x" * 2000)),
        Everything(word=Word(), arrays={"a": np.zeros(200)}),
    ):
        with pytest.raises(MessageError, match="larger than"):
            small.encode(message)
        with pytest.raises(MessageError, match="larger than"):
            small.decode(b"".join(CODEC.encode(message)))


def test_what_cannot_travel_is_the_senders_error() -> None:
    unsendable: Codec[Any] = Codec(socket.socket)
    with pytest.raises(TypeError, match="cannot be sent"):
        CODEC.encode(Everything(word=Word(), arrays={"a": np.array([object()])}))
    with pytest.raises(TypeError, match="cannot be sent"):
        CODEC.encode(Everything(word=Word(), told={"a": {1, 2}}))
    with pytest.raises(TypeError, match="no type that can be sent"):
        unsendable.encode(socket)


def test_a_large_message_passes_whole_though_it_fits_no_buffer() -> None:
    array = np.arange(3_000_000)
    with _pair(Limits(arrays=2**26)) as (one, other):
        sender = threading.Thread(
            target=one.send, args=(Everything(word=Word(), arrays={"a": array}), PATIENCE)
        )
        sender.start()
        np.testing.assert_array_equal(other.receive(PATIENCE).arrays["a"], array)
        sender.join()


def test_an_end_that_is_mute_takes_nothing_or_is_gone_is_noticed_in_time() -> None:
    with _pair(Limits(arrays=2**26)) as (one, other):
        with pytest.raises(TimeoutError):
            one.receive(0.05)
        with pytest.raises(TimeoutError):
            one.send(Everything(word=Word(), arrays={"a": np.zeros(3_000_000)}), 0.05)
        other.hang_up()
        with pytest.raises(EOFError):
            other.receive(PATIENCE)


def test_what_trickles_is_late_as_a_whole() -> None:
    ours, theirs = socket.socketpair()
    line: Channel[Everything, Everything] = Channel(ours, says=CODEC, hears=CODEC)
    stop = threading.Event()

    def trickle() -> None:
        for byte in struct.pack("<4sIQ", b"stn1", 1000, 0) + b" " * 1000:
            theirs.send(bytes([byte]))
            if stop.wait(0.02):
                return

    slow = threading.Thread(target=trickle)
    slow.start()
    with pytest.raises(TimeoutError):
        line.receive(0.2)
    stop.set()
    slow.join()
    line.close()
    theirs.close()


def test_another_language_on_the_line_is_named() -> None:
    ours, theirs = socket.socketpair()
    line: Channel[Everything, Everything] = Channel(ours, says=CODEC, hears=CODEC)
    theirs.sendall(b"#CHALLENGE#" + bytes(30))
    with pytest.raises(MessageError, match="does not begin"):
        line.receive(PATIENCE)
    line.close()
    theirs.close()


@contextmanager
def _pair(limits: Limits | None = None) -> Iterator[list[Channel[Everything, Everything]]]:
    """Two ends of one line."""
    codec: Codec[Everything] = Codec(Everything, limits)
    ends = [Channel(end, says=codec, hears=codec) for end in socket.socketpair()]
    yield ends
    for end in ends:
        end.close()
