"""How much of the sphere a grid point stands for: the names of the two rules. Imports no numpy, as policies do not."""

from __future__ import annotations

from enum import StrEnum


class AreaWeighting(StrEnum):
    """How much of the sphere a row of the grid stands for."""

    CELL = "cell"
    """Exact: sin(upper edge) - sin(lower edge), edges half-way between rows, clipped at the poles."""
    COSINE = "cosine"
    """cos(latitude), as in much of the literature. A row at the pole has no weight."""
