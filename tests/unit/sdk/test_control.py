"""Stopping and pausing a run."""

from __future__ import annotations

import threading

import pytest

from traceplane_sdk.control import Control
from traceplane_sdk.errors import Stopped, StopReason


def test_a_graver_reason_replaces_a_lighter_one_and_never_the_other_way() -> None:
    control = Control()
    control.stop(StopReason.CANCELED)
    control.stop(StopReason.DRAINING)
    assert control.reason is StopReason.CANCELED
    control.stop(StopReason.LEASE_LOST)
    assert control.reason is StopReason.LEASE_LOST


def test_a_stopped_run_ends_at_its_next_look() -> None:
    control = Control()
    control.check()
    control.stop(StopReason.DRAINING)
    with pytest.raises(Stopped):
        control.check()
    with pytest.raises(Stopped):
        control.wait(3600)


def test_a_paused_run_is_held_until_it_may_go_on() -> None:
    control, passed = Control(), threading.Event()
    control.pause(True)
    thread = threading.Thread(target=lambda: (control.check(), passed.set()), daemon=True)
    thread.start()
    assert not passed.wait(0.1)
    control.pause(False)
    assert passed.wait(10)


def test_a_stop_ends_a_pause() -> None:
    control = Control()
    control.pause(True)
    control.stop(StopReason.DRAINING)
    with pytest.raises(Stopped):
        control.check()


def test_a_wake_up_ends_the_wait_it_comes_during_or_the_next_one_and_no_other() -> None:
    control, waiting = Control(), threading.Event()
    control.wake()
    control.wait_for_wake(3600)  # woken while the run was busy
    thread = threading.Thread(target=lambda: (waiting.set(), control.wait_for_wake(3600)), daemon=True)
    thread.start()
    assert waiting.wait(10)
    control.wake()
    thread.join(10)
    assert not thread.is_alive()
    control.wait_for_wake(0.01)
    assert control.reason is None


def test_a_wake_up_ends_no_other_wait() -> None:
    control = Control()
    control.wake()
    control.wait(0.01)
    control.wait_for_wake(3600)
    assert control.reason is None
