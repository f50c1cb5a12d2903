"""Makes the harness's fixtures known to every test below this folder."""

import pytest

from harness import given
from harness.fixtures import *  # noqa: F401,F403


# Files are handed to the workers whole and in order: one of these at the end would keep one worker busy and the others idle.
LONG_FILES = ("test_supervisor", "test_streams", "test_restarts", "test_traces", "test_quotas", "test_doctor", "test_jwks",
              "test_rate_limits", "test_websocket", "test_producers", "test_fork")  # fmt: skip


def pytest_collection_modifyitems(items):
    """Long files come first. On a PostgreSQL that is not ours only those tests run that say they can."""
    items.sort(key=lambda item: item.path.stem not in LONG_FILES)
    if given.url() is None:
        return
    skip = pytest.mark.skip(reason="needs a PostgreSQL of its own")
    for item in items:
        if item.get_closest_marker("any_database") is None:
            item.add_marker(skip)
