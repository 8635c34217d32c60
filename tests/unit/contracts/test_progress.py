"""Who hears what a unit reports."""

from __future__ import annotations

import math
import threading

import pytest

from gaia.contracts.progress import Progress, progress_to, report_progress


def test_a_report_reaches_whoever_listens_and_nobody_else() -> None:
    heard: list[Progress] = []
    report_progress(0.1)
    with progress_to(heard.append):
        report_progress(0.5, "half")
    report_progress(0.9)
    assert heard == [Progress(fraction=0.5, note="half")]


def test_the_innermost_listener_hears() -> None:
    outer: list[Progress] = []
    inner: list[Progress] = []
    with progress_to(outer.append), progress_to(inner.append):
        report_progress(1.0)
    assert (len(outer), len(inner)) == (0, 1)


@pytest.mark.parametrize(("said", "heard"), [(-0.5, 0.0), (1.0000001, 1.0), (math.nan, 0.0), (math.inf, 1.0)])
def test_a_fraction_that_cannot_be_is_cut_off_not_refused(said: float, heard: float) -> None:
    reports: list[Progress] = []
    with progress_to(reports.append):
        report_progress(said)
    assert reports == [Progress(fraction=heard)]


def test_a_long_note_is_cut_off() -> None:
    reports: list[Progress] = []
    with progress_to(reports.append):
        report_progress(0.0, "x" * 1000)
    assert reports[0].note == "x" * 200


def test_another_thread_is_not_heard() -> None:
    reports: list[Progress] = []
    with progress_to(reports.append):
        thread = threading.Thread(target=report_progress, args=(0.5,))
        thread.start()
        thread.join(30)
    assert reports == []
