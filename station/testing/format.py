"""The check of a format to read, on a sample that its recorder wrote."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from datasets.hdf5_writing import writing
from datasets.importers.interface import Format, RawEpisode, Source
from datasets.importers.mapping import Mapping as ColumnMapping
from datasets.importers.read.look import EpisodeImport
from datasets.importers.read.registry import all_formats
from datasets.importers.recording import AbsentFrames
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError
from station.testing.contract import Contract

_FOREIGN = 256 * 2**20
"""Bytes of a foreign file, nearly all of them a hole."""
_CHEAP = 16 * 2**20
"""Bytes that may be read of it before it is refused."""
_READ = re.compile(r"^rchar: (\d+)$", re.MULTILINE)


def check_format(
    kind: type[Format],
    sample: Path,
    *,
    episodes: int,
    spec: DataSpec,
    answers: Mapping[str, str] | None = None,
) -> None:
    """Check a format on `sample`, a file or folder with this many `episodes`, for a task that records as `spec` says.

    `answers`: what the file does not say, as ``station import --map NAME=VALUE`` would.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    contract = Contract(subject=kind.__name__, interface="datasets.importers.interface.Format")
    before = _everything(sample)
    check = _Check(contract, kind(), sample)
    check.declared()
    check.foreign()
    keys = check.listed(episodes)
    for key in keys:
        check.opened(key, spec)
    check.imported(keys[0], spec, dict(answers or {}))
    check.identified(keys)
    check.damaged(keys)
    contract.require(_everything(sample) == before, "it changed the sample; a format only reads", "open")


class _Check:
    """One format under test."""

    def __init__(self, contract: Contract, subject: Format, sample: Path) -> None:
        self.contract, self.format, self.sample = contract, subject, sample

    def declared(self) -> None:
        contract, kind = self.contract, type(self.format)
        contract.require(
            re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(getattr(kind, "name", ""))),
            f"its name is '{getattr(kind, 'name', '')}'; use lower-case letters, digits and hyphens",
            "name",
        )
        known = all_formats().get(kind.name)
        contract.require(
            known is None or type(known) is kind,
            f"its name '{kind.name}' is another format's already",
            "name",
        )
        contract.require(getattr(kind, "description", ""), "it has no description", "description")
        contract.require(
            all(suffix.startswith(".") for suffix in kind.suffixes),
            f"its suffixes are {kind.suffixes}; each begins with a dot",
            "suffixes",
        )

    def foreign(self) -> None:
        """Files and folders of others are refused by their structure, cheaply and without a sound."""
        with tempfile.TemporaryDirectory(prefix="station-check-") as folder:
            for path in _foreign(Path(folder), self.format.suffixes):
                before, read = _everything(path), _bytes_read()
                claims = False
                try:
                    # one that looks like ours and is damaged may say so
                    with suppress(RecordingError, OSError):
                        claims = self.format.recognises(path)
                except Exception as error:
                    raise AssertionError(
                        f"{self.contract.subject}: recognises({path.name}), a foreign file, raises "
                        f"{type(error).__name__} ({error}); it answers False, or raises RecordingError. "
                        f"See {self.contract.interface}.recognises, and 'station guide extending'."
                    ) from error
                self.contract.require(
                    claims is False, f"it claims {path.name}, which is none of its files", "recognises"
                )
                spent = _bytes_read() - read
                self.contract.require(
                    spent <= _CHEAP,
                    f"it read {spent / 1e6:.0f} MB of {path.name} before it refused it; look at the structure alone",
                    "recognises",
                )
                self.contract.require(_everything(path) == before, f"it changed {path.name}", "recognises")

    def listed(self, episodes: int) -> list[str]:
        contract, sample = self.contract, self.sample
        contract.require(
            self.format.recognises(sample) is True,
            f"it does not recognise its sample {sample.name}",
            "recognises",
        )
        keys = list(self.format.keys(sample))
        contract.require(
            len(keys) == len(set(keys)) == episodes,
            f"it lists the episodes {keys} of {sample.name}, which has {episodes}",
            "keys",
        )
        contract.require(
            keys == list(self.format.keys(sample)), "asked again, it lists other episodes", "keys"
        )
        told = self.format.instructions(sample)
        contract.require(
            set(told) <= set(keys),
            f"it has instructions for {sorted(set(told) - set(keys))}, no episodes",
            "instructions",
        )
        lost = [str(error) for error in self.format.unlisted(sample)]
        contract.require(not lost, f"it says of an undamaged sample: {lost}", "unlisted")
        return keys

    def opened(self, key: str, spec: DataSpec) -> None:
        """Numbers, times and images of one episode; nothing stays open."""
        contract = self.contract
        descriptors = _open_below(self.sample)
        with self.format.open(self.sample, key) as raw:
            contract.require(isinstance(raw, RawEpisode), f"open gives a {type(raw).__name__}", "open")
            self._require_numbers(raw)
            self._require_images(raw)
            if raw.own is None:
                mapping = self.format.propose(raw, spec)
                contract.require(
                    isinstance(mapping, ColumnMapping), f"propose gives a {type(mapping).__name__}", "propose"
                )
        contract.require(
            _open_below(self.sample) <= descriptors, "files of the sample stay open after the context", "open"
        )

    def _require_numbers(self, raw: RawEpisode) -> None:
        contract = self.contract
        for name, values in raw.columns.items():
            contract.require(
                values.dtype == np.float64 and values.ndim == 2,
                f"the column '{name}' is {values.dtype} {list(values.shape)}, not float64 [T, n]",
                "open",
            )
        for name, names in raw.names.items():
            wide = raw.columns[name].shape[1] if name in raw.columns else 0
            contract.require(
                len(names) in (0, wide),
                f"the column '{name}' has {wide} numbers and {len(names)} names",
                "open",
            )
        for name, stamps in {"time": raw.time, "action_time": raw.action_time, **raw.image_time}.items():
            contract.require(
                stamps is None or (stamps.dtype == np.float64 and stamps.ndim == 1),
                f"the times '{name}' are not float64 [T], in seconds",
                "open",
            )
        contract.require(raw.success is None or isinstance(raw.success, bool), "success is no bool", "open")

    def _require_images(self, raw: RawEpisode) -> None:
        for name, frames in raw.frames.items():
            if isinstance(frames, AbsentFrames) or not frames.count:
                continue
            size = (frames.height, frames.width, 3)
            wanted = np.unique(np.array([0, frames.count // 2, frames.count - 1], np.int64))
            shown = [np.array(image) for image in frames.pick(wanted)]
            self.contract.require(
                len(shown) == len(wanted) and all(p.shape == size and p.dtype == np.uint8 for p in shown),
                f"'{name}' says {frames.count} images of {list(size)}, uint8; "
                f"of three it gives {[f'{p.dtype} {list(p.shape)}' for p in shown]}",
                "open",
            )

    def imported(self, key: str, spec: DataSpec, answers: dict[str, str]) -> None:
        """The whole way: an episode that can be trained on."""
        source = Source(path=self.sample, format=self.format.name, key=key)
        work = EpisodeImport(
            source, self.format, spec, self.format.fingerprint(self.sample, key), 0, lambda: None
        )
        try:
            episode = work.run({"": answers}, set())
        except RecordingError as error:
            raise AssertionError(
                f"{self.contract.subject}: its episode '{key}' cannot be imported: {error}. Answer what it asks in "
                f"`answers`, or mend `propose`. See {self.contract.interface}.propose, and 'station guide extending'."
            ) from error
        self.contract.require(episode.steps > 0, "an imported episode has no steps", "open")

    def identified(self, keys: list[str]) -> None:
        """A fingerprint per episode, whatever its file is called."""
        contract = self.contract
        marks = [self.format.fingerprint(self.sample, key) for key in keys]
        contract.require(
            all(re.fullmatch(r"[0-9a-f]{16}", mark) for mark in marks),
            f"fingerprints are {marks}, not sixteen hexadecimal digits",
            "fingerprint",
        )
        contract.require(len(set(marks)) == len(marks), "two episodes have one fingerprint", "fingerprint")
        with tempfile.TemporaryDirectory(prefix="station-check-") as folder:
            moved = _copied(self.sample, Path(folder) / f"moved{''.join(self.sample.suffixes)}")
            contract.require(
                [self.format.fingerprint(moved, key) for key in keys] == marks,
                "under another name, the same content has another fingerprint",
                "fingerprint",
            )

    def damaged(self, keys: list[str]) -> None:
        """A key that is not there, and a file that was cut off, end in a sentence."""
        if keys != [""]:
            self._require_refusal(self.sample, "no-such-episode", "of an episode that is not there")
        if not self.sample.is_file():
            return
        with tempfile.TemporaryDirectory(prefix="station-check-") as folder:
            cut = _copied(self.sample, Path(folder) / self.sample.name)
            os.truncate(cut, cut.stat().st_size // 2)
            self._require_refusal(cut, keys[0], "of a file that was cut in half")

    def _require_refusal(self, path: Path, key: str, when: str) -> None:
        def read() -> None:
            with self.format.open(path, key) as raw:
                for frames in raw.frames.values():
                    for _ in frames.pick(np.arange(frames.count)):
                        pass

        self.contract.refuses((RecordingError, OSError), read, when, "open")


def _foreign(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """What lies about on a disk, also under the suffixes of the format."""
    made: dict[str, Callable[[Path], object]] = {
        "empty": lambda path: path.touch(),
        "text": lambda path: path.write_text("Day 3. It dropped the orange again.\n"),
        "json": lambda path: path.write_text('{"version": 1, "items": []}'),
        "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4096)),
        "large": _large,
        "other-arrays": _other_arrays,
    }
    for suffix in ("", *suffixes):
        for name, make in made.items():
            path = folder / f"{name}{suffix}"
            make(path)
            yield path
    (folder / "empty-folder").mkdir()
    yield folder / "empty-folder"
    (folder / "photos").mkdir()
    (folder / "photos" / "holiday.jpg").write_bytes(b"\xff\xd8\xff\xe0 none")
    yield folder / "photos"
    yield folder / "not-there"


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"a header of somebody else\n")
        file.truncate(_FOREIGN)


def _other_arrays(path: Path) -> None:
    with writing(path) as file:
        file.attrs["instrument"] = "seismograph"
        file.create_dataset("traces", data=np.zeros((8, 3)))


def _bytes_read() -> int:
    """By this process so far; 0 where the system does not say."""
    with suppress(OSError):
        found = _READ.search(Path("/proc/self/io").read_text())
        return int(found[1]) if found else 0
    return 0


def _open_below(sample: Path) -> set[str]:
    """Open files of the sample."""
    below = os.path.realpath(sample)
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target == below or target.startswith(below + os.sep):
                found.add(f"{entry.name} {target}")
    return found


def _everything(path: Path) -> list[tuple[str, int, int]]:
    """Every file and folder at `path`, with size and time of change."""
    entries = [path, *sorted(path.rglob("*"))] if path.exists() else []
    return [(str(entry), entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries]


def _copied(path: Path, to: Path) -> Path:
    if path.is_dir():
        shutil.copytree(path, to)
    else:
        shutil.copy2(path, to)
    return to
