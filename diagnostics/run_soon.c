/* Who gets a place next: such devices come often, so that a free place does not wait for them. */
#include "diagnostics/run.h"

struct run_queue {
    int64_t campaign, number, looked, places; /* places: that come free meanwhile, about */
    struct run_queue *next;
};

static bool queues_read(struct db_conn *conn, struct arena *arena, int64_t within_s,
                        struct run_queue **queues, struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT r.campaign_id, r.number, r.looked, c.parallel, c.duration_s FROM run r"
              " JOIN campaign c ON c.id = r.campaign_id WHERE r.state = 'running' AND c.state = 'active'"
              " AND r.ended_by IS NULL AND c.parallel IS NOT NULL AND EXISTS (SELECT 1 FROM run_count k"
              " WHERE k.campaign_id = r.campaign_id AND k.run_number = r.number AND k.state = 'queued'"
              " AND k.count > 0) ORDER BY r.campaign_id DESC, r.number DESC");

    *queues = NULL;
    while (db_step(query)) {
        struct run_queue *queue = arena_alloc(arena, sizeof *queue);
        int64_t parallel = db_integer(query, 3);

        *queue = (struct run_queue){db_integer(query, 0), db_integer(query, 1), db_integer(query, 2),
                                    parallel + parallel * within_s / db_integer(query, 4), *queues};
        *queues = queue;
    }
    return db_end(query, err);
}

bool runs_soon(struct db_conn *conn, struct arena *arena, int64_t within_s, size_t most, int64_t **device_ids,
               size_t *count, struct error *err)
{
    struct run_queue *queues;

    *count = 0;
    *device_ids = arena_array(arena, most, sizeof **device_ids);
    if (!queues_read(conn, arena, within_s, &queues, err))
        return false;
    for (; queues && *count < most; queues = queues->next) {
        struct db_query *query = db_query(
            conn, "SELECT device_id FROM assignment WHERE campaign_id = :campaign AND run_number = :number"
                  " AND state = 'queued' AND device_id > :looked ORDER BY device_id LIMIT :places");

        db_bind_integer(query, ":campaign", queues->campaign);
        db_bind_integer(query, ":number", queues->number);
        db_bind_integer(query, ":looked", queues->looked);
        db_bind_integer(query, ":places", queues->places);
        while (*count < most && db_step(query))
            (*device_ids)[(*count)++] = db_integer(query, 0);
        if (!db_end(query, err))
            return false;
    }
    return true;
}
