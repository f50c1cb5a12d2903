"""One campaign (one server) for all kinds of faults; its last line sums up the whole run."""

import os
import secrets

import pytest
from chaos.campaign import Campaign

_finished = []


@pytest.fixture(scope="session")
def seed():
    """CHAOS_SEED repeats a run; shown by the last lines."""
    return os.environ.get("CHAOS_SEED") or secrets.token_hex(4)


@pytest.fixture(scope="module")
def campaign(seed):
    campaign = Campaign(seed)
    _finished.append(campaign)
    try:
        campaign.start()
        yield campaign
    finally:
        campaign.close()


def pytest_unconfigure():
    """After pytest's own summary, so that it stays the last line."""
    for campaign in _finished:
        print(campaign.summary(), flush=True)
