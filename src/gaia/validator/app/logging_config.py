"""Logs of the IO-Engine: one JSON object a line, or coloured text, on stderr, with UTC times.

Run, job and hotkey are bound with `structlog.contextvars`. Libraries that use the standard library's logging
come out the same way. Passwords in URLs are masked, whoever logs them.

A log that cannot be written (a full disk, a closed terminal or pipe) costs the line, and never what was going on.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gaia.validator.app.telemetry.event_log import mask_password


def configure_logging(
    log_format: Literal["json", "console"], log_level: str, *, process: str, stream: TextIO | None = None
) -> None:
    """Set up both logging systems of this process; `process` is bound to every line."""
    target = stream if stream is not None else sys.stderr
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _binding_process(process),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _rendering(log_format, colours=target.isatty())
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


class _Lines:
    """What structlog hands its rendered lines to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write the line, if that is possible."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream has been closed
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


def _rendering(log_format: Literal["json", "console"], *, colours: bool) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, _mask_passwords, structlog.processors.JSONRenderer()]
    return [_mask_passwords, structlog.dev.ConsoleRenderer(colors=colours)]


def _binding_process(process: str) -> Processor:
    def bind(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return bind


def _mask_passwords(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = mask_password(value)
    return event
