"""Makes the harness's fixtures known to every test below this folder."""

from harness.fixtures import *  # noqa: F401,F403
