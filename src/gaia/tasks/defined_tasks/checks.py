"""Comparisons of stored values with recomputed ones, for explanations of scores and of pay."""

from __future__ import annotations

from msgspec import Struct

ROUNDING = 1e-12
"""The relative difference that the same sum may have on another processor."""


class Check(Struct, frozen=True, kw_only=True):
    """A stored value and the recomputed one."""

    what: str
    stored: float | str | None
    recomputed: float | str | None
    allowed: float = 0.0
    """The greatest absolute difference that counts as equal. Texts must be equal."""
    agrees: bool


def checked(what: str, stored: float | None, recomputed: float | None, allowed: float | None = None) -> Check:
    """Compare two numbers. Without `allowed` they may differ by `ROUNDING`. None equals only None, NaN nothing."""
    if stored is None or recomputed is None:
        agrees = stored is recomputed
        return Check(what=what, stored=stored, recomputed=recomputed, agrees=agrees)
    most = ROUNDING * max(abs(stored), abs(recomputed)) if allowed is None else allowed
    agrees = abs(stored - recomputed) <= most
    return Check(what=what, stored=stored, recomputed=recomputed, allowed=most, agrees=agrees)


def identical(what: str, stored: str | None, recomputed: str | None) -> Check:
    """Compare two texts, such as digests."""
    return Check(what=what, stored=stored, recomputed=recomputed, agrees=stored == recomputed)
