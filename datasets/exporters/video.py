"""H.264 encoding of images: one clip per episode, and joining of clips without re-encoding.

Each frame's time is exactly its index divided by the rate; every second frame is seekable. Needs PyAV.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.observation import Image

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

CODEC = "h264"
_OPTIONS = {
    "crf": "18",  # error of a few grey levels of 255 at robot-camera sizes, a tenth of the bytes
    "preset": "veryfast",
    "g": "2",  # loaders jump to single frames
    "bf": "0",  # no B-frames, so decode order equals presentation order
}


def pixel_format(height: int, width: int) -> str:
    """The pixel format that every player decodes, unless an odd size rules out chroma subsampling."""
    return "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"


def encode(frames: Image, path: Path, rate: Fraction) -> None:
    """Write uint8 RGB [T, height, width, 3] as an MP4 of `rate` frames per second.

    Raises:
        OSError: the write failed.
    """
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format(*frames.shape[1:3])
        stream.codec_context.time_base = 1 / rate
        # one thread, so the bytes do not depend on the number of cores
        stream.codec_context.thread_count = 1
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def join(clips: Sequence[Path], path: Path, rate: Fraction) -> None:
    """Concatenate clips of one camera without re-encoding.

    Raises:
        OSError: the write failed, or a clip is damaged.
    """
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        shown = 0
        for clip in clips:
            with av.open(str(clip), "r", format="mp4") as source:
                if stream is None:
                    stream = container.add_stream_from_template(source.streams.video[0])
                shown = _append(source, container, stream, shown, rate)


def _append(
    source: InputContainer, container: OutputContainer, stream: VideoStream, shown: int, rate: Fraction
) -> int:
    """Append one clip; returns the total number of images."""
    for packet in source.demux(source.streams.video[0]):
        if packet.size == 0:
            continue
        packet.stream = stream
        packet.pts = packet.dts = shown
        packet.duration = 1
        packet.time_base = 1 / rate
        container.mux(packet)
        shown += 1
    return shown
