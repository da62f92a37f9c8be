"""The base class of all settings: frozen, strict, each field with a description and a range.

`OneOf` is the base of groups that come in several kinds, such as the drivers of a device: one setting selects the class
that reads the rest, so task files need no nesting and errors name the place as it appears in the file.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from datasets.wording import did_you_mean

TRUST = "STATION_TRUST"
"""Environment variable: custom classes (module:Class) and modules that files may name, separated by spaces."""


class Settings(BaseModel):
    """A group of settings in a task file; unknown names and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _former_names: ClassVar[Mapping[str, str]] = {}
    """What files of earlier versions call a setting -> its name now."""

    @classmethod
    def reader(cls, content: Mapping[str, Any]) -> type[Settings]:
        """The class that reads `content`. Raises ValueError if there is none."""
        return cls

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.keys().isdisjoint(cls._former_names):
            return value
        for former, name in cls._former_names.items():
            if former in value and name in value:
                raise ValueError(f"{former} is the former name of {name}; keep only {name}")
        return {cls._former_names.get(key, key): content for key, content in value.items()}


class OneOf(Settings):
    """A group of settings that comes in several kinds.

    A base class lists them in `kinds`, from the value of the setting `chooser` to "module:Class", imported on demand. A
    value with a colon names a custom class; because files may come from other people, it is imported only if `TRUST`
    lists it too.
    """

    chooser: ClassVar[str] = "kind"
    kinds: ClassVar[Mapping[str, str]] = {}
    usual: ClassVar[str] = ""
    """The default kind; if empty, the file must name one."""

    @classmethod
    def reader(cls, content: Mapping[str, Any]) -> type[Settings]:
        """The class for the kind that `content` names. Raises ValueError, suggesting the closest name."""
        if "kinds" not in vars(cls):
            return cls
        wanted = str(content.get(cls.chooser, cls.usual))
        known = ", ".join(cls.kinds)
        if not wanted:
            raise ValueError(f"say which {cls.chooser} it is: {known}")
        if wanted not in cls.kinds and ":" not in wanted:
            hint = did_you_mean(wanted, cls.kinds, f"Choose from {known}, or name module:Class.")
            raise ValueError(f"there is no {cls.chooser} '{wanted}'. {hint}")
        if wanted not in cls.kinds and not _is_trusted(wanted):
            raise ValueError(
                f"{cls.chooser} = '{wanted}' would run code that does not come with the station; if you trust it, say "
                f"'station --trust {wanted} ...', or list it in your config file: [trust] classes = [\"{wanted}\"]"
            )
        return cls._load(cls.kinds.get(wanted, wanted))

    @classmethod
    def _load(cls, path: str) -> type[Settings]:
        module, _, name = path.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"'{path}' cannot be loaded: {error}; check the module and the class") from error
        if not (isinstance(found, type) and issubclass(found, cls)):
            raise ValueError(f"'{path}' is no {cls.__name__}; derive it from that class")
        return found

    @model_validator(mode="wrap")
    @classmethod
    def _read_by_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, Mapping):
            return handler(value)
        reader = cls.reader(value)
        if reader is cls:
            return handler(value)
        return cast(Self, reader.model_validate(value))


def _is_trusted(path: str) -> bool:
    trusted = os.environ.get(TRUST, "").split()
    return path in trusted or path.partition(":")[0] in trusted
