/* What the two halves of `signalbox replay` share: replay.c sends, replay_check.c compares. */
#ifndef SIGNALBOX_CLI_REPLAY_H
#define SIGNALBOX_CLI_REPLAY_H

struct cli;

/* `replay --check RUN_ID FILE:LINE`. Returns the exit code. */
int replay_check(const struct cli *cli, const char *run_id, const char *file_and_line);

#endif
