"""Durations as Pacemaker and its agents write them: `90s`, `2min`, `1500ms`, `90`, `PT1M30S`. Pure."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"\s*(\d{1,12}(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
# crm_get_msec: without a unit it is seconds.
_UNITS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6,
    "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0,
}  # fmt: skip
_ISO = re.compile(
    r"P(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?(?:T(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9})S)?)?"
)
_ISO_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(text: str) -> float | None:
    """The duration in seconds; None for what is none. Months and years have no length and are none either."""
    if (plain := _PLAIN.fullmatch(text)) is not None:
        unit = _UNITS.get(plain[2].lower())
        return None if unit is None else float(plain[1]) * unit
    iso = _ISO.fullmatch(text.strip())
    given = {} if iso is None else {unit: int(number) for unit, number in iso.groupdict().items() if number}
    return float(sum(number * _ISO_UNITS[unit] for unit, number in given.items())) if given else None
