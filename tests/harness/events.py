"""One valid payload of every event type a client may send."""

SAMPLES = {
    "MESSAGE_STARTED": {"message_id": "m1", "role": "assistant"},
    "MESSAGE_DELTA": {"message_id": "m1", "delta": "Hel"},
    "MESSAGE_COMPLETED": {"message_id": "m1", "role": "assistant", "content": "Hello"},
    "TOOL_CALL_STARTED": {"tool_call_id": "c1", "name": "look_up", "arguments": '{"q":"x"}'},
    "TOOL_CALL_COMPLETED": {"tool_call_id": "c1", "name": "look_up", "result": "42"},
    "TASK_STARTED": {"task_id": "t1", "title": "Gather"},
    "TASK_PROGRESS": {"task_id": "t1", "percent": 50},
    "TASK_COMPLETED": {"task_id": "t1"},
    "TASK_FAILED": {"task_id": "t2", "parent_task_id": "t1", "reason": "timeout"},
    "PLAN_CREATED": {"plan_id": "p1", "tasks": [{"task_id": "t1", "title": "Gather"}]},
    "PLAN_UPDATED": {
        "plan_id": "p1",
        "tasks": [{"task_id": "t1", "title": "Gather", "status": "done"},
                  {"task_id": "t2", "title": "Write", "parent_task_id": "t1"}],
    },  # fmt: skip
    "USAGE_RECORDED": {"model": "m", "input_tokens": 10, "output_tokens": 20, "cost_micros": 1234},
    "CUSTOM": {"name": "anything", "value": [1, None, "x"]},
}
ENDINGS = ("RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED")
