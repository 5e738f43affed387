/* How many assignments of a run are in each state: kept in the transaction that changes them, so that neither
 * a report nor a page counts rows. */
#include "diagnostics/assignment.h"

bool assignment_counted(struct act *act, int64_t campaign, int64_t run, enum assignment_state state,
                        int64_t change, struct error *err)
{
    struct db_query *query = db_query(
        act->conn,
        "INSERT INTO run_count (campaign_id, run_number, state, count) VALUES (:campaign, :run, :state,"
        " :change) ON CONFLICT (campaign_id, run_number, state) DO UPDATE SET"
        " count = run_count.count + excluded.count");

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    db_bind_text(query, ":state", assignment_lifecycle.states[state].name);
    db_bind_integer(query, ":change", change);
    return db_run(query, NULL, err);
}

bool assignment_counts(struct db_conn *conn, int64_t campaign, int64_t run, int64_t counts[ASSIGNMENT_STATES],
                       struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT state, sum(count) FROM run_count WHERE campaign_id = :campaign"
                       " AND (:run = 0 OR run_number = :run) GROUP BY state");

    for (int i = 0; i < ASSIGNMENT_STATES; i++)
        counts[i] = 0;
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    while (db_step(query)) {
        int state;

        if (lifecycle_find(&assignment_lifecycle, db_text(query, 0), &state))
            counts[state] = db_integer(query, 1);
    }
    return db_end(query, err);
}
