/* The parameters of append_batch (migrations/0005), from the batch being built. */
#ifndef SIGNALBOX_SEQUENCER_BATCH_PARAMS_H
#define SIGNALBOX_SEQUENCER_BATCH_PARAMS_H

struct sequencer;

/* Fills batch.params: the parameters in the order of append_batch. */
void batch_params(struct sequencer *sequencer);

#endif
