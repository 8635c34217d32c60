"""The demonstration in a terminal: the corridor step by step, every miner's state, the leaderboard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gaia.demonstration.demo_run import DemoOutcome, DemoState
from gaia.demonstration.scenario import Scenario
from gaia.tasks.defined_tasks.weather.validator.steps import STEPS, RunStep
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY

_STATES_BEFORE = {
    "open_run": (),
    "request_forecasts": ("listed",),
    "collect_commitments": ("listed", "acknowledged"),
    "freeze_forecast": ("listed", "acknowledged", "committed"),
    "verify_forecast": ("listed", "acknowledged", "committed", "frozen"),
    "score_forecast": ("listed", "acknowledged", "committed", "frozen", "verified"),
}
"""The steps that each miner goes through, and the states of the miners that still have one before them."""

_COLOURS = {"failed": "red", "scored": "green", "verified": "cyan", "frozen": "blue"}


class TerminalView:
    """Redraws in place on a terminal; prints each change once elsewhere. Use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._last_act = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def opening(self, data_dir: Path) -> None:
        self._console.print(f"[bold]Gaia[/bold] demonstration in {data_dir}")

    def planned(self, scenario: Scenario) -> None:
        spec = scenario.spec
        leads = f"+{spec.scored_lead_h[0]}...{spec.scored_lead_h[-1]} h"
        rows, columns = spec.grid.shape
        self._console.print(
            f"forecast from {scenario.init_time:%Y-%m-%d %HZ}, {leads}: {len(spec.fields())} fields, "
            f"{rows} x {columns} points, {len(scenario.cast)} miners"
        )

    def scene(self, scene: DemoState) -> None:
        if not self._console.is_terminal:
            act = _act(scene)
            if act != self._last_act:
                self._console.print(f"  {act}")
                self._last_act = act
            return
        self._live.update(Group(*_corridor(scene), *_miners(scene)))

    def finale(self, finale: DemoOutcome, data_dir: Path, json_file: Path | None) -> None:
        self._console.print(_leaderboard(finale))
        if not any(c.skill_ref is not None for c in finale.components):
            self._console.print("day-1 gate and clone check: not applicable (no reference forecast in this run)")
        self._console.print(_errors(finale))
        state = "read back from the chain" if finale.weights.read_back else "not read back"
        self._console.print(f"weights   set and {state}" if finale.weights.set else "weights   not set")
        self._console.print(f"picture   {finale.picture}", soft_wrap=True)
        self._console.print(f"logs      {data_dir / 'logs'}", soft_wrap=True)
        self._console.print(f"data      {data_dir} (delete it when you are done)", soft_wrap=True)
        if json_file is not None:
            self._console.print(f"result    {json_file}", soft_wrap=True)


def _act(scene: DemoState) -> str:
    if scene.run_state is None:
        return scene.act
    return next((step for step in STEPS if _waiting(step, scene)), STEPS[-1]).title


def _waiting(step: RunStep, scene: DemoState) -> int:
    """How much of the run has this step before it: miners, or 1 for a step that is done once."""
    if step.name == "combine_scores":
        return int(scene.run_state != "scored")
    if step.name == "set_weights":
        return int(not (scene.weights and scene.weights.read_back))
    return sum(miner.state in _STATES_BEFORE[step.name] for miner in scene.miners)


def _corridor(scene: DemoState) -> list[Text]:
    if scene.run_state is None:
        return [Text(f"... {scene.act}", style="bold")]
    waiting = {step: _waiting(step, scene) for step in STEPS}
    current = next((step for step in STEPS if waiting[step]), None)
    lines = [
        _line(step.title, done=not waiting[step], current=step is current, note=_note(step, scene)) for step in STEPS
    ]
    is_scored = scene.run_state == "scored"
    lines.append(_line("draw the best forecast", done=scene.has_picture, current=is_scored and not scene.has_picture))
    return lines


def _note(step: RunStep, scene: DemoState) -> str:
    left = scene.seconds_to_deadline
    if step.name == "collect_commitments" and left is not None and left > 0:
        return f"   deadline in {left:.0f} s"
    return ""


def _line(name: str, *, done: bool, current: bool, note: str = "") -> Text:
    mark, style = ("[x]", "green") if done else ("[>]", "bold yellow") if current else ("[ ]", "dim")
    return Text(f"{mark} {name}{note}", style=style)


def _miners(scene: DemoState) -> list[Table]:
    if not scene.miners:
        return []
    table = Table("uid", "miner", "state", "leads", "what happened", box=None, pad_edge=False)
    for miner in scene.miners:
        colour = _COLOURS.get(miner.state, "white")
        state = Text(miner.state, style=colour)
        table.add_row(str(miner.uid), f"{miner.hotkey[:8]}...", state, str(miner.leads_scored), miner.reason or "")
    return [table]


def _few(leads: list[int]) -> list[int]:
    """So many that they fit a terminal, the last always among them."""
    step = -(-len(leads) // 5)
    return leads[::-1][::step][::-1]


def _leaderboard(finale: DemoOutcome) -> Table:
    table = Table("rank", "uid", "model", "score", "emission", "status", title=f"Run {finale.run_id}", box=None)
    for standing in finale.leaderboard:
        colour = "red" if standing.reason_code else "green"
        why = f"{standing.reason_code}: {standing.reason}" if standing.reason_code else standing.status
        score = "unknown" if standing.score is None else f"{standing.score:.4f}"
        table.add_row(
            str(standing.rank), str(standing.uid), finale.models[standing.hotkey], score,
            f"{standing.emission_weight:.4f}", Text(why, style=colour, overflow="fold"),
        )  # fmt: skip
    return table


def _errors(finale: DemoOutcome) -> Table:
    """Root-mean-square errors of the 500 hPa height, the field that everybody knows how to read; else of the first."""
    variable, level = ("z", 500)
    if not any((c.variable, c.level) == (variable, level) for c in finale.components):
        variable, level = finale.components[0].variable, finale.components[0].level or 0
    scale, unit = (STANDARD_GRAVITY, "gpm") if variable == "z" else (1.0, "in its unit")
    rows = [c for c in finale.components if (c.variable, c.level or 0) == (variable, level)]
    leads = _few(sorted({c.lead_h for c in rows}))
    table = Table(
        "model", *(f"+{lead} h" for lead in leads), title=f"RMSE of {variable}{level or ''}, {unit}", box=None
    )
    for standing in finale.leaderboard:
        mine = {c.lead_h: c.rmse / scale for c in rows if c.hotkey == standing.hotkey}
        if mine:
            table.add_row(
                finale.models[standing.hotkey], *(f"{mine[lead]:.1f}" if lead in mine else "" for lead in leads)
            )
    return table
