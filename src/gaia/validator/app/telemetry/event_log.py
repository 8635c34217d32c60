"""The supervisor's log: the same lines as `logging_config` makes for the IO-Engine, with the standard library and
msgspec alone. structlog would more than double what this process imports, and it must stay small.

Never raises: a log that cannot be written (a full disk, a closed pipe) must not end the validator.
"""

from __future__ import annotations

import contextlib
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec

LogLevel = Literal["debug", "info", "warning", "error"]
_LEVELS: Final = ("debug", "info", "warning", "error")
_URL_PASSWORD: Final = re.compile(r"(\w+://[^\s:/@]*):[^\s@]+@")


class EventLog:
    """Writes events, past-tense names with their facts, at or above a level."""

    def __init__(
        self,
        log_format: Literal["json", "console"] = "json",
        log_level: LogLevel = "info",
        *,
        process: str = "supervisor",
        stream: TextIO | None = None,
    ) -> None:
        self._json = log_format == "json"
        self._least = _LEVELS.index(log_level)
        self._process = process
        self._stream = stream if stream is not None else sys.stderr

    def info(self, event: str, **facts: Any) -> None:
        """Something happened as it should."""
        self._write("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Something went wrong and has been dealt with."""
        self._write("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Something went wrong that a person should look at."""
        self._write("error", event, facts)

    def _write(self, level: LogLevel, event: str, facts: dict[str, Any]) -> None:
        if _LEVELS.index(level) < self._least:
            return
        timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        shown = {name: mask_password(value) if isinstance(value, str) else value for name, value in facts.items()}
        if self._json:
            line = msgspec.json.encode(
                {**shown, "event": event, "process": self._process, "level": level, "timestamp": timestamp},
                enc_hook=str,
            ).decode()
        else:
            pairs = " ".join(f"{name}={value}" for name, value in shown.items())
            line = f"{timestamp} [{level:<7}] {event:<24} {pairs}".rstrip()
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream has been closed
            self._stream.write(f"{line}\n")
            self._stream.flush()


def mask_password(text: str) -> str:
    """The text without the passwords of URLs in it.

    >>> mask_password("postgresql://gaia:secret@host/name")
    'postgresql://gaia:***@host/name'
    """
    return _URL_PASSWORD.sub(r"\1:***@", text) if "://" in text else text
