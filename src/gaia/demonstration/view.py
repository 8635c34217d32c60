"""Shows the demonstration in a terminal: the steps of the run, the state of every miner, the leaderboard."""

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
"""Step -> the states of the miners that still have to do this step."""

_COLOURS = {"failed": "red", "scored": "green", "verified": "cyan", "frozen": "blue"}


class TerminalView:
    """Redraws in place on a terminal. Elsewhere it prints each change once. Use it as a context manager."""

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

    def state(self, state: DemoState) -> None:
        if not self._console.is_terminal:
            act = _act(state)
            if act != self._last_act:
                self._console.print(f"  {act}")
                self._last_act = act
            return
        self._live.update(Group(*_steps(state), *_miners(state)))

    def outcome(self, outcome: DemoOutcome, data_dir: Path, json_file: Path | None) -> None:
        self._console.print(_leaderboard(outcome))
        if not any(c.skill_ref is not None for c in outcome.components):
            self._console.print("day-1 gate and clone check: not applicable (no reference forecast in this run)")
        self._console.print(_errors(outcome))
        state = "read back from the chain" if outcome.weights.read_back else "not read back"
        self._console.print(f"weights   set and {state}" if outcome.weights.set else "weights   not set")
        self._console.print(f"picture   {outcome.picture}", soft_wrap=True)
        self._console.print(f"logs      {data_dir / 'logs'}", soft_wrap=True)
        self._console.print(f"data      {data_dir} (delete it when you are done)", soft_wrap=True)
        if json_file is not None:
            self._console.print(f"result    {json_file}", soft_wrap=True)


def _act(state: DemoState) -> str:
    if state.run_state is None:
        return state.act
    return next((step for step in STEPS if _waiting(step, state)), STEPS[-1]).title


def _waiting(step: RunStep, state: DemoState) -> int:
    """How many miners still wait for this step; for a step that is done once, 1 until it is done."""
    if step.name == "combine_scores":
        return int(state.run_state != "scored")
    if step.name == "set_weights":
        return int(not (state.weights and state.weights.read_back))
    return sum(miner.state in _STATES_BEFORE[step.name] for miner in state.miners)


def _steps(state: DemoState) -> list[Text]:
    if state.run_state is None:
        return [Text(f"... {state.act}", style="bold")]
    waiting = {step: _waiting(step, state) for step in STEPS}
    current = next((step for step in STEPS if waiting[step]), None)
    lines = [
        _line(step.title, done=not waiting[step], current=step is current, note=_note(step, state)) for step in STEPS
    ]
    is_scored = state.run_state == "scored"
    lines.append(_line("draw the best forecast", done=state.has_picture, current=is_scored and not state.has_picture))
    return lines


def _note(step: RunStep, state: DemoState) -> str:
    left = state.seconds_to_deadline
    if step.name == "collect_commitments" and left is not None and left > 0:
        return f"   deadline in {left:.0f} s"
    return ""


def _line(name: str, *, done: bool, current: bool, note: str = "") -> Text:
    mark, style = ("[x]", "green") if done else ("[>]", "bold yellow") if current else ("[ ]", "dim")
    return Text(f"{mark} {name}{note}", style=style)


def _miners(state: DemoState) -> list[Table]:
    if not state.miners:
        return []
    table = Table("uid", "miner", "state", "leads", "what happened", box=None, pad_edge=False)
    for miner in state.miners:
        colour = _COLOURS.get(miner.state, "white")
        cell = Text(miner.state, style=colour)
        table.add_row(str(miner.uid), f"{miner.hotkey[:8]}...", cell, str(miner.leads_scored), miner.reason or "")
    return [table]


def _few(leads: list[int]) -> list[int]:
    """At most five leads, so that they fit a terminal. The last one is always among them."""
    step = -(-len(leads) // 5)
    return leads[::-1][::step][::-1]


def _leaderboard(outcome: DemoOutcome) -> Table:
    table = Table("rank", "uid", "model", "score", "emission", "status", title=f"Run {outcome.run_id}", box=None)
    for standing in outcome.leaderboard:
        colour = "red" if standing.reason_code else "green"
        why = f"{standing.reason_code}: {standing.reason}" if standing.reason_code else standing.status
        score = "unknown" if standing.score is None else f"{standing.score:.4f}"
        table.add_row(
            str(standing.rank), str(standing.uid), outcome.models[standing.hotkey], score,
            f"{standing.emission_weight:.4f}", Text(why, style=colour, overflow="fold"),
        )  # fmt: skip
    return table


def _errors(outcome: DemoOutcome) -> Table:
    """The root-mean-square errors of the 500 hPa height, the best-known field, or else of the first field."""
    variable, level = ("z", 500)
    if not any((c.variable, c.level) == (variable, level) for c in outcome.components):
        variable, level = outcome.components[0].variable, outcome.components[0].level or 0
    scale, unit = (STANDARD_GRAVITY, "gpm") if variable == "z" else (1.0, "in its unit")
    rows = [c for c in outcome.components if (c.variable, c.level or 0) == (variable, level)]
    leads = _few(sorted({c.lead_h for c in rows}))
    table = Table(
        "model", *(f"+{lead} h" for lead in leads), title=f"RMSE of {variable}{level or ''}, {unit}", box=None
    )
    for standing in outcome.leaderboard:
        mine = {c.lead_h: c.rmse / scale for c in rows if c.hotkey == standing.hotkey}
        if mine:
            table.add_row(
                outcome.models[standing.hotkey], *(f"{mine[lead]:.1f}" if lead in mine else "" for lead in leads)
            )
    return table
