"""
Judges what became of the jobs of a chaos run (I12): what clients were told and what workers did, against the table of the jobs
and the log. Nothing here talks to a server; tests/chaos/test_job_checker.py breaks every rule once.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from chaos.checker import Violation

ENDS = {"JOB_COMPLETED": "success", "JOB_FAILED": "error", "JOB_CANCELLED": "cancelled"}
# Where a job is after an event, from where it may come. A claim that was given back leaves no event.
STEPS = {
    "JOB_QUEUED": (("none", "ended"), "waiting"),
    "JOB_STARTED": (("waiting", "running"), "running"),
    "JOB_PROGRESS": (("running",), "running"),
    "JOB_RETRYING": (("running",), "waiting"),
    "JOB_COMPLETED": (("running",), "ended"),
    "JOB_FAILED": (("running", "waiting"), "ended"),
    "JOB_CANCELLED": (("running", "waiting"), "ended"),
}


class Job(NamedTuple):
    id: str
    key: str
    status: str
    attempts: int
    max_attempts: int
    run: str
    finish_seq: int
    token: str  # last_token: of the report that ended it, or None
    rule: int  # on_dep_fail
    claimed: bool  # somebody has it


class Event(NamedTuple):
    position: int
    run: str
    seq: int
    kind: str
    payload: dict


@dataclass
class Story:
    """puts, cancelled, retried: as the lanes of chaos.jobs write them. facts: lines of the workers' diaries."""

    jobs: list = field(default_factory=list)
    events: list = field(default_factory=list)  # of all runs, by position: those of jobs, and effects
    deps: list = field(default_factory=list)  # (parent id, child id)
    puts: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)  # (job id, status answered)
    retried: set = field(default_factory=set)  # perhaps begun again by hand
    facts: list = field(default_factory=list)
    overdue: list = field(default_factory=list)  # (job id, worker, seconds): claims whose lease was over for too long
    problems: list = field(default_factory=list)


def check_jobs(story: Story) -> list:
    found = [Violation("I12", "-", text) for text in story.problems]
    found += [
        Violation("I12", "-", f"job {job} was with {worker} {seconds:.1f} s after the end of its lease")
        for job, worker, seconds in story.overdue
    ]
    by_job = defaultdict(list)
    for event in story.events:
        if event.kind in STEPS:
            by_job[event.payload["job_id"]].append(event)
    jobs = {job.id: job for job in story.jobs}
    for job in story.jobs:
        found += [Violation("I12", job.run, f"{job.key} ({job.id}): {text}") for text in check_one(job, by_job[job.id], story)]
    found += check_puts(story.puts, jobs)
    found += check_parents(story.deps, jobs, by_job)
    found += check_reports(story, jobs)
    found += check_effects(story, jobs)
    return found


def check_one(job, events, story) -> list:
    """At most one end, exactly one of what has run out; the table says what the log says."""
    found, place, ends = [], "none", []
    counted = 0
    for event in events:
        sources, after = STEPS[event.kind]
        if place not in sources:
            found.append(f"{event.kind} at {event.run}#{event.seq} of one that is {place}")
        if event.kind == "JOB_QUEUED" and place == "ended" and job.id not in story.retried:
            found.append("is queued again, nobody asked for it")
        if event.kind == "JOB_QUEUED":
            counted = 0
        if event.kind in ("JOB_RETRYING",):
            counted = max(counted, event.payload.get("attempt", 0))
        if event.kind in ENDS:
            ends.append(event)
        place = after
    if len(ends) > 1 + sum(event.kind == "JOB_QUEUED" for event in events[1:]):
        found.append(f"has {len(ends)} ends")
    if not events or events[0].kind != "JOB_QUEUED":
        found.append("its queueing is not in the log")
    if counted > job.max_attempts or job.attempts > job.max_attempts:
        found.append(f"{max(counted, job.attempts)} attempts of {job.max_attempts}")
    told = ENDS[ends[-1].kind] if place == "ended" else "pending"
    if told != job.status:
        found.append(f"is {job.status}, the log says {told}")
    if place == "ended" and (job.run, job.finish_seq) != (ends[-1].run, ends[-1].seq):
        found.append(f"has its end at {job.run}#{job.finish_seq}, the log has it at {ends[-1].run}#{ends[-1].seq}")
    if job.status == "pending":
        found.append("has not ended" + (", somebody has it" if job.claimed else ""))
    if [answer for of, answer in story.cancelled if of == job.id] and job.status != "cancelled":
        found.append(f"its cancellation was acknowledged, it ended as {job.status}")
    return found


def check_puts(puts, jobs) -> list:
    """What was acknowledged is there, under one id for each key, whoever asked."""
    found, named = [], defaultdict(set)
    by_key = {job.key: job for job in jobs.values()}
    for put in puts:
        for wanted, job_id in zip(put["jobs"], put["ids"] or ()):
            named[wanted["job_key"]].add(job_id)
        if put["ids"] is not None and len(put["ids"]) != len(put["jobs"]):
            found.append(Violation("I12", put["run"], f"{len(put['jobs'])} jobs queued, {len(put['ids'])} answered"))
    for put in puts:
        there = [wanted["job_key"] in by_key for wanted in put["jobs"] if wanted["job_key"] not in named]
        if any(there) and not all(there):
            found.append(Violation("I12", put["run"], f"{there.count(True)} jobs of a batch of {len(put['jobs'])} are there"))
    for key, ids in named.items():
        if key not in by_key:
            found.append(Violation("I12", "-", f"{key} was acknowledged as {ids} and is not there"))
        elif ids != {by_key[key].id}:
            found.append(Violation("I12", "-", f"{key} was told as {ids}, it is {by_key[key].id}"))
    if len(by_key) != len(jobs):
        found.append(Violation("I12", "-", f"{len(jobs)} jobs have {len(by_key)} keys"))
    return found


def check_parents(deps, jobs, by_job) -> list:
    """No child begins before all its parents have ended, and with which ends it begins its rule says."""
    found = []
    for parent_id, child_id in deps:
        parent, child = jobs.get(parent_id), jobs.get(child_id)
        if parent is None or child is None:
            continue
        ended = [event for event in by_job[parent_id] if event.kind in ENDS]
        began = [event.position for event in by_job[child_id] if event.kind == "JOB_STARTED"]
        if began and (not ended or began[0] < ended[0].position):
            found.append(Violation("I12", child.run, f"{child.key} began before the end of {parent.key}"))
        if began and ended and ended[0].kind != "JOB_COMPLETED" and child.rule != 2:
            only = not any(event.kind == "JOB_QUEUED" and event.position < began[0] for event in by_job[child_id][1:])
            if only and not any(event.kind == "JOB_COMPLETED" and event.position < began[0] for event in by_job[parent_id]):
                found.append(Violation("I12", child.run, f"{child.key} began though {parent.key} had ended by {ended[0].kind}"))
    return found


def check_reports(story, jobs) -> list:
    """A report that was taken has had its effect; one that was refused, none."""
    found = []
    for fact in story.facts:
        if fact.get("status") is None or fact.get("word") not in ("complete", "fail", "release"):
            continue
        job, status = jobs.get(fact["job"]), fact["status"]
        if job is None:
            found.append(Violation("I12", "-", f"a report for {fact['job']}, which is not there"))
            continue
        name = f"{job.key}: {fact['word']} of {fact['token']}"
        won = job.status == "success" and job.token == fact["token"]
        if fact["word"] == "complete":
            if status == 200 and fact["told"]["status"] == "success" and not won:
                found.append(Violation("I12", job.run, f"{name} was taken, it is {job.status} by {job.token}"))
            if status == 409 and won:
                found.append(Violation("I12", job.run, f"{name} was refused, yet it is done by it"))
        elif status == 200 and won:
            found.append(Violation("I12", job.run, f"{name} was taken, yet it is done by it"))
        if status not in (0, 200, 409):
            found.append(Violation("I12", job.run, f"{name}: {status} {fact['told']}"))
    return found


def check_effects(story, jobs) -> list:
    """In the log: once, exactly with the end that was taken. Outside: under one key for each job, whatever the attempt."""
    found, inside = [], Counter()
    for event in story.events:
        if event.kind == "CUSTOM":
            inside[event.payload["value"]["token"]] += 1
    keys, owners = defaultdict(set), defaultdict(set)
    wanted = {}
    for fact in story.facts:
        if "effect" in fact:
            keys[fact["job"]].add(fact["effect"])
            owners[fact["effect"]].add(fact["job"])
        if fact.get("word") == "complete" and "said" in fact:
            wanted.setdefault(fact["token"], bool(fact["said"]["events"]))
    for job_id, effects in keys.items():
        if len(effects) > 1:
            found.append(Violation("I12", "-", f"job {job_id} had the effect keys {effects}"))
    for effect, of in owners.items():
        if len(of) > 1:
            found.append(Violation("I12", "-", f"the effect key {effect} is that of {of}"))
    reported = {fact["token"] for fact in story.facts if fact.get("word") == "complete"}
    winners = {job.token for job in jobs.values()}
    again = {job.token for job in jobs.values() if job.id in story.retried}
    for token, count in inside.items():
        if count > 1 or token not in reported:
            found.append(Violation("I12", "-", f"the effect of {token} is {count} times in the log"))
        if token not in winners and not story.retried:
            found.append(Violation("I12", "-", f"the effect of {token} is in the log, its end is not"))
    for job in jobs.values():
        if job.status == "success" and wanted.get(job.token) and inside[job.token] != 1 and job.token not in again:
            found.append(Violation("I12", job.run, f"{job.key} is done by {job.token}, {inside[job.token]} effects in the log"))
        if job.status == "success" and job.token in reported and not keys[job.id]:
            found.append(Violation("I12", job.run, f"{job.key} is done without its effect"))
    return found
