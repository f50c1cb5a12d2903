/* See jobs_graph.h. */
#include "api/jobs_graph.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct name {
    const char *text;
    size_t length;
    size_t job;
};

struct edge {
    size_t job;
    size_t parent;
};

struct jobs_graph {
    size_t count;
    struct name *names; /* `count`, sorted when `sorted` */
    bool sorted;
    struct edge *edges;
    size_t edge_count;
    size_t edge_room;
};

struct jobs_graph *jobs_graph_create(size_t count)
{
    struct jobs_graph *graph = memory_new(sizeof *graph);
    graph->count = count;
    graph->names = memory_array(count, sizeof *graph->names);
    return graph;
}

void jobs_graph_destroy(struct jobs_graph **graph)
{
    if (*graph == NULL) {
        return;
    }
    free((*graph)->names);
    free((*graph)->edges);
    free(*graph);
    *graph = NULL;
}

void jobs_graph_name(struct jobs_graph *graph, size_t job, const char *name, size_t length)
{
    assert(job < graph->count && !graph->sorted);
    graph->names[job] = (struct name){name, length, job};
}

static int compare_texts(const struct name *a, const struct name *b)
{
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare(const void *a, const void *b)
{
    const struct name *one = a;
    const struct name *other = b;
    int order = compare_texts(one, other);
    return order != 0 ? order : (one->job > other->job) - (one->job < other->job);
}

bool jobs_graph_find(struct jobs_graph *graph, const char *name, size_t length, size_t *job_out)
{
    const struct name wanted = {name, length, 0};
    size_t low = 0;
    size_t high = graph->count;
    if (!graph->sorted) {
        qsort(graph->names, graph->count, sizeof *graph->names, compare);
        graph->sorted = true;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_texts(&graph->names[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == graph->count || compare_texts(&graph->names[low], &wanted) != 0) {
        return false;
    }
    *job_out = graph->names[low].job;
    return true;
}

void jobs_graph_wait(struct jobs_graph *graph, size_t job, size_t parent)
{
    assert(job < graph->count && parent < graph->count);
    if (graph->edge_count == graph->edge_room) {
        graph->edge_room = graph->edge_room == 0 ? 16 : graph->edge_room * 2;
        graph->edges = memory_grow(graph->edges, graph->edge_room, sizeof *graph->edges);
    }
    graph->edges[graph->edge_count++] = (struct edge){job, parent};
}

static int compare_parents(const void *a, const void *b)
{
    const struct edge *one = a;
    const struct edge *other = b;
    return (one->parent > other->parent) - (one->parent < other->parent);
}

/* Takes away those that wait for nobody until none is left, or only those in circles and behind them.
 * `edges` are sorted by parent; `first` of each job is where its children begin. */
static size_t take_away(const struct edge *edges, const size_t *first, size_t *waits, size_t count)
{
    size_t *free_jobs = memory_array(count, sizeof *free_jobs);
    size_t known = 0;
    for (size_t job = 0; job < count; job++) {
        if (waits[job] == 0) {
            free_jobs[known++] = job;
        }
    }
    for (size_t at = 0; at < known; at++) {
        for (size_t i = first[free_jobs[at]]; i < first[free_jobs[at] + 1]; i++) {
            if (--waits[edges[i].job] == 0) {
                free_jobs[known++] = edges[i].job;
            }
        }
    }
    free(free_jobs);
    return known;
}

bool jobs_graph_circle(const struct jobs_graph *graph, size_t *job_out)
{
    if (graph->edge_count == 0) {
        return false;
    }
    size_t *waits = memory_array(graph->count, sizeof *waits);
    size_t *first = memory_array(graph->count + 1, sizeof *first);
    struct edge *edges = memory_copy(graph->edges, graph->edge_count * sizeof *edges);
    qsort(edges, graph->edge_count, sizeof *edges, compare_parents);
    for (size_t i = 0; i < graph->edge_count; i++) {
        waits[edges[i].job]++;
        first[edges[i].parent + 1]++;
    }
    for (size_t job = 0; job < graph->count; job++) {
        first[job + 1] += first[job];
    }
    bool circle = take_away(edges, first, waits, graph->count) < graph->count;
    for (size_t job = 0; circle && job < graph->count; job++) {
        if (waits[job] > 0) {
            *job_out = job;
            break;
        }
    }
    free(waits);
    free(first);
    free(edges);
    return circle;
}
