/* See job_rules.h. */
#include "sequencer/job_rules.h"

#include <string.h>

static const int64_t claim_tolerance_us = 50000;          /* a runner's clock may be ahead */
static const int64_t retry_ms_max = INT64_C(31622400000); /* a year: times stay in range */

bool job_rules_is_open(const struct job_now *state)
{
    return state->status == JOB_STATUS_PENDING;
}

bool job_rules_is_running(const struct job_now *state)
{
    return !uuid_is_nil(&state->token);
}

enum job_status job_rules_status(const struct job_now *state)
{
    return job_rules_is_running(state) ? JOB_STATUS_RUNNING : state->status;
}

enum job_state job_rules_place(const struct job_now *state)
{
    if (!job_rules_is_open(state)) {
        return JOB_STATE_ENDED;
    }
    if (job_rules_is_running(state)) {
        return JOB_STATE_RUNNING;
    }
    if (state->dep_failed) {
        return JOB_STATE_SKIPPED;
    }
    return state->deps_left > 0 ? JOB_STATE_BLOCKED : JOB_STATE_WAITING;
}

int64_t job_rules_delay_ms(const struct job_retry *retry, unsigned attempts)
{
    int64_t delay_ms = retry->base_ms;
    for (unsigned i = 1; i < attempts && delay_ms < retry->cap_ms; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < retry->cap_ms ? delay_ms : retry->cap_ms;
    int64_t half_ms = delay_ms / 2;
    return delay_ms - half_ms + (int64_t)((uint64_t)half_ms * retry->chance / UINT32_MAX);
}

/* ---- steps ---- */

static struct job_decision answer(const struct job_now *state, enum job_outcome outcome)
{
    return (struct job_decision){.outcome = outcome, .next = *state};
}

static struct job_decision change_to(const struct job_now *state, enum event_type event)
{
    return (struct job_decision){.outcome = JOB_OUTCOME_OK,
                                 .changes = true,
                                 .next = *state,
                                 .event = event,
                                 .event_claim = state->claim,
                                 .attempt = state->attempts + 1};
}

/* Nobody works on it any more. by_worker: its report may come again. */
static void end_claim(struct job_decision *decision, bool by_worker)
{
    struct job_now *next = &decision->next;
    next->last_token = by_worker ? next->token : (struct uuid){{0}};
    next->claim += by_worker ? 0 : 1;
    next->token = (struct uuid){{0}};
}

static struct job_decision end(const struct job_now *state, enum job_status status, bool by_worker)
{
    enum event_type event = status == JOB_STATUS_SUCCESS ? EVENT_TYPE_JOB_COMPLETED
                            : status == JOB_STATUS_ERROR ? EVENT_TYPE_JOB_FAILED
                                                         : EVENT_TYPE_JOB_CANCELLED;
    struct job_decision decision = change_to(state, event);
    if (job_rules_is_running(state)) {
        end_claim(&decision, by_worker);
    } else {
        decision.next.last_token = (struct uuid){{0}};
    }
    decision.next.status = status;
    return decision;
}

/* The attempt is over without success; `counts`: it was one of max_attempts. */
static struct job_decision lose(const struct job_now *state, const struct job_terms *terms,
                                bool by_worker, bool counts, bool final)
{
    unsigned attempts = state->attempts + (counts ? 1 : 0);
    struct job_decision decision;
    if (state->cancel) {
        decision = end(state, JOB_STATUS_CANCELLED, by_worker);
    } else if (final || attempts >= terms->max_attempts) {
        decision = end(state, JOB_STATUS_ERROR, by_worker);
    } else {
        decision = change_to(state, EVENT_TYPE_JOB_RETRYING);
        end_claim(&decision, by_worker);
    }
    decision.next.attempts = attempts;
    return decision;
}

/* It waits again, without a word in the log and without a cost. */
static struct job_decision give_back(const struct job_now *state, bool by_worker)
{
    if (state->cancel) {
        return end(state, JOB_STATUS_CANCELLED, by_worker);
    }
    struct job_decision decision = change_to(state, 0);
    end_claim(&decision, by_worker);
    return decision;
}

/* ---- what a runner and its workers say ---- */

static struct job_decision claim(const struct job_now *state, const struct job_terms *terms,
                                 const struct message_change_jobs_change *change,
                                 const struct uuid *token, int64_t now_us)
{
    if (uuid_is_nil(token) || change->worker.length == 0 || change->lease_ms == 0) {
        return answer(state, JOB_OUTCOME_REFUSED);
    }
    if (uuid_equal(&state->token, token)) {
        return answer(state, JOB_OUTCOME_OK);
    }
    if (job_rules_place(state) != JOB_STATE_WAITING || state->cancel || !terms->run_takes ||
        state->run_at_us > now_us + claim_tolerance_us) {
        return answer(state, JOB_OUTCOME_NOT_READY);
    }
    struct job_decision decision = change_to(state, EVENT_TYPE_JOB_STARTED);
    decision.next.claim++;
    decision.event_claim = decision.next.claim;
    decision.next.token = *token;
    decision.next.worker = change->worker;
    decision.next.lease_ms = change->lease_ms;
    return decision;
}

static struct job_decision complete(const struct job_now *state,
                                    const struct message_change_jobs_change *change)
{
    enum job_status status = state->cancel ? JOB_STATUS_CANCELLED : JOB_STATUS_SUCCESS;
    struct job_decision decision = end(state, status, true);
    decision.next.attempts++;
    decision.partial = state->cancel && change->result.length > 0;
    return decision;
}

static int64_t pause_ms(const struct message_change_jobs_change *change,
                        const struct job_retry *retry, unsigned attempts)
{
    if (change->retry_ms > 0) {
        return change->retry_ms > (uint64_t)retry_ms_max ? retry_ms_max : (int64_t)change->retry_ms;
    }
    return job_rules_delay_ms(retry, attempts);
}

static struct job_decision fail(const struct job_now *state, const struct job_terms *terms,
                                const struct message_change_jobs_change *change,
                                const struct job_retry *retry, int64_t now_us)
{
    static const char *const classes[] = {"retryable", "fatal", "rate_limited"};
    if (change->class > JOB_CLASS_RATE_LIMITED) {
        return answer(state, JOB_OUTCOME_REFUSED);
    }
    bool free = change->class == JOB_CLASS_RATE_LIMITED;
    struct job_decision decision =
        free && !state->cancel ? change_to(state, EVENT_TYPE_JOB_RETRYING)
                               : lose(state, terms, true, !free, change->class == JOB_CLASS_FATAL);
    if (free && !state->cancel) {
        end_claim(&decision, true);
    }
    if (decision.event == EVENT_TYPE_JOB_RETRYING) {
        decision.next.run_at_us =
            now_us + pause_ms(change, retry, free ? 1 : decision.next.attempts) * 1000;
    }
    decision.class = classes[change->class];
    return decision;
}

static struct job_decision expire(const struct job_now *state, const struct job_terms *terms,
                                  const struct message_change_jobs_change *change,
                                  const struct job_retry *retry, int64_t now_us)
{
    if (change->class == JOB_CLASS_RATE_LIMITED) {
        return give_back(state, false); /* it was never taken up */
    }
    struct job_decision decision = lose(state, terms, false, true, false);
    if (decision.event == EVENT_TYPE_JOB_RETRYING) {
        decision.next.run_at_us = now_us + job_rules_delay_ms(retry, decision.next.attempts) * 1000;
    }
    if (decision.event != EVENT_TYPE_JOB_CANCELLED) {
        decision.reason = "stuck_job_timeout";
        decision.class = "lost";
    }
    return decision;
}

/* Whether it is the same report again, of the claim that ended this way. */
static bool is_repeated(const struct job_now *state, enum job_change what)
{
    bool waits = job_rules_is_open(state) && !job_rules_is_running(state);
    bool cancelled = state->status == JOB_STATUS_CANCELLED;
    switch (what) {
    case JOB_COMPLETE:
        return state->status == JOB_STATUS_SUCCESS || cancelled;
    case JOB_FAIL:
        return state->status == JOB_STATUS_ERROR || cancelled || waits;
    case JOB_RELEASE:
        return waits || cancelled;
    default:
        return false;
    }
}

static struct job_decision report(const struct job_now *state, const struct job_terms *terms,
                                  const struct message_change_jobs_change *change,
                                  const struct uuid *token, const struct job_retry *retry,
                                  int64_t now_us)
{
    enum job_change what = (enum job_change)change->what;
    if (uuid_is_nil(token) || !uuid_equal(&state->token, token)) {
        bool same = !uuid_is_nil(token) && uuid_equal(&state->last_token, token);
        return answer(state, same && is_repeated(state, what) ? JOB_OUTCOME_OK
                             : same && !job_rules_is_open(state) && what == JOB_PROGRESS
                                 ? JOB_OUTCOME_ENDED
                                 : JOB_OUTCOME_LEASE_LOST);
    }
    switch (what) {
    case JOB_COMPLETE:
        return complete(state, change);
    case JOB_FAIL:
        return fail(state, terms, change, retry, now_us);
    case JOB_RELEASE:
        return give_back(state, true);
    case JOB_EXPIRE:
        return expire(state, terms, change, retry, now_us);
    default: { /* JOB_PROGRESS: its state stays */
        struct job_decision decision = change_to(state, EVENT_TYPE_JOB_PROGRESS);
        decision.changes = false;
        return decision;
    }
    }
}

/* ---- what others ask ---- */

static struct job_decision cancel(const struct job_now *state)
{
    if (!job_rules_is_open(state)) {
        return answer(state,
                      state->status == JOB_STATUS_CANCELLED ? JOB_OUTCOME_OK : JOB_OUTCOME_ENDED);
    }
    return job_rules_run_ends(state, false);
}

static struct job_decision kill_running(const struct job_now *state, const struct uuid *token)
{
    if (!job_rules_is_open(state)) {
        return answer(state,
                      state->status == JOB_STATUS_CANCELLED ? JOB_OUTCOME_OK : JOB_OUTCOME_ENDED);
    }
    if (!job_rules_is_running(state) || !state->cancel ||
        (!uuid_is_nil(token) && !uuid_equal(&state->token, token))) {
        return answer(state, JOB_OUTCOME_NOT_READY);
    }
    struct job_decision decision = end(state, JOB_STATUS_CANCELLED, false);
    decision.next.attempts++;
    return decision;
}

/* The budget of attempts begins again; the fence never does. In a run that is being cancelled nobody
 * could claim it. Asked for again, what it began may have ended again meanwhile, and stays so. */
static struct job_decision try_again(const struct job_now *state, const struct job_terms *terms,
                                     const struct uuid *token, int64_t now_us)
{
    if (job_rules_is_open(state) && !uuid_is_nil(token) && uuid_equal(&state->last_token, token)) {
        return answer(state, JOB_OUTCOME_OK);
    }
    if (job_rules_is_open(state) || state->status == JOB_STATUS_SUCCESS) {
        return answer(state, JOB_OUTCOME_ENDED);
    }
    if (terms->run_stops || terms->asked_again) {
        return answer(state, terms->run_stops ? JOB_OUTCOME_RUN_CLOSED : JOB_OUTCOME_OK);
    }
    struct job_decision decision = change_to(state, EVENT_TYPE_JOB_QUEUED);
    struct job_now *next = &decision.next;
    next->status = JOB_STATUS_PENDING;
    next->attempts = 0;
    next->claim++;
    next->last_token = *token;
    next->cancel = false;
    next->dep_failed = false;
    next->run_at_us = now_us;
    decision.event_claim = next->claim;
    return decision;
}

static struct job_decision skip(const struct job_now *state, const struct job_terms *terms)
{
    if (!job_rules_is_open(state)) {
        return answer(state, JOB_OUTCOME_OK);
    }
    if (!state->dep_failed || job_rules_is_running(state)) {
        return answer(state, JOB_OUTCOME_NOT_READY);
    }
    bool fails = terms->on_dep_fail == JOB_DEP_FAIL_FAIL;
    struct job_decision decision =
        end(state, fails ? JOB_STATUS_ERROR : JOB_STATUS_CANCELLED, false);
    decision.reason = "parent_failed";
    decision.class = fails ? "parent" : NULL;
    return decision;
}

struct job_decision job_rules_run_ends(const struct job_now *state, bool ends)
{
    if (ends || !job_rules_is_running(state)) {
        return end(state, JOB_STATUS_CANCELLED, false);
    }
    struct job_decision decision = change_to(state, 0);
    decision.changes = !state->cancel;
    decision.next.cancel = true;
    return decision;
}

struct job_decision job_rules_change(const struct job_now *state, const struct job_terms *terms,
                                     const struct message_change_jobs_change *change,
                                     const struct job_retry *retry, int64_t now_us)
{
    struct uuid token;
    memcpy(token.bytes, change->token, sizeof token.bytes);
    switch (change->what) {
    case JOB_CLAIM:
        return claim(state, terms, change, &token, now_us);
    case JOB_COMPLETE:
    case JOB_FAIL:
    case JOB_RELEASE:
    case JOB_EXPIRE:
    case JOB_PROGRESS:
        return report(state, terms, change, &token, retry, now_us);
    case JOB_CANCEL:
        return cancel(state);
    case JOB_KILL:
        return kill_running(state, &token);
    case JOB_RETRY:
        return try_again(state, terms, &token, now_us);
    case JOB_SKIP:
        return skip(state, terms);
    default:
        return answer(state, JOB_OUTCOME_REFUSED);
    }
}
