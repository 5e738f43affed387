/* Making runs: an assignment for each device, with the time at which it may begin. */
#include "diagnostics/run_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static bool run_insert(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                       bool filled, struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "INSERT INTO run (campaign_id, number, state, since, starts_at, start_before, day, filled)"
                   " VALUES (:campaign, :number, 'scheduled', :now, :starts, :before, nullif(:day, 0),"
                   " nullif(:filled, -1))");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":starts", occurrence->start);
    db_bind_integer(query, ":before", occurrence->before);
    db_bind_integer(query, ":day", occurrence->day);
    db_bind_integer(query, ":filled", filled ? -1 : 0);
    const struct change change = {.noun = CHANGE_RUN,
                                  .campaign = campaign,
                                  .run = number,
                                  .to = run_lifecycle.states[RUN_SCHEDULED].name};
    return db_run(query, NULL, err) && act_changed(act, &change, err);
}

/* Random ids in their own order: so that the index of 100,000 new ones grows at its end. */
static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static char (*ids_make(struct arena *arena, size_t count))[RUN_ID_TEXT]
{
    char(*ids)[RUN_ID_TEXT] = arena_array(arena, count, sizeof *ids);
    uint8_t chance[16];

    for (size_t i = 0; i < count; i++) {
        random_bytes(chance, sizeof chance);
        hex_encode(ids[i], chance, sizeof chance);
    }
    qsort(ids, count, sizeof *ids, by_text);
    return ids;
}

static bool assignment_insert(struct act *act, int64_t campaign, int64_t number, const char *id,
                              int64_t device_id, const struct span *span, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "INSERT INTO assignment (id, campaign_id, run_number, device_id, state, since, until, start_after,"
        " start_before) VALUES (:id, :campaign, :number, :device, 'queued', :now, :before, :start, :before)");

    db_bind_text(query, ":id", id);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":device", device_id);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":start", span->start);
    db_bind_integer(query, ":before", span->before);
    return db_run(query, NULL, err);
}

static bool all_insert(struct act *act, int64_t campaign, int64_t number, int64_t day,
                       const int64_t *device_ids, size_t count, struct error *err)
{
    struct spans spans;
    bool good = spans_begin(&spans, act, campaign, day, clock_now(), err);
    char(*ids)[RUN_ID_TEXT] = ids_make(&act->arena, count);

    for (size_t i = 0; good && i < count; i++) {
        struct span span = spans_of(&spans, device_ids[i]);
        good = assignment_insert(act, campaign, number, ids[i], device_ids[i], &span, err);
    }
    spans_end(&spans);
    return good && assignment_counted(act, campaign, number, ASSIGNMENT_QUEUED, (int64_t)count, err);
}

bool run_add(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
             const int64_t *device_ids, size_t device_count, struct error *err)
{
    return run_insert(act, campaign, number, occurrence, true, err) &&
           all_insert(act, campaign, number, occurrence->day, device_ids, device_count, err);
}

bool run_add_again(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                   struct error *err)
{
    return run_insert(act, campaign, number, occurrence, false, err) && run_fill(act, campaign, number, err);
}

#define FILL_SLICE 500

/* Devices of the campaign's first run that the run does not have yet; *from: up to where it has them. */
static bool missing_read(struct act *act, int64_t campaign, int64_t number, int64_t *device_ids,
                         size_t *count, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "SELECT device_id FROM assignment WHERE campaign_id = :campaign AND run_number = 1 AND device_id >"
        " (SELECT filled FROM run WHERE campaign_id = :campaign AND number = :number AND filled IS NOT NULL)"
        " ORDER BY device_id LIMIT :most");

    *count = 0;
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    db_bind_integer(query, ":most", FILL_SLICE);
    while (*count < FILL_SLICE && db_step(query))
        device_ids[(*count)++] = db_integer(query, 0);
    return db_end(query, err);
}

bool run_fill(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    int64_t ids[FILL_SLICE];
    size_t count;
    struct standing at;

    if (!standing_row(act, campaign, number, &at, err) ||
        !missing_read(act, campaign, number, ids, &count, err) ||
        !all_insert(act, campaign, number, at.day, ids, count, err))
        return false;
    struct db_query *query = db_query(act->conn, "UPDATE run SET filled = nullif(:filled, -1) WHERE"
                                                 " campaign_id = :campaign AND number = :number");
    db_bind_integer(query, ":filled", count == FILL_SLICE ? ids[count - 1] : -1);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

/* --- thinking it over
 * --------------------------------------------------------------------------------------------------- */

static bool retime_one(struct act *act, const char *id, const struct span *span, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET start_after = :start, start_before = :before,"
                            " until = :before WHERE id = :id AND state = 'queued'");

    db_bind_integer(query, ":start", span->start);
    db_bind_integer(query, ":before", span->before);
    db_bind_text(query, ":id", id);
    return db_run(query, NULL, err);
}

bool run_untime(struct act *act, int64_t campaign, int64_t number, struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "UPDATE assignment SET until = NULL WHERE campaign_id = :campaign"
                            " AND run_number = :number AND state = 'queued'");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

static bool retime_run(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                       struct error *err)
{
    struct db_query *query = db_query(
        act->conn, "UPDATE run SET starts_at = :starts, start_before = :before, day = nullif(:day, 0)"
                   " WHERE campaign_id = :campaign AND number = :number");

    db_bind_integer(query, ":starts", occurrence->start);
    db_bind_integer(query, ":before", occurrence->before);
    db_bind_integer(query, ":day", occurrence->day);
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

struct queued {
    char id[RUN_ID_TEXT];
    int64_t device_id;
    struct queued *next;
};

/* Read whole before any is written: the statement walks the index that writing changes. */
static bool queued_read(struct act *act, int64_t campaign, int64_t number, struct queued **first,
                        struct error *err)
{
    struct db_query *query =
        db_query(act->conn, "SELECT id, device_id FROM assignment WHERE campaign_id = :campaign"
                            " AND run_number = :number AND state = 'queued' ORDER BY device_id");

    *first = NULL;
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":number", number);
    while (db_step(query)) {
        struct queued *one = arena_alloc(&act->arena, sizeof *one);

        memcpy(one->id, db_text(query, 0), RUN_ID_TEXT);
        one->device_id = db_integer(query, 1);
        one->next = *first;
        *first = one;
    }
    return db_end(query, err);
}

bool run_retime(struct act *act, int64_t campaign, int64_t number, const struct occurrence *occurrence,
                struct error *err)
{
    struct spans spans;
    struct queued *queued;

    if (!retime_run(act, campaign, number, occurrence, err) ||
        !queued_read(act, campaign, number, &queued, err) ||
        !spans_begin(&spans, act, campaign, occurrence->day, clock_now(), err))
        return false;
    bool good = true;
    for (; good && queued; queued = queued->next) {
        struct span span = spans_of(&spans, queued->device_id);
        good = retime_one(act, queued->id, &span, err);
    }
    spans_end(&spans);
    return good;
}
