"""One recording as an .rrd file for the Rerun viewer. The library is optional and loaded here alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from datasets.errors import StationError
from station.review.take import Take


def write(take: Take, path: Path, *, verdict: str) -> None:
    """Images and every number over the recording's own time.

    Raises:
        StationError: rerun-sdk is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise StationError(
            "Writing for the Rerun viewer needs the library rerun-sdk: pip install 'station[rerun]'."
        ) from error
    stream = rr.RecordingStream("station", recording_id=take.id)
    stream.save(path)
    stream.log("about", rr.TextDocument(f"{take.id}: {verdict}\n{take.about}"), static=True)
    _log_images(rr, stream, take)
    for group in take.groups:
        title = group.title.split(" (")[0].replace(", ", " ")
        for column, name in enumerate(group.names):
            stream.send_columns(
                f"{_entity(title)}/{_entity(name)}",
                indexes=[rr.TimeColumn("time", duration=group.time)],
                columns=rr.Scalars.columns(scalars=group.values[:, column]),
            )
    stream.flush()


def _log_images(rr: Any, stream: Any, take: Take) -> None:
    for frame, seconds in enumerate(take.time):
        stream.set_time("time", duration=float(seconds))
        for camera, images in take.images.items():
            if frame < len(images):
                stream.log(f"cameras/{_entity(camera)}", rr.Image(images[frame]).compress(jpeg_quality=90))


def _entity(name: str) -> str:
    """What the viewer takes as a part of a path without a warning."""
    return re.sub(r"[^\w.-]+", "_", name)
