"""Maskers: an input cut into switchable features, and rendered with any of them switched off."""

from probe.maskers.alterations import AlterationMasker, LexiconLike, Range, SubstituteLike, SubstitutionMasker
from probe.maskers.base import Feature, Kind, Masker
from probe.maskers.factory import View, build_masker, known_settings
from probe.maskers.image import GridMasker, SuperpixelMasker
from probe.maskers.steps import ShiftMasker, StepMasker
from probe.maskers.tabular import TabularMasker
from probe.maskers.text import TextMasker

__all__ = [
    "AlterationMasker",
    "Feature",
    "GridMasker",
    "Kind",
    "LexiconLike",
    "Masker",
    "Range",
    "ShiftMasker",
    "StepMasker",
    "SubstituteLike",
    "SubstitutionMasker",
    "SuperpixelMasker",
    "TabularMasker",
    "TextMasker",
    "View",
    "build_masker",
    "known_settings",
]
