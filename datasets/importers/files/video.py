"""Images of a video file, decoded forwards and one at a time. Needs PyAV.

FFmpeg picks a demuxer by content, and some demuxers are playlists that read other files. Only containers that hold
their own images are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.importers.defects import Defect, RefusedError, warning, why
from datasets.importers.files.optional import needed
from datasets.importers.files.pointers import missing_content
from datasets.importers.interface import require_image
from datasets.importers.recording import Frames, Indices
from datasets.observation import Image

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

SAME_RATE = 0.02
"""Relative tolerance of a video's frame rate."""
_HALF = 0.5 + 1e-6
"""Maximum distance, in rows, between an image and the row it is used for."""
_EARLIER = 1.0
"""Decoding starts this many seconds before an image; the container seeks back to a key frame from there."""


class VideoFrames(Frames):
    """Images of a video: either all in file order, or a number of them from a start time on."""

    shown: float
    """Frame rate according to the file, Hz; 0 if unknown."""

    def __init__(
        self, path: Path, *, begin: float | None = None, count: int | None = None, rate: float = 0.0
    ) -> None:
        """All images of `path`; or, with `begin` (s), the `count` images from there at `rate` Hz.

        Raises:
            RefusedError: not a video, or PyAV is missing.
        """
        self._path, self._begin, self._rate = path, begin, rate
        with _opened(path) as (container, stream):
            self.height, self.width = stream.height, stream.width
            require_image(self.height, self.width, path.name)
            self.count = _packets(container, stream) if count is None else count
            self.shown = float(stream.average_rate or 0)
        if rate and self.shown and abs(self.shown / rate - 1) > SAME_RATE:
            self.notes = (warning(Defect.RATE, f"{self._rates()}; each row gets the image of its time"),)

    def pick(self, indices: Indices) -> Iterator[Image]:
        """See Frames."""
        if not len(indices):
            return
        wanted = iter(indices.tolist())
        index = next(wanted)
        before: tuple[float, av.VideoFrame] | None = None
        for here in chain(self._decoded(int(indices[0])), (None,)):
            while here is None or here[0] >= index:
                chosen = self._nearest(index, before, here)
                shown = np.asarray(chosen.to_ndarray(format="rgb24"), np.uint8)
                yield shown
                following = next(wanted, None)
                while following == index:
                    yield shown
                    following = next(wanted, None)
                if following is None:
                    return
                index = following
            before = here

    def _nearest(
        self, index: int, before: tuple[float, av.VideoFrame] | None, here: tuple[float, av.VideoFrame] | None
    ) -> av.VideoFrame:
        """The one of two images (with positions in rows) nearest to a row; `here` is None at the video's end.

        Raises:
            RefusedError: neither belongs to that row.
        """
        found = min(
            (one for one in (here, before) if one is not None),
            key=lambda one: abs(one[0] - index),
            default=None,
        )
        if found is not None and abs(found[0] - index) <= _HALF:
            return found[1]
        if here is None:
            raise RefusedError(Defect.IMAGE, f"{self._path.name} ends before frame {index}")
        also = f" ({self._rates()})" if self.notes else ""
        raise RefusedError(Defect.IMAGE, f"frame {index} is not in {self._path.name}{also}")

    def _rates(self) -> str:
        shown, rows = f"{self.shown:.4g}", f"{self._rate:.4g}"
        return f"the video {self._path.name} has {shown} frames a second and the table {rows} rows"

    def _decoded(self, first: int) -> Iterator[tuple[float, av.VideoFrame]]:
        """Images with their positions in rows, from shortly before `first` on."""
        with _opened(self._path) as (container, stream):
            if self._begin is None:
                yield from enumerate(container.decode(stream))
                return
            origin = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
            target = origin + self._begin + first / self._rate
            if target > _EARLIER and stream.time_base:
                container.seek(int((target - _EARLIER) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time is not None:
                    yield (frame.time - origin - self._begin) * self._rate, frame


_CONTAINERS = {
    "mp4": (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")),
    "matroska": (0, (b"\x1a\x45\xdf\xa3",)),
    "avi": (8, (b"AVI ",)),
}
"""FFmpeg's name of a container -> offset in the file and the magic bytes expected there"""
_LOCAL = {"protocol_whitelist": "file", "enable_drefs": "0"}
"""An MP4 can also refer to images in another file."""


def _container(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    for name, (place, marks) in _CONTAINERS.items():
        if head[place : place + 4] in marks:
            return name
    raise missing_content(path) or RefusedError(
        Defect.IMAGE,
        f"the video {path.name} is not an MP4, Matroska or AVI file, or its header is damaged; copy it again",
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with needed("formats"):
        import av
    try:
        with av.open(str(path), "r", format=_container(path), options=_LOCAL) as container:
            if not container.streams.video:
                raise RefusedError(Defect.IMAGE, f"{path.name} holds no video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise RefusedError(Defect.IMAGE, f"{path.name} is coded in a way that is not known here")
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise RefusedError(
            Defect.IMAGE, f"the video {path.name} is damaged or cut off; copy it again ({why(error)})"
        ) from error


def _packets(container: InputContainer, stream: VideoStream) -> int:
    """Count the images without decoding; the header's count is not trusted."""
    return sum(packet.pts is not None for packet in container.demux(stream))
