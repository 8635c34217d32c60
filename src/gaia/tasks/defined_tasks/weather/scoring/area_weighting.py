"""How much of the sphere a grid point stands for: the two rules that scoring knows. No numpy: policies name them."""

from __future__ import annotations

from enum import StrEnum


class AreaWeighting(StrEnum):
    """How much of the sphere a row of the grid stands for."""

    CELL = "cell"
    """Exact: sin(upper edge) - sin(lower edge), edges half-way between rows, clipped at the poles."""
    COSINE = "cosine"
    """cos(latitude), as much of the literature has it; a row at the pole counts nothing."""
