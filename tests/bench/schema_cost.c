/*
 * What checking a payload costs beside the check of its text that is made anyway: CPU nanoseconds a
 * payload, the best of some rounds. `make bench-schema`.
 */
#include "contracts/generated/payloads.h"
#include "runtime/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 7, CALLS = 200000 };

struct row {
    const char *name;
    enum event_type type;
    const char *payload;
};

static const struct row rows[] = {
    {"MESSAGE_DELTA, 3 characters", EVENT_TYPE_MESSAGE_DELTA,
     "{\"message_id\":\"m1\",\"delta\":\"Hel\"}"},
    {"MESSAGE_DELTA, 80 characters", EVENT_TYPE_MESSAGE_DELTA,
     "{\"message_id\":\"3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11\",\"delta\":\"The quick brown fox "
     "jumps "
     "over the lazy dog, and then it does so once more, slowly.\"}"},
    {"TASK_PROGRESS", EVENT_TYPE_TASK_PROGRESS,
     "{\"task_id\":\"t1\",\"parent_task_id\":\"t0\",\"branch\":\"left\",\"percent\":40.5}"},
    {"CUSTOM with a value of 10 members", EVENT_TYPE_CUSTOM,
     "{\"name\":\"n\",\"value\":{\"a\":1,\"b\":2,\"c\":[1,2,3],\"d\":{},\"e\":\"x\",\"f\":null,"
     "\"g\":"
     "true,\"h\":1.5,\"i\":\"y\",\"j\":[]}}"},
    {"SOURCE_ADDED", EVENT_TYPE_SOURCE_ADDED,
     "{\"source_id\":\"s1\",\"entity_type\":\"web_page\",\"title\":\"A page\",\"url\":\"https://"
     "example.org/a\",\"retrieved_at\":\"2026-01-05T11:00:00.000000Z\",\"task_id\":\"t1\"}"},
    {"CITATION_ADDED (anyOf)", EVENT_TYPE_CITATION_ADDED,
     "{\"citation_id\":\"k1\",\"source_id\":\"s1\",\"message_id\":\"m1\",\"quote\":\"so it is\","
     "\"start\":0,\"end\":8}"},
    {"PLAN_CREATED, 3 tasks", EVENT_TYPE_PLAN_CREATED,
     "{\"plan_id\":\"p1\",\"tasks\":[{\"task_id\":\"t1\",\"title\":\"Read\"},{\"task_id\":\"t2\","
     "\"title\":\"Think\"},{\"task_id\":\"t3\",\"title\":\"Write\",\"depends_on\":[\"t1\",\"t2\"]}]"
     "}"},
};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static bool check_text(const struct row *row, struct json_span value)
{
    static const struct json_limits limits = {32, 10000};
    (void)row;
    return json_check(value.data, value.length, &limits, NULL, NULL) == JSON_OK;
}

static bool check_schema(const struct row *row, struct json_span value)
{
    return schema_check(&payload_schemas, payload_node(row->type), value, NULL);
}

static double cost_ns(const struct row *row, bool (*check)(const struct row *, struct json_span))
{
    struct json_span value = {row->payload, strlen(row->payload)};
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < CALLS; i++) {
            if (!check(row, value)) {
                fprintf(stderr, "%s is not valid\n", row->name);
                exit(1);
            }
        }
        double took = (now_ns() - start) / CALLS;
        best = took < best ? took : best;
    }
    return best;
}

int main(void)
{
    printf("%-36s %6s %10s %10s\n", "payload", "bytes", "text ns", "schema ns");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printf("%-36s %6zu %10.0f %10.0f\n", rows[i].name, strlen(rows[i].payload),
               cost_ns(&rows[i], check_text), cost_ns(&rows[i], check_schema));
    }
    return 0;
}
