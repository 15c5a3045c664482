"""The demo: real models behind a loopback server, probed like anybody else's endpoint."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from PIL import Image

from probe.demo import assets
from probe.demo.models import digits
from probe.errors import EndpointDown

_PORT = 8765
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d{1,5})/")

_MARKS = """
  marks:
    kind: image
    inputs: inputs/marks/*.png
    endpoints: [digits-planted, digits-honest]
    methods: [{occlusion: {window: 2, stride: 1, fill: black}}]
    target: "8"
    budget: 100
"""


@contextmanager
def demo_server(cache: Path, *, wanted: int = _PORT) -> Iterator[str]:
    """The demo endpoint in a process of its own, on the port ``wanted`` if that is free; yields its URL.

    Raises:
        EndpointDown: it did not start.
    """
    command = [sys.executable, "-m", "probe.demo", "--port", str(_free_port(wanted)), "--cache", str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line.startswith("listening "):
                raise EndpointDown(f"the demo endpoint did not start: {line.strip() or 'see the message above'}")
            yield line.removeprefix("listening ").strip()
        finally:
            process.terminate()


def write_demo(folder: Path, url: str) -> tuple[Path, Path]:
    """Inputs and two configs below ``folder``: the demo's, and one for fifty marked digits. Returns the configs' paths."""
    assets.write_assets(folder / "inputs")
    marks = folder / "inputs" / "marks"
    marks.mkdir(exist_ok=True)
    for number, image in enumerate(digits.marked_digits(50).images):
        Image.fromarray(image).save(marks / f"{number:02}.png")
    text = resources.files("probe.demo").joinpath("demo.yaml").read_text(encoding="utf-8").replace("URL", url)
    # The first comment speaks of the placeholder itself.
    text = text.split("\n", maxsplit=1)[1]
    main, other = folder / "probe.yaml", folder / "marks.yaml"
    main.write_text("# The demo's config: what you would write for an endpoint of your own.\n" + text, encoding="utf-8")
    other.write_text(text[: text.index("probes:")] + "probes:" + _MARKS, encoding="utf-8")
    return main, other


def earlier_port(folder: Path) -> int:
    """The port that the demo in ``folder`` had before: with the same address its answers are found in the ledger."""
    try:
        found = _ADDRESS.search((folder / "probe.yaml").read_text(encoding="utf-8"))
    except OSError:
        return _PORT
    return int(found.group(1)) if found else _PORT


def _free_port(wanted: int) -> int:
    with socket.socket() as probing:
        try:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError):
            return 0
        return wanted
