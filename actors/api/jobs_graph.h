/*
 * Which jobs of one request wait for which others of it: finds them by name, and says when they wait
 * for each other in a circle, so that none of them could ever begin. Pure.
 */
#ifndef SIGNALBOX_API_JOBS_GRAPH_H
#define SIGNALBOX_API_JOBS_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

struct jobs_graph;

/* Of `count` jobs without names. Returns, caller destroys with jobs_graph_destroy. */
struct jobs_graph *jobs_graph_create(size_t count);
void jobs_graph_destroy(struct jobs_graph **graph);
/* Each job has a name, which is kept as a reference. All of them before the first search. */
void jobs_graph_name(struct jobs_graph *graph, size_t job, const char *name, size_t length);
/* The first job of that name. */
bool jobs_graph_find(struct jobs_graph *graph, const char *name, size_t length, size_t *job_out);
/* `job` waits for `parent`. */
void jobs_graph_wait(struct jobs_graph *graph, size_t job, size_t parent);
/* True when there is a circle, with one of those that cannot begin because of it. */
bool jobs_graph_circle(const struct jobs_graph *graph, size_t *job_out);

#endif
