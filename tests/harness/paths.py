"""Where things lie in the source tree, and which build is under test."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_TRAJECTORIES = ROOT / "tests" / "data" / "sample-trajectories.jsonl"
SHARED_TRAJECTORIES = ROOT.parent / "shared" / "data" / "agent-trajectories.jsonl"


def bin_dir() -> Path:
    """SIGNALBOX_TEST_BIN names the build's bin folder; without it the release build is tested."""
    chosen = Path(os.environ.get("SIGNALBOX_TEST_BIN", "build/bin"))
    return chosen if chosen.is_absolute() else ROOT / chosen


def fault_bin_dir() -> Path:
    """A build with fault points: the build under test when it has them, else build/fault/bin."""
    chosen = bin_dir()
    if chosen.parent.name in ("fault", "asan", "coverage"):
        return chosen
    return ROOT / "build" / "fault" / "bin"


def is_asan() -> bool:
    return bin_dir().parent.name == "asan"


def is_instrumented() -> bool:
    """Built to be looked at, not to be measured."""
    return bin_dir().parent.name in ("asan", "coverage")


def patience() -> float:
    """Factor on every waiting limit; sanitizer builds are slow."""
    return float(os.environ.get("SIGNALBOX_TEST_PATIENCE", "3" if is_instrumented() else "1"))


def trajectories() -> Path:
    """The real conversations if they lie beside the repository, else our own small sample."""
    return SHARED_TRAJECTORIES if SHARED_TRAJECTORIES.exists() else SAMPLE_TRAJECTORIES
