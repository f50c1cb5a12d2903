"""What each form makes of one log, byte for byte (tests/data/transcripts). A change here is a change of what clients see."""

import pytest
from contract.project import project
from harness.paths import ROOT

LOG = [("RUN_STARTED", {"metadata": {}}), ("MESSAGE_COMPLETED", {"message_id": "u", "role": "user", "content": "hidden"}),
       ("REASONING_DELTA", {"message_id": "r", "delta": "hm"}), ("REASONING_COMPLETED", {"message_id": "r"}),
       ("MESSAGE_STARTED", {"message_id": "m", "role": "assistant"}), ("MESSAGE_DELTA", {"message_id": "m", "delta": "Hi \"you\""}),
       ("TOOL_CALL_STARTED", {"tool_call_id": "t", "name": "find", "arguments": "{\"q\":\n1}"}),
       ("TOOL_CALL_COMPLETED", {"tool_call_id": "t", "name": "find", "result": [1]}),
       ("SOURCE_ADDED", {"source_id": "s", "entity_type": "web_page", "url": "https://example.com/", "title": "Example"}),
       ("MESSAGE_COMPLETED", {"message_id": "m", "content": "Hi \"you\"!"}), ("RUN_FINISHED", {})]  # fmt: skip


def transcript(name):
    return (ROOT / "tests" / "data" / "transcripts" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["ag-ui", "ai-sdk", "filtered", "ndjson"])
def test_a_transcript(form):
    ((answers, _),) = project([LOG], form=form)
    assert "".join(answer["bytes"] for answer in answers) == transcript(form)


def test_the_transcript_of_one_who_comes_late():
    """Behind the first piece of the message, which is open then."""
    ((_, joins),) = project([LOG], joins=[[6]])
    assert joins[6]["bytes"] == transcript("ag-ui-late")
