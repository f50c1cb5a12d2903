"""The checker of jobs finds every kind of fault that it is there for, and nothing in a good story."""

import copy

import pytest
from chaos.job_checker import Event, Job, Story, check_jobs

RUN = "r"
T1, T2, T3 = "t1", "t2", "t3"


def fact(word, job, token, status=200, **told):
    return {"word": word, "job": job, "token": token, "attempt": 1, "status": status, "told": {"status": "success"} | told}


def log(*said) -> list:
    events = []
    for n, (kind, job, *more) in enumerate(said, 1):
        payload = {"name": "effect", "value": {"job": job, "token": more[0]}} if kind == "CUSTOM" else {"job_id": job}
        events.append(Event(n, RUN, n, kind, payload | ({"attempt": more[0]} if kind == "JOB_RETRYING" else {})))
    return events


def good() -> Story:
    """a is lost once, then done; b depends on it; c is cancelled. A report of the lost claim came late."""
    story = Story()
    story.events = log(
        ("JOB_QUEUED", "a"), ("JOB_QUEUED", "b"), ("JOB_QUEUED", "c"), ("JOB_STARTED", "a"), ("JOB_RETRYING", "a", 1),
        ("JOB_STARTED", "a"), ("JOB_CANCELLED", "c"), ("CUSTOM", "a", T2), ("JOB_COMPLETED", "a"), ("JOB_STARTED", "b"),
        ("JOB_COMPLETED", "b"),
    )  # fmt: skip
    story.jobs = [Job("a", "ka", "success", 2, 2, RUN, 9, T2, 0, False), Job("b", "kb", "success", 1, 2, RUN, 11, T3, 0, False),
                  Job("c", "kc", "cancelled", 0, 2, RUN, 7, None, 0, False)]  # fmt: skip
    story.deps = [("a", "b")]
    story.puts = [
        {"run": RUN, "jobs": [{"job_key": "ka"}, {"job_key": "kb"}], "ids": ["a", "b"]},
        {"run": RUN, "jobs": [{"job_key": "kc"}], "ids": ["c"]}, {"run": RUN, "jobs": [{"job_key": "kd"}, {"job_key": "ke"}], "ids": None},
    ]  # fmt: skip
    story.cancelled = [("c", "cancelled")]
    story.facts = [
        {"effect": "ea", "job": "a", "token": T1}, {"effect": "ea", "job": "a", "token": T2}, {"effect": "eb", "job": "b", "token": T3},
        {"word": "complete", "job": "a", "token": T2, "said": {"events": [1]}}, fact("complete", "a", T2), fact("complete", "a", T1, 409),
        {"word": "complete", "job": "b", "token": T3, "said": {"events": []}}, fact("complete", "b", T3),
    ]  # fmt: skip
    return story


def job(story, n, **changed):
    story.jobs[n] = story.jobs[n]._replace(**changed)


def say(story, *said):
    for event in log(*said):
        story.events.append(event._replace(position=len(story.events) + 1, seq=len(story.events) + 1))


def without(story, n):
    del story.events[n]


BROKEN = {
    "is success, the log says pending": lambda s: without(s, 10),
    "has 2 ends": lambda s: say(s, ("JOB_COMPLETED", "a")),
    "of one that is ended": lambda s: say(s, ("JOB_STARTED", "a")),
    "nobody asked for it": lambda s: say(s, ("JOB_QUEUED", "c")),
    "its queueing is not in the log": lambda s: without(s, 2),
    "attempts of 1": lambda s: job(s, 0, max_attempts=1),
    "the log has it at": lambda s: job(s, 1, finish_seq=4),
    "has not ended, somebody has it": lambda s: (without(s, 10), job(s, 1, status="pending", claimed=True)),
    "its cancellation was acknowledged": lambda s: s.cancelled.append(("b", "running")),
    "was acknowledged as": lambda s: s.puts.append({"run": RUN, "jobs": [{"job_key": "kx"}], "ids": ["x"]}),
    "was told as": lambda s: s.puts.append({"run": RUN, "jobs": [{"job_key": "kc"}], "ids": ["z"]}),
    "jobs of a batch of": lambda s: s.puts.append({"run": RUN, "jobs": [{"job_key": "kd"}, {"job_key": "ke"}], "ids": None}) or s.jobs.append(
        Job("d", "kd", "success", 1, 1, RUN, 1, None, 0, False)),
    "began before the end of": lambda s: s.deps.append(("b", "a")),
    "had ended by JOB_CANCELLED": lambda s: s.deps.append(("c", "b")),
    "was taken, it is success by": lambda s: s.facts.append(fact("complete", "a", T1)),
    "was refused, yet it is done by it": lambda s: s.facts.append(fact("complete", "a", T2, 409)),
    "was taken, yet it is done by it": lambda s: s.facts.append(fact("fail", "a", T2)),
    "had the effect keys": lambda s: s.facts.append({"effect": "ez", "job": "a", "token": T2}),
    "the effect key ea is that of": lambda s: s.facts.append({"effect": "ea", "job": "b", "token": T3}),
    "is 2 times in the log": lambda s: say(s, ("CUSTOM", "a", T2)),
    "is in the log, its end is not": lambda s: (say(s, ("CUSTOM", "a", T1)), s.facts.append(fact("complete", "a", T1, 0))),
    "0 effects in the log": lambda s: without(s, 7),
    "is done without its effect": lambda s: s.facts.__delitem__(2),
    "s after the end of its lease": lambda s: s.overdue.append(("a", "w", 9.0)),
    "a program's own": lambda s: s.problems.append("a program's own"),
}  # fmt: skip


def test_a_good_story_has_no_faults():
    assert check_jobs(good()) == []


@pytest.mark.requirement("I12")
@pytest.mark.parametrize("text", BROKEN)
def test_every_fault_is_found(text):
    story = copy.deepcopy(good())
    BROKEN[text](story)
    assert [found for found in check_jobs(story) if text in str(found)], check_jobs(story)
