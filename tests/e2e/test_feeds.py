"""The streams of a thread and of a tenant: what they show, their cursors, and every way of being cut off."""

import json
import random
import threading
import uuid

import httpx
import pytest
from harness.client import assert_problem, custom, random_id
from harness.feeds import TENANT_FEED, FeedEvent, FeedFollower, open_feed, take, thread_feed, truth
from harness.keys import make_key, make_tenant, revoke
from harness.sse import NoFrame, StreamEnded
from harness.waiting import wait_until


class Tenant:
    """A tenant of one test, so that its feed shows only what the test wrote."""

    def __init__(self, box, name="feeds"):
        self.box, self.runs = box, []
        self.key = make_tenant(box, name)
        self.client = box.client(self.key)

    def new_run(self, thread=None):
        self.runs.append(self.client.new_run(**({"thread_id": thread} if thread else {})))
        return self.runs[-1]

    def write(self, *lengths, thread=None):
        """Runs of these lengths, written in turns."""
        runs = [self.new_run(thread) for _ in lengths]
        for n in range(max(lengths)):
            for run, length in zip(runs, lengths, strict=True):
                if n < length:
                    self.client.append(run, "CUSTOM", custom([run, n])["payload"])
        return runs

    def truth(self, runs=None):
        return truth(self.box, self.runs if runs is None else runs)

    def open(self, path=TENANT_FEED, **options):
        return open_feed(self.box, path, self.key, **options)

    def follow(self, path=TENANT_FEED, **options):
        follower = FeedFollower(self.box, path, self.key, **options)
        follower.start()
        return follower


@pytest.fixture
def tenant(box):
    return Tenant(box)


def nothing_more(stream, seconds=0.7):
    """Only pings, and that it is caught up."""
    with pytest.raises(NoFrame):
        while True:
            frame = stream.next_frame(seconds if not stream.text else 0.1)
            assert frame.event in ("ping", "caught-up") or frame.comments, frame
            seconds -= 0.35


def complete(follower, wanted, timeout=30):
    """Until the follower has as many events as wanted() says; then exactly these."""
    def look():
        assert not follower.violations, follower.violations
        return len(follower.events) >= len(wanted())
    try:
        wait_until(look, f"all events at {follower.path}", timeout)
    finally:
        follower.stop()
    assert follower.events == wanted()


@pytest.mark.requirement("R046", "R057", "R059")
def test_head_pings_and_frames_are_as_on_run_streams(box, tenant):
    (run,) = tenant.write(3)
    with tenant.open() as stream, box.stream(run, key=tenant.key) as plain:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        first = stream.next_frame()
        assert first.event == "ping" and first.data == "{}" and first.comments and 1000 <= stream.retry_ms <= 3000
        for _ in range(4):
            ours, theirs = stream.next_event(), plain.next_event()
            assert ours.data == theirs.data and ours.event is None and ours.raw.count(b"\n") == 1
            assert ours.id != theirs.id and len(ours.id) == 24
        assert stream.to_caught_up()[0] == []
        pings = [stream.next_frame(5) for _ in range(2)]
        assert all(ping.event == "ping" and ping.data == "{}" and ping.comments and ping.id is None for ping in pings)


@pytest.mark.requirement("I5", "I7")
def test_a_tenants_feed_shows_its_events_and_no_others_in_the_order_of_the_log(box, tenant):
    other = Tenant(box, "somebody else")
    threads = [threading.Thread(target=who.write, args=(7, 12, 3)) for who in (tenant, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who in (tenant, other):
        with who.open() as stream:
            assert [event for _, event in take(stream, 25)] == who.truth()
            nothing_more(stream)


@pytest.mark.requirement("I5")
def test_every_cursor_gives_exactly_what_is_behind_it(tenant):
    thread = random_id()
    tenant.write(6, 9, thread=thread)
    for path in (TENANT_FEED, thread_feed(thread)):
        with tenant.open(path) as stream:
            seen = take(stream, 17)
        assert [event for _, event in seen] == tenant.truth()
        assert len({cursor for cursor, _ in seen}) == 17
        for n, (cursor, _) in enumerate(seen[:-1]):
            with tenant.open(path, cursor=cursor) as by_header, tenant.open(path, query=f"cursor={cursor}") as by_query:
                assert take(by_header, 16 - n) == seen[n + 1 :]
                assert take(by_query, 16 - n) == seen[n + 1 :]
        with tenant.open(path, cursor=seen[9][0], query=f"cursor={seen[2][0]}") as stream:
            assert take(stream, 7) == seen[10:]


@pytest.mark.requirement("I5")
def test_a_thread_of_fifty_runs(tenant):
    thread = random_id()
    runs, stop = [], threading.Event()

    def noise():
        while not stop.is_set():
            tenant.write(2)
            tenant.write(1, thread=random_id())

    beside = threading.Thread(target=noise)
    beside.start()
    try:
        runs.append(tenant.new_run(thread))
        early = tenant.follow(thread_feed(thread), leave=lambda: random.random() < 0.05)
        for _ in range(49):
            runs.append(tenant.new_run(thread))
        for n in range(150):
            tenant.client.append(random.choice(runs), "CUSTOM", custom(n)["payload"])
        for run in runs[::3]:
            tenant.client.finish(run)
    finally:
        stop.set()
        beside.join()
    complete(early, lambda: tenant.truth(runs))
    late = tenant.follow(thread_feed(thread))
    complete(late, lambda: tenant.truth(runs))


def test_head_shows_that_it_is_there(tenant):
    answer = tenant.client.request("HEAD", TENANT_FEED)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    assert tenant.client.request("HEAD", thread_feed(random_id())).status_code == 404


def test_from_latest_begins_at_the_end(tenant):
    (run,) = tenant.write(3)
    with tenant.open(query="from=latest") as stream, tenant.open(query="from=start") as whole:
        stream.next_frame()
        tenant.client.append(run, "CUSTOM", custom("new")["payload"])
        (_, event), = take(stream, 1)
        assert event.seq == 5
        assert [each.seq for _, each in take(whole, 5)] == [1, 2, 3, 4, 5]


def test_a_feed_outlives_the_end_of_its_runs(tenant):
    thread = random_id()
    run = tenant.new_run(thread)
    with tenant.open(thread_feed(thread)) as stream:
        tenant.client.finish(run)
        assert [event.type for _, event in take(stream, 2)] == ["RUN_STARTED", "RUN_FINISHED"]
        tenant.new_run(thread)
        assert take(stream, 1)[0][1].type == "RUN_STARTED"


@pytest.mark.requirement("I5")
def test_a_fork_shows_its_copies_where_it_was_made(tenant):
    thread = random_id()
    (source,) = tenant.write(4, thread=thread)
    with tenant.open() as whole, tenant.open(thread_feed(thread)) as part:
        for stream in (whole, part):
            take(stream, 5)
        answer = tenant.client.post(f"/api/v1/runs/{source}/fork", {"seq": 3})
        assert answer.status_code == 201, answer.text
        tenant.runs.append(answer.json()["id"])
        tenant.client.append(tenant.runs[-1], "CUSTOM", custom("after the fork")["payload"])
        tenant.client.append(source, "CUSTOM", custom("in the source")["payload"])
        for stream in (whole, part):
            seen = [event for _, event in take(stream, 5)]
            assert seen == tenant.truth()[5:]
            assert [(event.run_id == source, event.seq) for event in seen] == [
                (False, 1), (False, 2), (False, 3), (False, 4), (True, 6)
            ]  # fmt: skip


def test_a_run_that_starts_later_is_in_its_threads_stream(tenant):
    thread = random_id()
    tenant.new_run(thread)
    with tenant.open(thread_feed(thread)) as stream:
        take(stream, 1)
        tenant.runs.append(tenant.client.create_run(thread_id=thread, delay_ms=300)["id"])
        ((_, event),) = take(stream, 1)
        assert (event.run_id, event.type) == (tenant.runs[-1], "RUN_STARTED")


@pytest.mark.parametrize("query", ["after_seq=3", "fromSeq=3", "after_seq=0&cursor=x"])
def test_seqs_are_refused(tenant, query):
    thread = random_id()
    tenant.new_run(thread)
    for path in (TENANT_FEED, thread_feed(thread)):
        assert_problem(tenant.client.get(f"{path}?{query}"), 400, "invalid-parameter")


def test_wrong_parameters_are_refused(tenant):
    assert_problem(tenant.client.get(TENANT_FEED + "?from=yesterday"), 400, "invalid-parameter")
    assert_problem(tenant.client.get(TENANT_FEED + "?cursor=a&from=latest"), 400, "invalid-parameter")
    assert_problem(tenant.client.get(TENANT_FEED + "?cursor=a&cursor=a"), 400)


@pytest.mark.requirement("R047")
def test_a_cursor_works_only_where_it_was_given_out(box, tenant):
    threads = [random_id(), random_id()]
    for thread in threads:
        tenant.new_run(thread)
    other = Tenant(box, "somebody else")
    other.new_run(threads[0])
    feeds = [(tenant, TENANT_FEED), (tenant, thread_feed(threads[0])), (tenant, thread_feed(threads[1])),
             (other, TENANT_FEED), (other, thread_feed(threads[0]))]
    cursors = []
    for who, path in feeds:
        with who.open(path) as stream:
            cursors.append(take(stream, 1)[0][0])
    for at, (who, path) in enumerate(feeds):
        for n, cursor in enumerate(cursors):
            if n == at:
                with who.open(path, cursor=cursor) as stream:
                    assert stream.status == 200
            else:
                assert_problem(who.client.get(path, params={"cursor": cursor}), 400, "invalid-cursor")
                assert_problem(who.client.get(path, headers={"Last-Event-ID": cursor}), 400, "invalid-cursor")


@pytest.mark.requirement("R047")
def test_a_cursor_that_was_touched_is_refused(tenant):
    tenant.new_run()
    with tenant.open() as stream:
        cursor = take(stream, 1)[0][0]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    wrong = ["", "0", "7", cursor[:-1], cursor + "A", cursor + "=", "*" * 24, "A" * 24, cursor.swapcase()]
    for n in range(24):
        wrong.append(cursor[:n] + random.choice(alphabet.replace(cursor[n], "")) + cursor[n + 1 :])
    for text in wrong:
        assert_problem(tenant.client.get(TENANT_FEED, params={"cursor": text}), 400, "invalid-cursor")
        assert_problem(tenant.client.get(TENANT_FEED, headers={"Last-Event-ID": text}), 400, "invalid-cursor")


def test_threads_of_others_and_unknown_ones_are_not_found(box, tenant):
    other = Tenant(box, "somebody else")
    theirs = random_id()
    other.new_run(theirs)
    answers = {tenant.client.get(thread_feed(thread)).text for thread in (theirs, random_id(), str(uuid.UUID(int=0)))}
    assert len(answers) == 1, "a foreign thread is answered like one that does not exist"
    assert_problem(tenant.client.get(thread_feed(theirs)), 404, "not-found")
    assert_problem(tenant.client.get(thread_feed("x")), 404, "not-found")
    assert_problem(box.client().get(TENANT_FEED, auth=False), 401, "unauthenticated")
    weak = box.client(make_key(box, scopes=["append"]))
    assert_problem(weak.get(TENANT_FEED), 403, "forbidden")


def test_the_same_thread_id_in_two_tenants_are_two_threads(box, tenant):
    other = Tenant(box, "somebody else")
    thread = random_id()
    for who in (tenant, other):
        who.write(2, thread=thread)
    with tenant.open(thread_feed(thread)) as ours, other.open(thread_feed(thread)) as theirs:
        assert [event for _, event in take(ours, 3)] == tenant.truth()
        assert [event for _, event in take(theirs, 3)] == other.truth()
        tenant.client.append(tenant.runs[0], "CUSTOM", custom(1)["payload"])
        assert take(ours, 1)[0][1].run_id == tenant.runs[0]
        nothing_more(theirs)


class Load:
    """Appends to a tenant's runs, some in the thread, until stopped."""

    def __init__(self, tenant, thread, writers=3):
        self.tenant, self.thread = tenant, thread
        self.in_thread = [tenant.new_run(thread) for _ in range(3)]
        self.outside = [tenant.new_run() for _ in range(3)]
        self.stopping = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self._write, args=(n,)) for n in range(writers)]
        for thread_ in self.threads:
            thread_.start()

    def _write(self, number):
        choose = random.Random(number)
        client = self.tenant.box.client(self.tenant.key)
        n = 0
        while not self.stopping.is_set():
            n += 1
            run = choose.choice(self.in_thread + self.outside)
            events = [custom([number, n, "x" * choose.randrange(200)]) for _ in range(choose.randrange(1, 9))]
            try:
                answer = client.post_events(run, {"events": events}, key=f"{number}-{n}")
                if answer.status_code not in (201, 503):
                    self.failures.append(answer.text)
            except httpx.TransportError:
                pass  # an api was killed; what became of it is in the log or not
            except Exception as error:
                self.failures.append(repr(error))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.failures, self.failures[:3]


def start_followers(tenant, thread):
    def sometimes():
        return random.random() < 0.03

    def away():
        return random.random() * 0.3

    return [
        (tenant.follow(), None), (tenant.follow(leave=sometimes, pause_s=away), None),
        (tenant.follow(leave=sometimes), None), (tenant.follow(thread_feed(thread)), "thread"),
        (tenant.follow(thread_feed(thread), leave=sometimes, pause_s=away), "thread"),
    ]  # fmt: skip


def check_followers(tenant, load, followers):
    try:
        for follower, what in followers:
            complete(follower, lambda what=what: tenant.truth(load.in_thread if what else None))
    finally:
        for follower, _ in followers:
            follower.stop()


@pytest.mark.requirement("I5", "I7")
def test_joins_under_load_show_the_same_log_to_everybody(tenant):
    thread = random_id()
    load = Load(tenant, thread)
    followers = start_followers(tenant, thread)
    try:
        for _ in range(6):
            before = len(tenant.truth())
            wait_until(lambda before=before: len(tenant.truth()) > before + 40, "more events", 60)
            followers.append((tenant.follow(random.choice((TENANT_FEED, thread_feed(thread)))), None))
            if followers[-1][0].path != TENANT_FEED:
                followers[-1] = (followers[-1][0], "thread")
    finally:
        load.stop()
    assert sum(follower.left for follower, _ in followers) > 5
    check_followers(tenant, load, followers)


@pytest.mark.requirement("I5", "R044")
@pytest.mark.parametrize("actor", ["streamer-1", "sequencer-1", "api-1"])
def test_kills_under_load_lose_and_double_nothing(own_box, actor):
    box = own_box({"restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000})
    tenant, thread = Tenant(box), random_id()
    load = Load(tenant, thread)
    followers = start_followers(tenant, thread)
    try:
        for _ in range(3):
            before = len(tenant.truth())
            wait_until(lambda before=before: len(tenant.truth()) > before + 40, "more events", 60)
            box.settled(actor)
            box.kill_and_wait(actor)
    finally:
        load.stop()
    check_followers(tenant, load, followers)


@pytest.mark.requirement("R060")
def test_a_planned_restart_of_the_streamers_breaks_no_feed(own_box):
    box = own_box({"streamer.count": 1})
    tenant, thread = Tenant(box), random_id()
    load = Load(tenant, thread)
    followers = [(tenant.follow(), None), (tenant.follow(thread_feed(thread)), "thread")]
    try:
        wait_until(lambda: all(len(follower.events) > 30 for follower, _ in followers), "events", 60)
        for _ in range(2):
            box.command("restart", "streamer")
            before = len(tenant.truth())
            wait_until(lambda before=before: len(tenant.truth()) > before + 40, "more events", 60)
    finally:
        load.stop()
    check_followers(tenant, load, followers)
    assert all((follower.connections, follower.broken) == (1, 0) for follower, _ in followers)


@pytest.mark.slow
def test_a_revoked_key_ends_its_feeds_within_ten_seconds(box, tenant):
    thread = random_id()
    run = tenant.new_run(thread)
    kept_key = make_key_of(box, tenant)
    with tenant.open() as whole, tenant.open(thread_feed(thread)) as part, open_feed(box, TENANT_FEED, kept_key) as kept:
        for stream in (whole, part, kept):
            take(stream, 1)
        revoke(box, tenant.key)
        for stream in (whole, part):
            with pytest.raises(StreamEnded) as end:
                while True:
                    stream.next_frame(10)
            assert not end.value.tidy
        box.client(kept_key).append(run, "CUSTOM", custom(1)["payload"])
        assert take(kept, 1)[0][1].seq == 2


@pytest.mark.requirement("R055")
def test_a_reader_that_stops_reading_gets_everything_later(box, tenant):
    (run,) = tenant.write(1)
    with tenant.open(receive_buffer=4096) as slow, tenant.open() as quick:
        take(slow, 2)
        for n in range(40):
            tenant.client.append_many(run, [custom([n, k, "y" * 5000]) for k in range(10)])
        wanted = tenant.truth()
        assert [event for _, event in take(quick, len(wanted), 30)] == wanted
        assert [event for _, event in take(slow, len(wanted) - 2, 30)] == wanted[2:]


def make_key_of(box, tenant) -> str:
    """A second key of the same tenant."""
    tenant_id = box.database().value("select tenant_id from runs where run_id = %s::uuid", tenant.runs[0])
    return make_key(box, tenant=tenant_id)


def test_payloads_come_byte_for_byte(tenant):
    run = tenant.new_run()
    text = '{"type":"CUSTOM","payload":{"name": "odd",  "value" : [1.50, "\\u00e9", "é"]}}'
    assert tenant.client.post_events(run, text=text).status_code == 201
    with tenant.open() as stream:
        _, (_, event) = take(stream, 2)
    assert event == FeedEvent(run, 2, "CUSTOM", '{"name": "odd",  "value" : [1.50, "\\u00e9", "é"]}')
    assert json.loads(event.payload)["value"] == [1.5, "é", "é"]
