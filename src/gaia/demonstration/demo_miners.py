"""The miners of the demonstration: good, bad and dishonest ones."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gaia.miner.adversary import Cheat
from gaia.miner.model_choice import BuiltIn, resolved


class DemoMiner(Struct, frozen=True, kw_only=True):
    """One miner."""

    name: str
    """The name of its model in the leaderboard."""
    model: BuiltIn | str
    """A built-in model, or FILE.py:factory, or package.module:factory."""
    truncation: int = 42
    initial_error: float = 0.0
    seed: int = 0
    cheat: Cheat | None = None

    def options(self) -> list[str]:
        """The options of `gaia miner` for this miner."""
        numbers = ["--truncation", str(self.truncation), "--initial-error", str(self.initial_error)]
        cheat = [] if self.cheat is None else ["--cheat", self.cheat.value]
        return ["--model", str(self.model), *numbers, "--seed", str(self.seed), *cheat]


def guest(model: str) -> DemoMiner:
    """A miner with your own model. Its name is that of its file or module, without the folder."""
    return DemoMiner(name=Path(model).name, model=resolved(model))


TWIN_CAST = (
    DemoMiner(name="barotropic", model=BuiltIn.BAROTROPIC, initial_error=0.2, seed=11),
    DemoMiner(name="barotropic, poor start", model=BuiltIn.BAROTROPIC, initial_error=0.5, seed=12),
    DemoMiner(name="barotropic, coarse", model=BuiltIn.BAROTROPIC, truncation=21, initial_error=0.2, seed=13),
    DemoMiner(name="damped persistence", model=BuiltIn.DAMPED),
    DemoMiner(name="climatology", model=BuiltIn.CLIMATOLOGY),
    DemoMiner(name="swaps after committing", model=BuiltIn.BAROTROPIC, initial_error=0.6, seed=14, cheat=Cheat.SWAP),
    DemoMiner(name="never answers", model=BuiltIn.PERSISTENCE, cheat=Cheat.SILENT),
)
"""The miners in the embedded world. The right ranking is known: the smaller the initial error, the better."""

REAL_CAST = (
    DemoMiner(name="barotropic", model=BuiltIn.BAROTROPIC),
    DemoMiner(name="persistence", model=BuiltIn.PERSISTENCE),
    DemoMiner(name="damped persistence", model=BuiltIn.DAMPED),
    DemoMiner(name="climatology", model=BuiltIn.CLIMATOLOGY),
    DemoMiner(name="swaps after committing", model=BuiltIn.PERSISTENCE, cheat=Cheat.SWAP),
    DemoMiner(name="never answers", model=BuiltIn.PERSISTENCE, cheat=Cheat.SILENT),
)
"""The miners for real analyses."""
