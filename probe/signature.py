"""A detached signature beside a bundle, made and checked by OpenSSH's ``ssh-keygen -Y``: nothing of our own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from probe.errors import ConfigError, EvidenceBroken

_NAMESPACE = "probe-bundle"


def sign(path: Path, key: Path) -> Path:
    """Sign the file with an SSH private key (or the public one, if an agent has the private); returns ``path.sig``.

    Raises:
        ConfigError: there is no ``ssh-keygen``, or it does not take the key.
    """
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)
    done = _run(["-Y", "sign", "-n", _NAMESPACE, "-f", str(key), str(path)])
    if done.returncode != 0 or not signature.exists():
        raise ConfigError(f"{key}: the bundle cannot be signed with it: {_line(done)}")
    return signature


def check(path: Path, signature: Path, *, allowed: Path, identity: str) -> None:
    """Raises :class:`EvidenceBroken` unless ``identity`` of the file ``allowed`` (see ssh-keygen(1)) signed the file."""
    for needed in (signature, allowed):
        if not needed.is_file():
            raise ConfigError(f"{needed}: no such file")
    options = ["-Y", "verify", "-n", _NAMESPACE, "-f", str(allowed), "-I", identity, "-s", str(signature)]
    done = _run(options, path.read_bytes())
    if done.returncode != 0:
        raise EvidenceBroken(f"{signature}: not a signature of {path.name} by {identity}: {_line(done)}")


def _run(options: list[str], content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ConfigError("signatures are made by ssh-keygen, which is not installed here (on Debian: openssh-client)")
    return subprocess.run([program, *options], input=content or b"", capture_output=True, check=False)  # noqa: S603


def _line(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"ssh-keygen ended with {done.returncode}"
