"""How a command ends."""

from __future__ import annotations

import errno

import pytest
import typer

from gaia.cli.exit import plain_errors
from gaia.contracts.errors import ConfigurationError, SourceFault, ValidatorFault


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigurationError("no such port; choose another"), 2, "gaia: no such port; choose another\n"),
        (ConfigurationError("this is wrong\nthat is missing"), 2, "gaia: this is wrong\ngaia: that is missing\n"),
        (SourceFault("cut short"), 2, "gaia: cut short\n"),
        (ValidatorFault("it did not start"), 1, "gaia: it did not start\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 2, "gaia: /data/x: No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_error_becomes_lines_on_stderr_and_an_exit_status(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, plain_errors():
        raise error
    assert ended.value.exit_code == status
    assert capsys.readouterr() == ("", said)


def test_error_of_ours_alone_is_explained() -> None:
    """A defect keeps its traceback."""
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError
