"""Serialisation of a value of each type: JSON for the header, and array data beside it.

There is one form per sort of type; `form_of` finds it from an annotation. A form builds only values of its type, and
reports where a message holds anything else. `datasets.messages` handles whole messages.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datasets.errors import StationError
from datasets.settings import Settings

Buffer = bytes | bytearray | memoryview

_ALIGNED = 16  # bytes; every array starts at a multiple of this
_MOST_AXES = 8
_NUMBERS = {
    np.dtype(name).str: np.dtype(name)
    for name in ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}
"""Allowed dtypes of arrays; object is not among them."""


class MessageError(StationError):
    """A received message is not of the expected kind; says where, and what is there instead."""

    def __init__(self, text: str, place: str = "") -> None:
        self.text, self.place = text, place
        super().__init__(f"{place}: {text}" if place else text)

    def inside(self, name: str) -> MessageError:
        """The same error with its location extended by one outer level."""
        return MessageError(self.text, f"{name}.{self.place}" if self.place else name)


def plain_number(value: object) -> object:
    """Convert a NumPy scalar to a Python number."""
    if isinstance(value, np.generic) and value.dtype.str in _NUMBERS:
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be sent: {value!r:.80}")


class Body:
    """Collects the arrays of a message being written."""

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        self.size = 0

    def add(self, array: np.ndarray[Any, Any]) -> int:
        """Add an array; returns its offset."""
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        begin = self.size
        padding = -len(data) % _ALIGNED
        self.pieces += [data, bytes(padding)] if padding else [data]
        self.size += len(data) + padding
        return begin


class Form(ABC):
    """How values of one type are represented in the header."""

    shapes: ClassVar[frozenset[type]]
    """The JSON types it can be read from; they distinguish the members of a union."""
    as_it_is: bool = False
    """Whether the JSON encoder handles such a value directly."""

    @abstractmethod
    def pack(self, value: Any, body: Body) -> Any:
        """The value in a form that the JSON encoder accepts."""

    @abstractmethod
    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        """The value. Raises MessageError."""

    def unpack_all(self, plain: list[Any], arrays: memoryview) -> list[Any]:
        """The values of a list. Raises MessageError."""
        return [self.unpack(each, arrays) for each in plain]


class _Scalar(Form):
    """None, a boolean, a number or a string."""

    as_it_is = True

    def __init__(self, kind: type, *others: type) -> None:
        self._kind = kind
        self.shapes = frozenset((kind, *others))  # type: ignore[misc]

    def pack(self, value: Any, body: Body) -> Any:
        return value

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) is self._kind:
            return plain
        if type(plain) in self.shapes:
            return self._kind(plain)
        raise _unfit(plain, self._kind.__name__)

    def unpack_all(self, plain: list[Any], arrays: memoryview) -> list[Any]:
        # fast path: curves have hundreds of numbers, and ten snapshots of a session are sent per second
        return plain if set(map(type, plain)) <= {self._kind} else super().unpack_all(plain, arrays)


class _Json(Form):
    """Any plain JSON value; passed through unchanged."""

    shapes = frozenset((type(None), bool, int, float, str, list, dict))
    as_it_is = True

    def pack(self, value: Any, body: Body) -> Any:
        return value

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        return plain


class _Text(Form):
    """A value written as a string: a path or an enumeration member."""

    shapes = frozenset((str,))

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._members = {str(each.value): each for each in kind} if issubclass(kind, enum.Enum) else None
        self.as_it_is = issubclass(kind, enum.StrEnum)

    def pack(self, value: Any, body: Body) -> str:
        return str(value.value if self._members is not None else value)

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) is not str:
            raise _unfit(plain, self._kind.__name__)
        if self._members is None:
            return self._kind(plain)
        try:
            return self._members[plain]
        except KeyError:
            raise MessageError(f"{plain!r:.80} is no {self._kind.__name__}") from None


class _Row(Form):
    """A tuple or list of any length with items of one type."""

    shapes = frozenset((list,))

    def __init__(self, kind: type, item: Form) -> None:
        self._kind, self._item = kind, item
        self.as_it_is = item.as_it_is

    def pack(self, value: Any, body: Body) -> Any:
        return value if self.as_it_is else [self._item.pack(each, body) for each in value]

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) is not list:
            raise _unfit(plain, self._kind.__name__)
        return self._kind(self._item.unpack_all(plain, arrays))


class _Tuple(Form):
    """A tuple with a type per position."""

    shapes = frozenset((list,))

    def __init__(self, items: Sequence[Form]) -> None:
        self._items = tuple(items)
        self.as_it_is = all(item.as_it_is for item in items)

    def pack(self, value: Any, body: Body) -> Any:
        if self.as_it_is:
            return value
        return [item.pack(each, body) for item, each in zip(self._items, value, strict=True)]

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) is not list or len(plain) != len(self._items):
            raise _unfit(plain, f"tuple of {len(self._items)}")
        return tuple([item.unpack(each, arrays) for item, each in zip(self._items, plain, strict=True)])

    def unpack_all(self, plain: list[Any], arrays: memoryview) -> list[Any]:
        if set(map(type, plain)) != {list} or set(map(len, plain)) != {len(self._items)}:
            return super().unpack_all(plain, arrays)
        columns = zip(self._items, zip(*plain, strict=True), strict=True)
        return list(zip(*(item.unpack_all(list(column), arrays) for item, column in columns), strict=True))


class _Table(Form):
    """A dictionary; sent as a list of pairs unless its keys are strings."""

    def __init__(self, key: Form, value: Form) -> None:
        self._key, self._value = key, value
        self._texts = isinstance(key, _Text) or (isinstance(key, _Scalar) and str in key.shapes)
        self.shapes = frozenset((dict if self._texts else list,))  # type: ignore[misc]
        self.as_it_is = self._texts and key.as_it_is and value.as_it_is

    def pack(self, value: Mapping[Any, Any], body: Body) -> Any:
        if self.as_it_is:
            return value
        pairs = [(self._key.pack(key, body), self._value.pack(each, body)) for key, each in value.items()]
        return dict(pairs) if self._texts else pairs

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) not in self.shapes:
            raise _unfit(plain, "dict")
        pairs = plain.items() if self._texts else plain
        try:
            return {self._key.unpack(key, arrays): self._value.unpack(each, arrays) for key, each in pairs}
        except (TypeError, ValueError) as error:
            raise MessageError(f"no dictionary can be made of it ({error})") from error


class _Array(Form):
    """A numeric array: its offset, dtype and shape."""

    shapes = frozenset((list,))

    def pack(self, value: Any, body: Body) -> Any:
        array = np.asarray(value)
        if array.dtype.str not in _NUMBERS:
            raise TypeError(f"an array of {array.dtype} cannot be sent")
        return [body.add(array), array.dtype.str, array.shape]

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        match plain:
            case [int(begin), str(name), list(shape)] if name in _NUMBERS and _is_shape(shape):
                dtype = _NUMBERS[name]
            case _:
                raise _unfit(plain, "array of numbers")
        count = 1
        for size in shape:
            count *= size
        if not 0 <= begin <= len(arrays) - count * dtype.itemsize or begin % _ALIGNED:
            raise MessageError(
                f"an array of {shape} at {begin} lies outside the message's {len(arrays)} bytes"
            )
        return np.frombuffer(arrays, dtype, count, begin).reshape(shape)


def _is_shape(sizes: list[Any]) -> bool:
    return len(sizes) <= _MOST_AXES and all(type(size) is int and size >= 0 for size in sizes)


class _Records(Form):
    """Dataclasses, as name and fields: ``{"Label": {"episode": ...}}``."""

    shapes = frozenset((dict,))

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes = {each.__name__: each for each in classes}
        self._forms: dict[type, tuple[dict[str, Form], frozenset[str]]] = {}

    def _fields(self, kind: type) -> tuple[dict[str, Form], frozenset[str]]:
        """The forms of a class's fields, and the names of the required ones."""
        found = self._forms.get(kind)
        if found is None:
            hints = typing.get_type_hints(kind)
            fields = [field for field in dataclasses.fields(kind) if field.init]
            needed = (
                field.name
                for field in fields
                if field.default is field.default_factory is dataclasses.MISSING
            )
            forms = {field.name: form_of(hints[field.name]) for field in fields}
            found = self._forms[kind] = (forms, frozenset(needed))
        return found

    def pack(self, value: Any, body: Body) -> Any:
        name = type(value).__name__
        if self._classes.get(name) is not type(value):
            raise TypeError(f"a {name} cannot be sent here; {', '.join(self._classes)} can")
        forms, _ = self._fields(type(value))
        return {
            name: {
                each: getattr(value, each) if form.as_it_is else form.pack(getattr(value, each), body)
                for each, form in forms.items()
            }
        }

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        if type(plain) is not dict or len(plain) != 1:
            raise _unfit(plain, " or ".join(self._classes))
        ((name, content),) = plain.items()
        if name not in self._classes:
            raise MessageError(f"{name!r:.80} is not expected here; {', '.join(self._classes)} would be")
        kind = self._classes[name]
        if type(content) is not dict:
            raise _unfit(content, name)
        forms, needed = self._fields(kind)
        if strange := content.keys() - forms.keys():
            raise MessageError(f"a {name} has no {min(strange)!r:.80}")
        if missing := needed - content.keys():
            raise MessageError(f"a {name} needs {min(missing)!r}")
        values = {}
        for each, inner in content.items():
            try:
                values[each] = forms[each].unpack(inner, arrays)
            except MessageError as error:
                raise error.inside(each) from None
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            raise MessageError(f"a {name} is not made of this: {error}") from error


class _Group(Form):
    """A group of settings, validated again by its own class on arrival."""

    shapes = frozenset((dict,))

    def __init__(self, kind: type[Settings]) -> None:
        self._kind = kind

    def pack(self, value: Settings, body: Body) -> Any:
        # a nested group may be of a subclass with more fields than the annotated class
        return value.model_dump(mode="json", serialize_as_any=True)

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        try:
            return self._kind.model_validate(plain)
        except ValueError as error:
            raise MessageError(f"no {self._kind.__name__}: {error}") from error


class _Union(Form):
    """One of several types, distinguished by their JSON types."""

    def __init__(self, members: Sequence[tuple[Form, tuple[type, ...]]]) -> None:
        self._written = [(form, kinds) for form, kinds in members]
        self._read: dict[type, Form] = {}
        for form, _ in members:
            for shape in form.shapes:
                if shape in self._read:
                    raise TypeError(
                        f"two members of a union would be read from the same JSON {shape.__name__}"
                    )
                self._read[shape] = form
        self.shapes = frozenset(self._read)  # type: ignore[misc]
        self.as_it_is = all(form.as_it_is for form, _ in members)

    def pack(self, value: Any, body: Body) -> Any:
        for form, kinds in self._written:
            if isinstance(value, kinds):
                return form.pack(value, body)
        raise TypeError(f"a {type(value).__name__} cannot be sent here")

    def unpack(self, plain: Any, arrays: memoryview) -> Any:
        form = self._read.get(type(plain))
        if form is None:
            raise _unfit(plain, "any of the types that may stand here")
        return form.unpack(plain, arrays)


def _unfit(plain: object, wanted: str) -> MessageError:
    return MessageError(f"{plain!r:.80} is no {wanted}")


_SCALARS: dict[object, Form] = {
    None: _Scalar(type(None)),
    type(None): _Scalar(type(None)),
    bool: _Scalar(bool),
    int: _Scalar(int),
    float: _Scalar(float, int),
    str: _Scalar(str),
    Any: _Json(),
    Path: _Text(Path),
}


@functools.cache
def form_of(hint: Any) -> Form:
    """The form for values of an annotated type. Raises TypeError."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    make = _MAKERS.get(typing.get_origin(hint))
    return make(typing.get_args(hint)) if make else _form_of_class(hint)


def _tuple_of(words: Sequence[Any]) -> Form:
    if len(words) == 2 and words[1] is Ellipsis:
        return _Row(tuple, form_of(words[0]))
    return _Tuple([form_of(word) for word in words])


def _form_of_class(hint: Any) -> Form:
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return _Text(hint)
        if issubclass(hint, Settings):
            return _Group(hint)
        if dataclasses.is_dataclass(hint):
            return _Records(_family(hint))
    raise TypeError(f"{hint} is no type that can be sent")


def _union_of(words: Sequence[Any]) -> Form:
    """The form of a union: dataclasses are distinguished by name, everything else by JSON type."""
    records = [word for word in words if isinstance(word, type) and dataclasses.is_dataclass(word)]
    members = [(form_of(word), _classes(word)) for word in words if word not in records]
    if records:
        family = [each for record in records for each in _family(record)]
        members.append((_Records(family), tuple(records)))
    return members[0][0] if len(members) == 1 else _Union(members)


def _classes(word: Any) -> tuple[type, ...]:
    """The classes of values of an annotated type."""
    kind = typing.get_origin(word) or word
    return (int, float) if kind is float else (kind,)


def _family(kind: type) -> list[type]:
    """A class and all its subclasses."""
    children: list[type] = kind.__subclasses__()
    return list(dict.fromkeys([kind, *(each for child in children for each in _family(child))]))


_MAKERS: dict[object, Callable[[Sequence[Any]], Form]] = {
    tuple: _tuple_of,
    list: lambda words: _Row(list, form_of(words[0])),
    dict: lambda words: _Table(form_of(words[0]), form_of(words[1])),
    np.ndarray: lambda _: _Array(),
    typing.Union: _union_of,
    types.UnionType: _union_of,
}
"""Generic type -> function that builds the form from its type arguments."""
