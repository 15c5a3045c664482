"""The demo's inputs, written as files: pictures, texts and tables that the demo endpoint's models know how to answer.

Nothing is fetched: the photographs come out of scikit-image's wheel, the rest from the models' own data. What they are
licensed under is in ``models/NOTICE``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probe.demo.models import breast_cancer, credit, digits, profanity, vader
from probe.errors import ConfigError

#: On the image model: "espresso" 0.94, "tripod" 0.95, and five kinds of cat that share 0.88.
PHOTOGRAPHS = ("coffee.png", "camera.png", "chelsea.png")
_BACKGROUND_ROWS = 25
_APPLICANTS = 200
_DIGITS = 6


def write_assets(directory: Path) -> list[Path]:
    """Write every input of the demo below ``directory`` (made if need be); the paths written, in a fixed order.

    The same versions of the packages give the same bytes. Raises :class:`ConfigError` if scikit-image has come without
    its pictures.
    """
    files = {name: _photograph(name) for name in PHOTOGRAPHS} | _texts() | _tables() | _digits()
    paths = []
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """``rows`` as CSV with a header line; all must have the columns of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _photograph(name: str) -> bytes:
    try:
        return resources.files("skimage").joinpath("data", name).read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"scikit-image has no data/{name}: install it from its wheel, which has the picture"
        ) from error


def _texts() -> dict[str, bytes]:
    identity = [{"term": term, "text": text} for term, text in profanity.IDENTITY_TEXTS.items()]
    return {
        "profanity.txt": f"{profanity.DEMO_TEXT}\n".encode(),
        "identity.csv": csv_text(identity).encode(),
        "vader.txt": f"{vader.DEMO_TEXT}\n".encode(),
    }


def _tables() -> dict[str, bytes]:
    patient, patients = breast_cancer.demo_rows(background=_BACKGROUND_ROWS)
    applicants = credit.applicants(_APPLICANTS)
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "breast-cancer.csv": [patient],
        "breast-cancer-background.csv": patients,
        "credit.csv": applicants[:1],
        "credit-background.csv": applicants[1 : 1 + _BACKGROUND_ROWS],
        "credit-applicants.csv": applicants,
    }
    return {name: csv_text(rows).encode() for name, rows in tables.items()}


def _digits() -> dict[str, bytes]:
    pictures = digits.marked_digits(_DIGITS)
    return {f"digits/marked-8-{number}.png": _png(image) for number, image in enumerate(pictures.images)}


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
