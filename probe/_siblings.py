"""Makes sure that the packages next to this one are ours: ``adapters`` and ``storage`` are names that others use too.

Called before anything else is imported, so it needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import sys
from base64 import urlsafe_b64encode
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

DISTRIBUTION = "blackbox-probe"
SIBLINGS = ("adapters", "storage")
_HOME = Path(__file__).resolve().parent.parent


class SiblingError(ImportError):
    """A package next to this one is not ours."""


def check_siblings() -> None:
    """Ends with exit code 2 and one line where ``probe`` is the program, and raises where it is a library.

    Raises:
        SiblingError: one line: what was found where, and what to do.
    """
    for name in SIBLINGS:
        problem = _problem(name)
        if problem is not None:
            _refuse(SiblingError(problem, name=name))


def _problem(name: str) -> str | None:
    expected = _HOME / name / "__init__.py"
    found = _location(name)
    if found is None:
        return f"the package {name!r} is missing; it belongs to {DISTRIBUTION} and is expected in {expected.parent}{_ADVICE}"
    if found != expected:
        return f"{name!r} is imported from {found}, which is not part of {DISTRIBUTION} (that is {expected}){_ADVICE}"
    recorded = _recorded(expected)
    if recorded is not None and recorded != _digest(expected):
        return (
            f"{found} is no longer the file that {DISTRIBUTION} installed: another distribution wrote over it{_ADVICE}"
        )
    return None


_ADVICE = (
    f"; install {DISTRIBUTION} into an environment of its own, and start it in another directory than that of the other"
)


def _location(name: str) -> Path | None:
    """The file that ``import name`` runs or has run; the directory if it is one without ``__init__.py``."""
    try:
        spec = find_spec(name)
    except ValueError:  # imported by hand, without a spec
        spec = None
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        if spec is None:
            return None
        origin = spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)
    return None if origin is None else Path(origin).resolve()


def _recorded(file: Path) -> str | None:
    """The digest under which our distribution installed ``file``; ``None`` if it did not (a checkout, an editable install)."""
    try:
        files = metadata.distribution(DISTRIBUTION).files or ()
    except metadata.PackageNotFoundError:
        return None
    wanted = file.relative_to(_HOME).parts
    for entry in files:
        if entry.parts == wanted and entry.hash is not None and entry.hash.mode == "sha256":
            return entry.hash.value if Path(str(entry.locate())).resolve() == file else None
    return None


def _digest(file: Path) -> str:
    return urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()


def _refuse(error: SiblingError) -> NoReturn:
    if _is_program():
        sys.stderr.write(f"probe: {error}\n")
        raise SystemExit(2) from None
    raise error


def _is_program() -> bool:
    """Whether the process was started as ``probe`` or ``python -m probe``; importing is one of the first things it does."""
    arguments = sys.orig_argv[1:]
    if "-m" in arguments:
        module = arguments[arguments.index("-m") + 1 :][:1]
        return module == ["probe"] or module[:1] == ["probe.cli"]
    return Path(sys.argv[0]).stem == "probe" if sys.argv else False
