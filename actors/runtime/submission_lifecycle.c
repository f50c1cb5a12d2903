/* Requests to cancel and to resume a run: see submission.h. */
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/body.h"
#include "runtime/submission.h"

#include <sodium.h>
#include <string.h>

enum { REASON_CHARACTERS_MAX = 1000, CLARIFICATION_CHARACTERS_MAX = 255 };

static enum submission_taken wrong(struct submission *submission, const char *pointer,
                                   const char *detail)
{
    (void)refusal_at(&submission->refusal, PROBLEM_INVALID_PAYLOAD, pointer, detail);
    return SUBMISSION_REFUSED;
}

/* ,"by":"key:…"} behind the members before it. */
static void close_payload(const char *actor, struct buffer *payload)
{
    buffer_append_text(payload, payload->length > 1 ? ",\"by\":" : "\"by\":");
    buffer_append_json(payload, actor, strlen(actor));
    buffer_append_byte(payload, '}');
}

enum submission_taken submission_cancel_member(struct submission *submission,
                                               struct submission_cancel *cancel,
                                               struct json_span name, struct json_span value)
{
    if (!body_is(name, "reason")) {
        return SUBMISSION_NOT_MINE;
    }
    if (body_is_null(value)) {
        return SUBMISSION_TAKEN;
    }
    if (!body_is_string(value) || body_string_length(value) > REASON_CHARACTERS_MAX) {
        return wrong(submission, "/reason", "reason must be a text of at most 1000 characters.");
    }
    cancel->reason = value;
    return SUBMISSION_TAKEN;
}

void submission_cancel_payload(const struct submission_cancel *cancel, const char *actor,
                               struct buffer *payload_out)
{
    buffer_clear(payload_out);
    buffer_append_byte(payload_out, '{');
    if (cancel->reason.data != NULL) {
        buffer_append_text(payload_out, "\"reason\":");
        buffer_append(payload_out, cancel->reason.data, cancel->reason.length);
    }
    close_payload(actor, payload_out);
}

enum submission_taken submission_resume_member(struct submission *submission,
                                               struct submission_resume *resume,
                                               struct json_span name, struct json_span value)
{
    if (body_is(name, "response")) {
        resume->response = value;
        return SUBMISSION_TAKEN;
    }
    if (!body_is(name, "clarification_id")) {
        return SUBMISSION_NOT_MINE;
    }
    size_t length = body_is_string(value) ? body_string_length(value) : 0;
    if (!body_is_null(value) && (length < 1 || length > CLARIFICATION_CHARACTERS_MAX)) {
        return wrong(submission, "/clarification_id",
                     "clarification_id must be a text of 1 to 255 characters, or null.");
    }
    resume->clarification = body_is_null(value) ? (struct json_span){0} : value;
    return SUBMISSION_TAKEN;
}

static void write_answer(const struct submission_resume *resume, const char *actor,
                         struct buffer *payload)
{
    buffer_clear(payload);
    buffer_append_byte(payload, '{');
    if (resume->clarification.data != NULL) {
        buffer_append_text(payload, "\"clarification_id\":");
        buffer_append(payload, resume->clarification.data, resume->clarification.length);
        buffer_append_byte(payload, ',');
    }
    if (resume->response.data != NULL) {
        buffer_append_text(payload, "\"response\":");
        buffer_append(payload, resume->response.data, resume->response.length);
    }
    close_payload(actor, payload);
}

int submission_resume_payload(struct submission *submission, const struct submission_resume *resume,
                              const char *actor, struct buffer *payload_out,
                              uint8_t hash_out[SUBMISSION_HASH_BYTES])
{
    if (resume->clarification.data != NULL && resume->response.data == NULL) {
        (void)wrong(submission, "/response",
                    "A question needs a response, which may be any value.");
        return -1;
    }
    write_answer(resume, actor, payload_out);
    if (payload_out->length > submission->event_bytes_max) {
        return refusal_at(&submission->refusal, PROBLEM_TOO_LARGE, "/response",
                          "The response is larger than one event may be.");
    }
    (void)crypto_hash_sha256(hash_out, (const uint8_t *)resume->response.data,
                             resume->response.length);
    return 0;
}

/* The sequencer tells by the hash that the same question was answered with something else. */
void submission_resume_refused(struct submission *submission, const struct message_result *result)
{
    if (result->outcome == OUTCOME_KEY_MISMATCH) {
        (void)refusal_set(&submission->refusal, PROBLEM_CLARIFICATION_MISMATCH,
                          "The question has been answered with another response.");
        return;
    }
    refusal_outcome(&submission->refusal, result, -1);
}
