"""What makes two evaluations the same: the ledger's key.

The key covers the endpoint's identity (URL, model, request template: everything that shapes the rendered request), the
input's canonical bytes and the repeat index. It is taken before rendering, so that a ledger hit costs no image encoding and
a new version of an encoder does not make anyone pay again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters import Instance

_VERSION = b"probe-evaluation-1"


def plain(value: Any) -> Any:
    """``value`` with numpy scalars and arrays turned into what JSON knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def canonical(instance: Instance) -> bytes:
    """Bytes that two inputs share exactly if a model cannot tell them apart.

    Column order counts, because positional endpoints see it.
    """
    if isinstance(instance, str):
        return b"text\0" + instance.encode("utf-8", "surrogatepass")
    if isinstance(instance, np.ndarray) and instance.dtype == np.uint8:
        shape = ",".join(map(str, instance.shape))
        return b"image\0" + shape.encode() + b"\0" + np.ascontiguousarray(instance).tobytes()
    if isinstance(instance, Mapping):
        return b"row\0" + _json([[key, plain(value)] for key, value in instance.items()])
    return b"list\0" + _json([plain(value) for value in instance])


def evaluation_key(identity: str, instance: Instance, repeat: int = 0) -> bytes:
    """32 bytes that identify one evaluation of ``instance`` at the endpoint with ``identity``."""
    digest = hashlib.sha256()
    for part in (_VERSION, identity.encode(), canonical(instance), str(repeat).encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
