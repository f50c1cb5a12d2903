/* Which quota of a tenant is used up, as carried in RESULT. Values are on the wire: never reused. */
#ifndef SIGNALBOX_PROTO_QUOTA_H
#define SIGNALBOX_PROTO_QUOTA_H

/* Days are UTC days. */
enum quota {
    QUOTA_NONE = 0,
    QUOTA_RUNS_PER_DAY = 1,
    QUOTA_EVENTS_PER_DAY = 2,
    QUOTA_BYTES_PER_DAY = 3, /* of payloads */
    QUOTA_CONCURRENT_RUNS = 4,
    QUOTA_JOBS_PER_RUN = 5 /* of one run, unfinished: setting jobs.per_run_max */
};

#endif
