/* See jobs_word.h. */
#include "api/jobs_word.h"

#include "api/request.h"
#include "runtime/body.h"

enum { NOTE_BYTES_MAX = 512, REASON_BYTES_MAX = 2048, RESULT_BYTES_MAX = 64 << 10 };
#define RETRY_MAX_MS (31LL * 86400000LL)

int jobs_word_wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int take_percent(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_number(value, &word->percent) != 0 || word->percent > 100) {
        return jobs_word_wrong(exchange, "/percent",
                               "percent must be a whole number from 0 to 100.");
    }
    return 0;
}

static int take_note(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_is_string(value)) {
        body_string(&word->text, value);
    }
    if (!body_is_string(value) || word->text.length > NOTE_BYTES_MAX) {
        return jobs_word_wrong(exchange, "/note", "note must be a text of at most 512 bytes.");
    }
    return 0;
}

static int take_result(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    word->result = value;
    if (value.length > RESULT_BYTES_MAX) {
        exchange_problem(exchange, PROBLEM_TOO_LARGE, "The result is larger than 64 KiB.",
                         &(struct problem_extra){.pointer = "/result"});
        return -1;
    }
    return 0;
}

/* Words may be longer than what is kept of them: a worker that fails must be able to say so. */
static int take_error(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    if (body_is_string(value)) {
        body_string(&word->text, value);
    }
    if (word->text.length == 0) {
        return jobs_word_wrong(exchange, "/error", "error must be a text that is not empty.");
    }
    if (word->text.length > REASON_BYTES_MAX) {
        size_t length = REASON_BYTES_MAX;
        while ((word->text.data[length] & 0xc0) == 0x80) {
            length--; /* not within a character */
        }
        word->text.length = length;
    }
    return 0;
}

static int take_class(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    static const char *const names[] = {[JOB_CLASS_RETRYABLE] = "\"retryable\"",
                                        [JOB_CLASS_FATAL] = "\"fatal\"",
                                        [JOB_CLASS_RATE_LIMITED] = "\"rate_limited\""};
    if (body_is_null(value)) {
        return 0;
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (body_is(value, names[i])) {
            word->class = (enum job_class)i;
            return 0;
        }
    }
    return jobs_word_wrong(exchange, "/class", "class must be retryable, fatal or rate_limited.");
}

static int take_retry(struct exchange *exchange, struct json_span value, struct jobs_word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_number(value, &word->retry_ms) != 0 || word->retry_ms > RETRY_MAX_MS) {
        return jobs_word_wrong(exchange, "/retry_after_ms",
                               "retry_after_ms must be a whole number from 0 to 2678400000.");
    }
    return 0;
}

static int take_member(struct exchange *exchange, struct json_span name, struct json_span value,
                       unsigned says, struct jobs_word *word)
{
    if (body_is(name, "token")) {
        return body_uuid(value, &word->token) == 0 && !uuid_is_nil(&word->token)
                   ? 0
                   : jobs_word_wrong(exchange, "/token",
                                     "token must be the one that came with the job.");
    }
    if ((says & JOBS_WORD_PROGRESS) != 0 && body_is(name, "percent")) {
        return take_percent(exchange, value, word);
    }
    if ((says & JOBS_WORD_PROGRESS) != 0 && body_is(name, "note")) {
        return take_note(exchange, value, word);
    }
    if ((says & JOBS_WORD_RESULT) != 0 && body_is(name, "result")) {
        return take_result(exchange, value, word);
    }
    if ((says & JOBS_WORD_RESULT) != 0 && body_is(name, "events")) {
        word->events = value;
        return 0;
    }
    if ((says & JOBS_WORD_ERROR) != 0 && body_is(name, "error")) {
        return take_error(exchange, value, word);
    }
    if ((says & JOBS_WORD_ERROR) != 0 && body_is(name, "class")) {
        return take_class(exchange, value, word);
    }
    if ((says & JOBS_WORD_ERROR) != 0 && body_is(name, "retry_after_ms")) {
        return take_retry(exchange, value, word);
    }
    request_unknown_field(exchange, "", name);
    return -1;
}

int jobs_word_read(struct exchange *exchange, unsigned says, struct jobs_word *word)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    *word = (struct jobs_word){.percent = -1};
    if (request_body(exchange, false, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(exchange, name, value, says, word) != 0) {
            return -1;
        }
    }
    if (uuid_is_nil(&word->token)) {
        return jobs_word_wrong(exchange, "/token", "The token of the claim is needed.");
    }
    if ((says & JOBS_WORD_ERROR) != 0 && word->text.length == 0) {
        return jobs_word_wrong(exchange, "/error", "What went wrong is needed.");
    }
    return 0;
}
