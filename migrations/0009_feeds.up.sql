-- Feeds: streams of a thread or a tenant, by position. A tenant's pages are found by the BRIN index on position, a range of
-- positions at a time: a btree on (tenant_id, position) would cost every append more than reading old pages is worth
-- (docs/decisions/0017). A thread's runs are found by runs_newest_thread, and their events by the log's own key, here:

-- The last seq of a run at or before a position, 0 for none. Within a run position grows with seq, so halving finds it.
create function seq_at_position(p_run uuid, p_last bigint, p_position bigint) returns bigint
language plpgsql stable set search_path = public, pg_temp as $$
declare
    low bigint := 0;
    high bigint := p_last;
    middle bigint := p_last; -- most runs of a thread have ended before the position
begin
    while low < high loop
        if coalesce((select e.position from run_events e where e.run_id = p_run and e.seq = middle), 0) <= p_position then
            low := middle;
        else
            high := middle - 1;
        end if;
        middle := (low + high + 1) / 2;
    end loop;
    return low;
end
$$;
revoke execute on function seq_at_position from public;
grant execute on function seq_at_position to signalbox_streamer;
