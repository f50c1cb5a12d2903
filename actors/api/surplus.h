/*
 * Claims that nobody took up: their worker had gone, or another job-runner was faster. They are given
 * back at once (JOB_RELEASE, which costs no attempt); what cannot be said in time is found by the end
 * of its lease.
 */
#ifndef SIGNALBOX_API_SURPLUS_H
#define SIGNALBOX_API_SURPLUS_H

#include "runtime/actor.h"

#include <stddef.h>
#include <stdint.h>

struct commands;
struct surplus;

/* Borrows `commands`. Returns, caller destroys with surplus_destroy(), before those: what is left is
 * then sent once more. */
struct surplus *surplus_create(struct actor *actor, struct commands *commands);
void surplus_destroy(struct surplus **surplus);
/* Said with the others of this turn of the loop. */
void surplus_add(struct surplus *surplus, const uint8_t job[16], const uint8_t token[16]);
/* Not yet known to be given back. */
size_t surplus_count(const struct surplus *surplus);

#endif
