"""Waiting on observable states. No test sleeps for a guessed time; all of them come here."""

import time

from harness.paths import patience

POLL_S = 0.01
POLL_MAX_S = 0.1


class WaitTimeout(AssertionError):
    """A state that should have come did not come."""


def wait_until(predicate, what="the condition", timeout=10.0):
    """Returns the first true value of predicate(); WaitTimeout after `timeout` seconds.

    An exception of predicate counts as "not yet" and is shown when time runs out.
    """
    deadline = time.monotonic() + timeout * patience()
    pause, last = POLL_S, None
    while True:
        try:
            value = predicate()
            last = None
            if value:
                return value
        except WaitTimeout:
            raise
        except Exception as error:  # the thing waited for may not be reachable yet
            value, last = None, error
        if time.monotonic() >= deadline:
            seen = f"; last error: {last!r}" if last is not None else f"; last value: {value!r}"
            raise WaitTimeout(f"{what} did not come within {timeout * patience():.1f} s{seen}")
        time.sleep(pause)
        pause = min(pause * 1.3, POLL_MAX_S)


def stays_true(predicate, seconds, what="the condition"):
    """Asserts that predicate() holds at every look for `seconds` (for "nothing happens" claims)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert predicate(), f"{what} did not stay true for {seconds} s"
        time.sleep(POLL_S)
