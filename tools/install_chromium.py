"""Installs Debian's chromium for the tests that look at pages in a browser: ``python -m tools.install_chromium``.

Does nothing where it is there. Elsewhere than on Debian, set ``PROBE_TEST_CHROMIUM`` to the program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def chromium() -> str | None:
    """The program, if it is there."""
    return os.environ.get("PROBE_TEST_CHROMIUM") or shutil.which("chromium")


def install() -> str | None:
    """The program, installed if that can be done without asking; ``None`` if not."""
    found = chromium()
    if found is not None or shutil.which("apt-get") is None or os.geteuid() != 0:
        return found
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    for arguments in (
        ["update", "-qq"],
        ["install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
    ):
        done = subprocess.run(["apt-get", *arguments], check=False, **quiet)
        if done.returncode:
            return None
    return chromium()


if __name__ == "__main__":
    program = install()
    print(program or "chromium is not here and could not be installed; set PROBE_TEST_CHROMIUM to the program")
    sys.exit(program is None)
