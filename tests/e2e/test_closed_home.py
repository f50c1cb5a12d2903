"""A clone and its DIR below a home that only root can enter: the services run as another user all the same."""

import os
import shutil
import stat

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_programs_and_folder_below_a_closed_home(own_box):
    box = own_box(started=False, reachable=False)
    shutil.copytree(box.bin, box.home / "bin")
    box.bin = box.home / "bin"
    box.start()
    status = box.status()
    for row in [*status["actors"], *status["services"]]:
        assert os.stat(f"/proc/{row['pid']}").st_uid != 0, row["name"]
    assert not status["run_dir"].startswith(str(box.home))
    key = box.dir / "api-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert box.client().get("/api/v1/runs").status_code == 200
