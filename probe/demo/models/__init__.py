"""The models of the demo endpoint, by name. What they are licensed under is in ``NOTICE`` beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from probe.demo.models.base import DemoModel, InputError
from probe.errors import ConfigError

__all__ = ["MODELS", "DemoModel", "InputError"]


def _efficientnet(cache: Path) -> DemoModel:
    from probe.demo.models.efficientnet import EfficientNetLite0

    return EfficientNetLite0.load(cache)


def _profanity(_cache: Path) -> DemoModel:
    from probe.demo.models.profanity import Profanity

    return Profanity.load()


def _vader(_cache: Path) -> DemoModel:
    from probe.demo.models.vader import Vader

    return Vader.load()


def _breast_cancer(_cache: Path) -> DemoModel:
    from probe.demo.models.breast_cancer import BreastCancer

    return BreastCancer.train()


def _credit(_cache: Path) -> DemoModel:
    from probe.demo.models.credit import Credit

    return Credit()


def _digits_planted(_cache: Path) -> DemoModel:
    from probe.demo.models.digits import Digits

    return Digits.train("planted")


def _digits_honest(_cache: Path) -> DemoModel:
    from probe.demo.models.digits import Digits

    return Digits.train("honest")


def _installed(name: str, factory: Callable[[Path], DemoModel]) -> Callable[[Path], DemoModel]:
    """``factory``, which says what to install if a package it needs is missing."""

    def load(cache: Path) -> DemoModel:
        try:
            return factory(cache)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the demo model {name!r} needs the package {error.name!r}, which is not installed: "
                "install blackbox-probe[demo]"
            ) from error

    return load


#: Name → factory. A factory takes the directory it may cache files in (made if need be), imports what it needs when it is
#: called, and raises :class:`ConfigError` if that is not installed.
MODELS: Mapping[str, Callable[[Path], DemoModel]] = MappingProxyType(
    {
        name: _installed(name, factory)
        for name, factory in {
            "efficientnet-lite0": _efficientnet,
            "profanity": _profanity,
            "vader": _vader,
            "breast-cancer": _breast_cancer,
            "credit": _credit,
            "digits-planted": _digits_planted,
            "digits-honest": _digits_honest,
        }.items()
    }
)
