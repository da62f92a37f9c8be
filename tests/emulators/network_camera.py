"""A network camera: a real MJPEG stream on the loopback network that falls silent after some images."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

IMAGES = 20
"""So many red images, 48 by 64, then silence."""
SILENT = 20.0
"""s until a silent stream ends."""


class _Streamer(http.server.BaseHTTPRequestHandler):
    """JPEGs one after the other, then silence."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for _ in range(IMAGES):
            data = cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, 200), np.uint8))[1].tobytes()
            self.wfile.write(
                b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                + data
                + b"\r\n"
            )
            time.sleep(0.01)
        self.server.silent.wait(SILENT)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def streaming() -> Iterator[str]:
    """The address at which it streams."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Streamer)
    server.silent = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/scene.mjpg"
    finally:
        server.silent.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
