"""What the demo server's tests share: one running server a module, and ways to ask it."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def ask(client: httpx.Client, *texts: str, route: str = "predict", **options: Any) -> httpx.Response:
    return client.post(f"/v1/echo-length/{route}", json={"inputs": list(texts)}, **options)


def error_of(answer: httpx.Response) -> str:
    message = answer.json()["error"]["message"]
    assert isinstance(message, str)
    assert "\n" not in message
    return message


def picture() -> Pixels:
    pixels = np.full((20, 30, 3), 40, dtype=np.uint8)
    pixels[10:, :15] = 250
    return pixels


def encoded(pixels: Pixels, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
