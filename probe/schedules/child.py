"""``python -m probe.schedules.child PARENT ARGUMENT …``: ``probe`` that stops in good order when its scheduler dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from probe.cli import main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _end_with(parent: int) -> None:
    """Get SIGTERM when ``parent`` dies. Elsewhere than on Linux there is no such thing: then the command runs to its end."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    main(sys.argv[2:])
