"""Peak memory of 50,000 image evaluations beside that of 500: what waits is not rendered, what is answered is not kept.

Each size runs in a process of its own, from the config to the explanation, against a server in another process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import Line, finish, options
from tests.servers import running_server

_SIDE = 128
_FEW = 500
_WORKER = """
import json, resource, sys
import probe
results = probe.run(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
seen = {"peak": peak, "cpu": cpu, "evaluations": results.run.totals["evaluations"], "status": results.run.status}
print(json.dumps(seen))
"""


def config(url: str, budget: int) -> str:
    """Every picture in 50 superpixels, as many evaluations as the budget allows."""
    return f"""
storage: sqlite:///probe.db
endpoints:
  pictures:
    adapter: http
    url: {url}/v1/brightness/predict
    json: {{inputs: [{{$each: "{{{{ x | png | b64 }}}}"}}]}}
    items: predictions
    scores: {{map: scores}}
    batch: 8
    limits: {{concurrency: 8}}
probes:
  picture:
    kind: image
    inputs: pictures/*.png
    endpoints: [pictures]
    methods: [kernelshap]
    masker: {{segments: 50}}
    budget: {budget}
"""


def measure(url: str, pictures: int, each: int) -> dict[str, float]:
    """Peak resident memory (KiB) and CPU seconds of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "pictures").mkdir()
        rng = np.random.default_rng(0)
        for number in range(pictures):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(home / "pictures" / f"{number:03}.png")
        (home / "probe.yaml").write_text(config(url, each), encoding="utf-8")
        command = [sys.executable, "-c", _WORKER, str(home / "probe.yaml")]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seen: dict[str, float] = json.loads(result.stdout)
        return seen


def main() -> int:
    """Exit code 1 if the goal is missed."""
    chosen = options(__doc__ or "")
    few, many = _FEW, _FEW * (10 if chosen.quick else 100)
    pictures = 1 if chosen.quick else 25
    with running_server({}, models=("brightness",), preload=True) as server:
        small, large = measure(server.url, 1, few), measure(server.url, pictures, many // pictures)
    ratio = large["peak"] / small["peak"]
    complete = large["evaluations"] == many and small["evaluations"] == few
    lines = [
        Line(f"{few:,} evaluations", f"{small['peak'] / 1024:.0f} MiB, {small['cpu']:.1f} s CPU"),
        Line(
            f"{many:,} evaluations",
            f"{large['peak'] / 1024:.0f} MiB, {large['cpu']:.1f} s CPU",
            f"{ratio:.2f}",
            "≤ 1.20 of the memory",
            ratio <= 1.2 and complete,
        ),
    ]
    return finish("Peak memory", lines, json_file=chosen.json, packages=("numpy", "pillow", "sqlalchemy"))


if __name__ == "__main__":
    sys.exit(main())
