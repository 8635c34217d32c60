"""Signals as something to poll for: none is lost, however many come before anybody looks."""

from __future__ import annotations

import os
import select
import signal

from gaia.validator.app.machine.signal_wakeup import SignalWakeup


def test_a_storm_of_one_signal_hides_no_other() -> None:
    with SignalWakeup(signal.SIGHUP, signal.SIGTERM) as signals:
        for _ in range(2000):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([signals.fileno()], [], [], 5)[0]
        assert signals.received()[-1] is signal.SIGTERM
        assert signals.received() == []
        assert not select.select([signals.fileno()], [], [], 0)[0]


def test_signals_mean_what_they_did_before_once_it_is_left() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with SignalWakeup(signal.SIGUSR1):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
