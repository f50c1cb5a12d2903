/*
 * docs/runbooks/rebuild-stream.md as steps: connect again behind the last seq that is certain, and
 * look at what comes: the backfill, its order, and the end. One look at the stream serves all steps.
 */
#include "ops/cli/doctor.h"

#include <string.h>

enum { REBUILD_MS = 15000 };

static void look_once(struct doctor *doctor)
{
    struct doctor_look wanted = {
        .run_id = doctor->run_id,
        .after_seq = doctor->after_seq,
        .until_seq = doctor->closed || doctor->after_seq > doctor->head ? 0 : doctor->head,
        /* with nothing to wait for, the first beat is enough */
        .until_pings = doctor->after_seq == doctor->head ? 1 : 0,
        .until_reset = doctor->after_seq > doctor->head,
        .patience_ms = REBUILD_MS};
    if (!doctor->stream.looked) {
        doctor_stream_look(doctor->http, &wanted, &doctor->stream);
    }
}

static void look_reconnect(struct doctor *doctor, struct doctor_finding *finding)
{
    look_once(doctor);
    const struct doctor_stream *stream = &doctor->stream;
    if (stream->status == 200) {
        doctor_ok(finding, "200, the first bytes after %lld ms", (long long)stream->first_ms);
    } else if (stream->status == 204) {
        doctor_ok(finding, "204: the run has ended and seq %lld is its end",
                  (long long)doctor->after_seq);
    } else if (stream->status == 404) {
        doctor_unknown(finding,
                       "404: the run belongs to another tenant than the key in DIR/api-key");
        doctor_todo(finding, "use a key of its tenant: curl -N -H 'Authorization: Bearer ...'");
    } else {
        doctor_problem(finding, "%.350s", stream->fault.text);
        doctor_todo(finding, "signalbox status; signalbox restart streamer");
    }
}

static bool cannot_see(const struct doctor *doctor, struct doctor_finding *finding)
{
    if (doctor->stream.status == 200 || doctor->stream.status == 204) {
        return false;
    }
    doctor_unknown(finding, "no stream, see step 1");
    return true;
}

static void look_backfill(struct doctor *doctor, struct doctor_finding *finding)
{
    const struct doctor_stream *stream = &doctor->stream;
    if (cannot_see(doctor, finding)) {
        return;
    }
    if (stream->reset_head >= 0) {
        doctor_problem(finding, "reset: seq %lld lies beyond the head %lld",
                       (long long)doctor->after_seq, (long long)stream->reset_head);
        doctor_todo(finding, "the client's state is not of this log: begin at 0");
    } else if (doctor->after_seq >= doctor->head) {
        doctor_ok(finding, "nothing to fill in: the head is %lld", (long long)doctor->head);
    } else if (stream->first_seq != doctor->after_seq + 1) {
        doctor_problem(finding, "the first seq is %lld, not %lld", (long long)stream->first_seq,
                       (long long)doctor->after_seq + 1);
        doctor_todo(finding, "signalbox verify %.36s; signalbox restart streamer", doctor->run_id);
    } else if (stream->last_seq < doctor->head) {
        doctor_problem(finding, "it stops at seq %lld, the head is %lld: %.200s",
                       (long long)stream->last_seq, (long long)doctor->head, stream->fault.text);
        doctor_todo(finding, "signalbox verify %.36s; signalbox restart streamer", doctor->run_id);
    } else {
        doctor_ok(finding, "%lld events, seq %lld to %lld", (long long)stream->events,
                  (long long)stream->first_seq, (long long)stream->last_seq);
    }
}

static void look_order(struct doctor *doctor, struct doctor_finding *finding)
{
    if (cannot_see(doctor, finding)) {
        return;
    }
    if (doctor->stream.out_of_order) {
        doctor_problem(finding, "%.350s", doctor->stream.fault.text);
        doctor_todo(finding,
                    "signalbox verify %.36s tells whether the log is whole; if it is, "
                    "signalbox restart streamer",
                    doctor->run_id);
    } else {
        doctor_ok(finding, "ids grow by one");
    }
}

static void look_end(struct doctor *doctor, struct doctor_finding *finding)
{
    const struct doctor_stream *stream = &doctor->stream;
    if (cannot_see(doctor, finding)) {
        return;
    }
    if (!doctor->closed && stream->terminal[0] == '\0') {
        doctor_ok(finding, "the run is not over: the stream stays open");
        doctor_todo(finding, "signalbox tail %.36s --after-seq %lld waits for it", doctor->run_id,
                    (long long)stream->last_seq);
    } else if (stream->status == 204) {
        doctor_ok(finding, "204: a client that has everything stops here");
    } else if (stream->terminal[0] == '\0') {
        doctor_problem(finding, "the run has ended, its terminal event did not come");
        doctor_todo(finding, "signalbox verify %.36s; signalbox restart streamer", doctor->run_id);
    } else if (doctor->closed && !stream->complete) {
        doctor_problem(finding, "%s came, but the body broke off: %.200s", stream->terminal,
                       stream->fault.text);
        doctor_todo(finding,
                    "something between cuts the stream; see signalbox doctor reconnect-rate");
    } else {
        doctor_ok(finding, "%s is the last event, the body ends properly", stream->terminal);
    }
}

static const struct doctor_step steps[] = {
    {"Reconnect with the last seq the client is sure of", look_reconnect},
    {"See the backfill", look_backfill},
    {"Check the order", look_order},
    {"Watch for the terminal event", look_end},
    {0}};

const struct doctor_book DOCTOR_REBUILD_STREAM = {.name = "rebuild-stream",
                                                  .about = "a client shows something wrong",
                                                  .needs_run = true,
                                                  .steps = steps};
