"""A notebook as a page: its cells, run now, with what they print and draw."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config


def run_notebook(path: Path, timeout_s: int = 120) -> Any:
    """The notebook with the output of every cell, run in its own folder. Raises what a cell raises."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="gaia-notebook-") as sockets:
        client = NotebookClient(
            notebook,
            timeout=timeout_s,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
            # Unix sockets, so that nobody else on this machine can reach the kernel.
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        )
        client.execute()
    return notebook


def notebook_page(path: Path) -> str:
    """The notebook as Markdown; pictures stand in the page itself."""
    return "\n\n".join(part for cell in run_notebook(path).cells for part in _cell(cell))


def _cell(cell: Any) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    return [_fenced("python", cell.source), *(_output(output) for output in cell.outputs)]


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return _fenced("text", output.text)
    if "image/png" in output.data:
        return (
            f'<img alt="what the cell draws" src="data:image/png;base64,{"".join(output.data["image/png"].split())}">'
        )
    return _fenced("text", output.data["text/plain"])


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
