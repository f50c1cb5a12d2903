/* The parameters of append_batch (migrations/0011), from the batch being built. */
#ifndef SIGNALBOX_SEQUENCER_BATCH_PARAMS_H
#define SIGNALBOX_SEQUENCER_BATCH_PARAMS_H

struct sequencer;

/* Fills batch.params: those of append_batch, record_producers and record_usage, in the order of
 * STORE_APPEND. */
void batch_params(struct sequencer *sequencer);

#endif
