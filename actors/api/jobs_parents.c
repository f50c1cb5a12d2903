/* See jobs_parents.h. */
#include "api/jobs_parents.h"

#include "api/command.h"
#include "api/jobs_graph.h"
#include "api/jobs_wish.h"
#include "proto/messages.h"
#include "runtime/base/memory.h"
#include "runtime/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct jobs_parents *parents;
    struct jobs_wishes *wishes;
    struct jobs_graph *graph;
};

static void add_likely_id(struct jobs_parents *parents, size_t job, const struct uuid *id)
{
    size_t count = parents->likely_count++;
    if ((count & (count + 1)) == 0) { /* room for 1, 3, 7 … */
        parents->likely_ids =
            memory_grow(parents->likely_ids, 2 * count + 1, sizeof *parents->likely_ids);
    }
    parents->likely_ids[count] = (struct jobs_likely_id){.job = job, .id = *id};
}

static int add_parent(struct reading *reading, size_t job, size_t place, struct json_span value)
{
    struct jobs_parents *parents = reading->parents;
    struct message_enqueue_jobs_parent parent = {.index = job};
    struct uuid id;
    size_t sibling;
    buffer_clear(&parents->scratch);
    size_t length = body_is_string(value) ? jobs_wishes_decode(&parents->scratch, value) : 0;
    const char *name = (const char *)parents->scratch.data;
    if (length < 1 || length > JOBS_WISH_KEY_BYTES_MAX) {
        char member[32];
        (void)snprintf(member, sizeof member, "depends_on/%zu", place);
        return jobs_wishes_wrong(reading->wishes, job, member,
                                 "This must be the id or the key of a job.");
    }
    if (jobs_graph_find(reading->graph, name, length, &sibling)) {
        jobs_graph_wait(reading->graph, job, sibling);
    } else if (uuid_parse(name, length, &id) == 0 && !uuid_is_nil(&id)) {
        add_likely_id(parents, job, &id);
        return 0;
    }
    parent.key = command_span(name, length);
    message_enqueue_jobs_parent_encode(&parents->named, &parent);
    parents->named_count++;
    return 0;
}

/* -1: answered. */
static int add_parents(struct reading *reading)
{
    struct jobs_wishes *wishes = reading->wishes;
    struct jobs_graph *graph = reading->graph;
    size_t circle;
    for (size_t job = 0; job < wishes->count; job++) {
        struct jobs_wish_text key = wishes->items[job].key;
        jobs_graph_name(graph, job, jobs_wishes_text(wishes, key), key.length);
    }
    for (size_t job = 0; job < wishes->count; job++) {
        struct json_span cursor = {0};
        struct json_span value;
        size_t place = 0;
        struct json_span list = wishes->items[job].depends_on;
        while (list.data != NULL && (value = json_element(list, &cursor)).data != NULL) {
            if (add_parent(reading, job, place++, value) != 0) {
                return -1;
            }
        }
    }
    if (jobs_graph_circle(graph, &circle)) {
        return jobs_wishes_wrong(wishes, circle, "depends_on",
                                 "This job waits for itself, or for a job that does.");
    }
    return 0;
}

int jobs_parents_read(struct jobs_parents *parents, struct jobs_wishes *wishes)
{
    struct jobs_graph *graph = jobs_graph_create(wishes->count);
    int sound = add_parents(&(struct reading){parents, wishes, graph});
    jobs_graph_destroy(&graph);
    return sound;
}

uint32_t jobs_parents_encode(const struct jobs_parents *parents, struct msgpack_sbuffer *out)
{
    char text[UUID_TEXT_SIZE];
    msgpack_sbuffer_init(out);
    if (parents->named.size > 0) {
        (void)msgpack_sbuffer_write(out, parents->named.data, parents->named.size);
    }
    for (size_t i = 0; i < parents->likely_count; i++) {
        const struct jobs_likely_id *likely = &parents->likely_ids[i];
        struct message_enqueue_jobs_parent parent = {.index = likely->job};
        if (likely->is_key) {
            uuid_format(&likely->id, text);
            parent.key = command_span(text, strlen(text));
        } else {
            memcpy(parent.parent, likely->id.bytes, sizeof parent.parent);
        }
        message_enqueue_jobs_parent_encode(out, &parent);
    }
    return parents->named_count + (uint32_t)parents->likely_count;
}

void jobs_parents_init(struct jobs_parents *parents)
{
    *parents = (struct jobs_parents){0};
    msgpack_sbuffer_init(&parents->named);
}

void jobs_parents_deinit(struct jobs_parents *parents)
{
    free(parents->likely_ids);
    msgpack_sbuffer_destroy(&parents->named);
    buffer_deinit(&parents->scratch);
}
