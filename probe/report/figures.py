"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

MINUS: Final = "−"
DASH: Final = "–"
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}


def finite(value: object) -> float | None:
    """``value`` as a float, or ``None`` if it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Decimals:
    """Writes the numbers of one table with the same number of decimals."""

    places: int
    scientific: bool = False

    @classmethod
    def for_values(cls, values: Iterable[float | None], *, digits: int = 3) -> Decimals:
        """So that the largest of ``values`` shows ``digits`` significant digits."""
        largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
        if largest == 0.0:
            return cls(digits - 1)
        places = digits - 1 - math.floor(math.log10(largest))
        if places > 7 or places < -4:
            return cls(digits - 1, scientific=True)
        return cls(max(0, places))

    def plain(self, value: float | None) -> str:
        """``0.873``; a dash for nothing or not a number."""
        if value is None or not math.isfinite(value):
            return DASH
        text = f"{value:.{self.places}{'e' if self.scientific else 'f'}}"
        if not text.strip("-0."):
            text = text.removeprefix("-")  # no "−0.00"
        return text.replace("-", MINUS)

    def signed(self, value: float | None) -> str:
        """``+0.41`` or ``−0.22``; zero has no sign."""
        text = self.plain(value)
        return f"+{text}" if value is not None and value > 0 and text.strip("0.e+") else text

    def interval(self, value: float | None, half: float | None) -> str:
        """``[0.37, 0.45]``, or ``±0.0004`` where these decimals cannot tell its ends apart, or ``exact``; empty where
        there is none."""
        if value is None or half is None:
            return ""
        if half <= 1e-12 * abs(value):
            return "exact"
        low, high = self.plain(value - half), self.plain(value + half)
        return f"±{Decimals.for_values([half], digits=1).plain(half)}" if low == high else f"[{low}, {high}]"


def figure(value: object, *, digits: int = 3) -> str:
    """One number on its own with ``digits`` significant digits; whole numbers in full."""
    number = finite(value)
    if number is None:
        return DASH
    if number == int(number) and abs(number) < 1e15:
        return count(int(number))
    return Decimals.for_values([number], digits=digits).plain(number)


def count(number: int) -> str:
    """With thin spaces between thousands: ``12 345``."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", MINUS)


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 request``, ``3 requests``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def money(micro: int, currency: str = "USD") -> str:
    """Micro-units of ``currency`` as an amount: ``$0.44``; small amounts keep the digits that count."""
    amount = micro / 1e6
    text = f"{amount:.2f}" if micro == 0 or abs(amount) >= 0.01 else f"{amount:.6f}".rstrip("0")
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{text}" if symbol else f"{text} {currency}"


def moment(when: datetime | None) -> str:
    """UTC to the second."""
    return DASH if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(span: timedelta) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Round numbers within [``low``, ``high``], at steps of 1, 2 or 5 times a power of ten; zero is one if inside."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low] if math.isfinite(low) else []
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]
