"""Makes the harness's fixtures known to every test below this folder."""

import pytest

from harness import given
from harness.fixtures import *  # noqa: F401,F403


def pytest_collection_modifyitems(items):
    """On a PostgreSQL that is not ours only those run that say they can."""
    if given.url() is None:
        return
    skip = pytest.mark.skip(reason="needs a PostgreSQL of its own")
    for item in items:
        if item.get_closest_marker("any_database") is None:
            item.add_marker(skip)
