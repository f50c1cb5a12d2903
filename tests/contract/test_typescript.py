"""contracts/generated/events.ts compiles, tells payloads apart, and refuses what the schema refuses."""

import json
import re
import subprocess

import pytest
from harness.events import EVENTS
from harness.paths import ROOT

FLAGS = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--target", "es2022",
         "--moduleResolution", "node"]
IMPORT = 'import type { NewEvent, RunEvent } from "{}/contracts/generated/events";\n'


def compiled(*files):
    done = subprocess.run(["tsc", *FLAGS, *map(str, files)], capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout


@pytest.mark.requirement("R179", "R181")
def test_it_is_used_as_a_client_would():
    """Each line that must not compile carries @ts-expect-error, which fails when there is no error."""
    fine, said = compiled(ROOT / "tests/contract/events_use.ts")
    assert fine, said


@pytest.mark.requirement("R181")
def test_every_valid_sample_has_the_type_of_an_event(tmp_path):
    text = IMPORT.replace("{}", str(ROOT))
    for number, event in enumerate(EVENTS["valid"]):
        whole = {"run_id": "r", "seq": 1, "ts": "t", "payload": {}} | event
        whole.pop("schema_version", None)
        text += f"export const sample{number}: RunEvent = {json.dumps(whole)};\n"
    (tmp_path / "samples.ts").write_text(text)
    fine, said = compiled(tmp_path / "samples.ts")
    assert fine, said


@pytest.mark.requirement("R181")
def test_invalid_samples_that_types_can_tell_are_refused(tmp_path):
    """What is wrong by kind or by absence; lengths, ranges and formats are no matter of types."""
    telling = re.compile(r"^no |unknown operation|given up| (?:is|are) (?:an? (?!fraction)|no list|null)")
    text, count = IMPORT.replace("{}", str(ROOT)), 0
    for number, sample in enumerate(EVENTS["invalid"]):
        event = sample["event"]
        if telling.search(sample["why"]) and isinstance(event.get("payload"), dict):
            count += 1
            whole = {"run_id": "r", "seq": 1, "ts": "t"} | event
            text += f"// @ts-expect-error {sample['why']}\nexport const sample{number}: RunEvent = {json.dumps(whole)};\n"
    assert count > 25
    (tmp_path / "samples.ts").write_text(text)
    fine, said = compiled(tmp_path / "samples.ts")
    assert fine, said
