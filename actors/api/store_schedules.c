/* See store_schedules.h. */
#include "api/store_schedules.h"

#include <string.h>

/* clang-format off */
#define MOST STORE_TEXT_OF_VALUE(1000)
_Static_assert(STORE_SCHEDULES_MAX == 1000, "the text of the statements says the same");

#define TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
/* What a client says, without the payload; and all that is shown. */
#define SAID(s)                                                                               \
    "'spec', " s ".spec, 'tz', " s ".tz, 'queue', " s ".queue, 'job_type', " s ".job_type, "  \
    "'priority', " s ".priority, 'max_attempts', " s ".max_attempts, "                        \
    "'concurrency_key', " s ".concurrency_key, 'enabled', " s ".enabled, 'missed', " s ".missed"
#define SHOWN(s)                                                                              \
    "'name', " s ".name, " SAID(s) ", 'next_at', " TIME(s ".next_at") ", "                    \
    "'last_at', " TIME(s ".last_at") ", 'last_error', " s ".last_error, "                     \
    "'created_at', " TIME(s ".created_at") ", 'updated_at', " TIME(s ".updated_at")
#define WHOLE(s) "json_build_object(" SHOWN(s) ", 'payload', " s ".payload)::text"
#define NOTED(s) "jsonb_build_object(" SAID(s) ")"
#define NOTE "insert into audit_log (audit_id, tenant_id, actor, action, object_id, before, after) "

static const struct db_statement list_schedules = {
    "api_list_schedules",
    "select json_build_object('schedules', "
    "         coalesce(json_agg(json_build_object(" SHOWN("s") ") order by s.name), '[]'))::text "
    "  from (select * from job_schedules where tenant_id = $1::uuid order by name limit " MOST ") s"};

static const struct db_statement get_schedule = {
    "api_get_schedule",
    "select " WHOLE("s") " from job_schedules s where s.tenant_id = $1::uuid and s.name = $2::text"};

/* Times go on as they were unless something about them has changed. */
static const struct db_statement set_schedule = {
    "api_set_schedule",
    "with old as (select * from job_schedules where tenant_id = $1::uuid and name = $2::text), "
    "     made as (insert into job_schedules as s "
    "                (tenant_id, name, spec, tz, queue, job_type, concurrency_key, missed, payload, "
    "                 priority, max_attempts, enabled, next_at) "
    "              select $1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, "
    "                     $8::text, $9::text::json, $10::integer::smallint, $11::integer::smallint, "
    "                     $12::boolean, $13::timestamptz "
    "               where exists (select from old) "
    "                  or (select count(*) < " MOST " from job_schedules where tenant_id = $1::uuid) "
    "              on conflict (tenant_id, name) do update "
    "                 set (spec, tz, queue, job_type, concurrency_key, missed, payload, priority, "
    "                      max_attempts, enabled, last_error, updated_at, next_at) = "
    "                     row (excluded.spec, excluded.tz, excluded.queue, excluded.job_type, "
    "                      excluded.concurrency_key, excluded.missed, excluded.payload, "
    "                      excluded.priority, excluded.max_attempts, excluded.enabled, null, now(), "
    "                      case when s.next_at is null or (s.spec, s.tz, s.enabled) is distinct from "
    "                                                     (excluded.spec, excluded.tz, excluded.enabled) "
    "                           then excluded.next_at else s.next_at end) "
    "              returning s.*), "
    "     noted as (" NOTE "select $15::uuid, $1::uuid, $14::text, 'schedule.set', made.name, "
    "                      (select " NOTED("old") " from old), " NOTED("made") " from made) "
    "select " WHOLE("made") ", not exists (select from old) from made"};

static const struct db_statement delete_schedule = {
    "api_delete_schedule",
    "with gone as (delete from job_schedules where tenant_id = $1::uuid and name = $2::text returning *), "
    "     noted as (" NOTE "select $4::uuid, $1::uuid, $3::text, 'schedule.delete', gone.name, "
                      NOTED("gone") ", null from gone) "
    "select " WHOLE("gone") " from gone"};
/* clang-format on */

static void add_text(struct store *store, const char *text)
{
    if (text == NULL) {
        db_param_null(&store->params);
    } else {
        db_param_text(&store->params, text, strlen(text));
    }
}

/* Who did it, and the id of the line in the audit. */
static void add_note(struct store *store, const char *actor)
{
    struct uuid id = uuid_new();
    add_text(store, actor);
    db_param_uuid(&store->params, &id);
}

void store_list_schedules(struct store *store, const struct uuid *tenant, db_done_fn *done,
                          void *arg)
{
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &list_schedules, done, arg);
}

void store_get_schedule(struct store *store, const struct uuid *tenant, const char *name,
                        db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    add_text(store, name);
    store_give(store, tenant, &get_schedule, done, arg);
}

void store_set_schedule(struct store *store, const struct uuid *tenant,
                        const struct store_schedule *schedule, const char *actor, db_done_fn *done,
                        void *arg)
{
    const char *const texts[] = {schedule->name,  schedule->spec,     schedule->tz,
                                 schedule->queue, schedule->job_type, schedule->concurrency_key,
                                 schedule->missed};
    db_param_uuid(&store->params, tenant);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        add_text(store, texts[i]);
    }
    db_param_text(&store->params, schedule->payload, schedule->payload_length);
    db_param_int4(&store->params, schedule->priority);
    db_param_int4(&store->params, schedule->max_attempts);
    db_param_bool(&store->params, schedule->enabled);
    if (!schedule->enabled || schedule->next_us == INT64_MAX) {
        db_param_null(&store->params);
    } else {
        db_param_timestamptz(&store->params, schedule->next_us);
    }
    add_note(store, actor);
    store_give(store, tenant, &set_schedule, done, arg);
}

void store_delete_schedule(struct store *store, const struct uuid *tenant, const char *name,
                           const char *actor, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    add_text(store, name);
    add_note(store, actor);
    store_give(store, tenant, &delete_schedule, done, arg);
}

bool store_read_schedule(const struct db_result *result, struct store_text *text_out)
{
    if (db_rows(result) == 0) {
        return false;
    }
    text_out->data = db_bytes(result, 0, 0, &text_out->length);
    return true;
}

bool store_read_schedule_is_new(const struct db_result *result)
{
    return db_bool(result, 0, 1);
}
