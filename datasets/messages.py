"""Serialisation of messages between processes, unable to carry code: a JSON header, then the bytes of its arrays.

A `Codec` is built from a type and rejects everything else with a clear error. It supports numbers, strings, paths,
enumerations, tuples, lists, dictionaries, numeric arrays, dataclasses (and their subclasses) and groups of settings. No
message can name a class to import. `datasets.channel` transports the messages.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import struct
from typing import Generic, TypeVar

from datasets.message_forms import Body, Buffer, Form, MessageError, form_of, plain_number
from datasets.plain_text import from_json

__all__ = ["HEAD", "Buffer", "Codec", "Limits", "MessageError"]

Message = TypeVar("Message")

HEAD = struct.Struct("<4sIQ")
"""Start of every message: magic, bytes of the JSON header, bytes of the arrays."""
_MARK = b"stn1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Maximum sizes of a message, bytes; larger ones are refused before memory is allocated."""

    header: int = 2**20
    arrays: int = 2**20


class Codec(Generic[Message]):
    """Writes and reads messages of one type, or of a union of types."""

    def __init__(self, kind: object, limits: Limits | None = None) -> None:
        """`kind`: the type, as in an annotation. Raises TypeError for types that cannot be sent."""
        self.limits = limits or Limits()
        self._kind = kind

    @functools.cached_property
    def _form(self) -> Form:
        # built on first use, when all subclasses of the named classes have been defined
        return form_of(self._kind)

    def encode(self, message: Message) -> list[Buffer]:
        """The message as pieces to send in order; arrays are not copied.

        Raises:
            MessageError: it is larger than the receiver accepts.
        """
        body = Body()
        header = json.dumps(
            self._form.pack(message, body), default=plain_number, separators=(",", ":")
        ).encode()
        head = HEAD.pack(_MARK, len(header), body.size)
        self.sizes(head)
        return [head, header, *body.pieces]

    def decode(self, data: Buffer) -> Message:
        """The message in `data`; its arrays are views of `data`. Raises MessageError."""
        view = memoryview(data)
        header, arrays = self.sizes(view[: HEAD.size])
        if len(view) != HEAD.size + header + arrays:
            raise MessageError("the message is cut short")
        return self.build(view[HEAD.size : HEAD.size + header], view[HEAD.size + header :])

    def sizes(self, head: Buffer) -> tuple[int, int]:
        """Bytes of header and arrays that follow `head`. Raises MessageError: not a message, or too large."""
        if len(head) != HEAD.size:
            raise MessageError("the message is cut short")
        mark, header, arrays = HEAD.unpack(head)
        if mark != _MARK:
            raise MessageError(
                f"it does not begin as a message of this station does, but with {bytes(mark)!r}"
            )
        if header > self.limits.header or arrays > self.limits.arrays:
            raise MessageError(
                f"a message of {header + arrays:,} bytes is larger than the {self.limits.header:,} of text and "
                f"{self.limits.arrays:,} of arrays that are accepted"
            )
        return header, arrays

    def build(self, header: Buffer, arrays: memoryview) -> Message:
        """The message from its header and the memory of its arrays. Raises MessageError."""
        try:
            plain = from_json(bytes(header))
        except ValueError as error:
            raise MessageError(f"its header is not JSON ({error})") from error
        message: Message = self._form.unpack(plain, arrays)
        return message
