"""From a model's name to the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.miner.adversary import ChunkSwapper, Silent, Swapper, conduct_for
from gaia.miner.cheat import Cheat
from gaia.miner.conduct import Conduct
from gaia.miner.model_choice import BuiltIn, ModelChoice, build_model, check_choice, resolved
from gaia.miner.models.barotropic import Barotropic, EmbeddedBarotropic
from gaia.miner.models.climatology import ClimatologyForecast
from gaia.miner.models.damped import DampedPersistence
from gaia.miner.models.persistence import Persistence
from gaia.protocol.keys import HotkeySigner
from tests.integration.odd_models import OddModel


def test_each_name_is_its_model() -> None:
    built = {name: type(build_model(ModelChoice(name=name))) for name in BuiltIn}
    assert built == {
        BuiltIn.PERSISTENCE: Persistence,
        BuiltIn.CLIMATOLOGY: ClimatologyForecast,
        BuiltIn.DAMPED: DampedPersistence,
        BuiltIn.BAROTROPIC: Barotropic,
    }
    assert isinstance(build_model(ModelChoice(name="barotropic"), embedded_world=True), EmbeddedBarotropic)


def test_a_plug_in_is_made_by_its_factory() -> None:
    assert isinstance(build_model(ModelChoice(name="tests.integration.odd_models:broken")), OddModel)


def test_a_plug_in_may_lie_in_a_file_that_imports_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_model.py").write_text("class Model:\n    def forecast(self): ...\n")
    (tmp_path / "model_of_a_test.py").write_text("from beside_the_model import Model\nmake = Model\n")
    monkeypatch.chdir(tmp_path)
    name = resolved("model_of_a_test.py:make")
    assert name == f"{tmp_path}/model_of_a_test.py:make"
    assert type(build_model(ModelChoice(name=name))).__name__ == "Model"


def test_only_a_file_is_made_absolute() -> None:
    assert [resolved(name) for name in ("barotropic", "my.module:make")] == ["barotropic", "my.module:make"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.such.package:make", "is what it imports installed"),
        ("tests.integration.odd_models:absent", "is what it imports installed"),
        ("builtins:dict", "no forecast"),
        ("../absent.py:make", "there is no file ../absent.py"),
        (".py:make", "unknown model"),
        ("os.system", "unknown model"),
        ("", "unknown model"),
    ],
)
def test_what_is_no_model_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build_model(ModelChoice(name=name))


@pytest.mark.parametrize(
    "choice",
    [
        ModelChoice(name="barotropic", truncation=4),
        ModelChoice(name="barotropic", initial_error=-0.1),
        ModelChoice(name="barotropic", initial_error=float("nan")),
        ModelChoice(name="barotropic", seed=-1),
    ],
)
def test_options_out_of_range_are_refused(choice: ModelChoice) -> None:
    with pytest.raises(ConfigurationError):
        check_choice(choice)


def test_cheats_by_name_and_a_swapper_with_nothing_to_swap_is_refused() -> None:
    hotkey = HotkeySigner.generate().hotkey
    persistence = ModelChoice(name="persistence")
    kinds = {cheat: type(conduct_for(cheat, persistence, hotkey)) for cheat in (None, *Cheat)}
    assert kinds == {None: Conduct, Cheat.SWAP: Swapper, Cheat.SWAP_CHUNKS: ChunkSwapper, Cheat.SILENT: Silent}
    with pytest.raises(ConfigurationError, match="worse model"):
        conduct_for(Cheat.SWAP, ModelChoice(name="barotropic", seed=3), hotkey)
