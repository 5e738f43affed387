#include "console/delivery/target.h"

#include "base/clock.h"

bool target_set(struct db_conn *conn, int64_t device_id, const char *asset, const char *version,
                int64_t rollout, const struct apply *apply, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO device_target (device_id, asset, version, rollout_id, decided_at, apply_after,"
              " window, rate) VALUES (:device, :asset, :version, :rollout, :now, nullif(:after, 0), :window,"
              " nullif(:rate, 0)) ON CONFLICT (device_id, asset) DO UPDATE SET version = excluded.version,"
              " rollout_id = excluded.rollout_id, decided_at = excluded.decided_at,"
              " apply_after = excluded.apply_after, window = excluded.window, rate = excluded.rate");

    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    db_bind_integer(query, ":rollout", rollout);
    db_bind_integer(query, ":now", clock_now());
    db_bind_integer(query, ":after", apply ? apply->after : 0);
    db_bind_text(query, ":window", apply && apply->window[0] ? apply->window : NULL);
    db_bind_integer(query, ":rate", apply ? apply->rate : 0);
    return db_run(query, NULL, err);
}

bool target_clear(struct db_conn *conn, int64_t device_id, const char *asset, int64_t rollout,
                  struct error *err)
{
    struct db_query *query = db_query(conn, "DELETE FROM device_target WHERE device_id = :device"
                                            " AND asset = :asset AND rollout_id = :rollout");

    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":asset", asset);
    db_bind_integer(query, ":rollout", rollout);
    return db_run(query, NULL, err);
}

bool target_find(struct db_conn *conn, struct arena *arena, int64_t device_id, const char *asset,
                 struct target *target, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT version, rollout_id, decided_at FROM device_target"
                                            " WHERE device_id = :device AND asset = :asset");

    *target = (struct target){0};
    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":asset", asset);
    if (db_step(query))
        *target = (struct target){.version = db_text_copy(query, 0, arena),
                                  .rollout = db_integer(query, 1),
                                  .decided_at = db_integer(query, 2)};
    return db_end(query, err);
}

bool target_restore(struct db_conn *conn, int64_t device_id, const char *asset, int64_t rollout,
                    const struct target *before, struct error *err)
{
    if (!before->version)
        return target_clear(conn, device_id, asset, rollout, err);
    struct db_query *query =
        db_query(conn, "UPDATE device_target SET version = :version, rollout_id = :before,"
                       " decided_at = :at, apply_after = NULL, window = NULL, rate = NULL"
                       " WHERE device_id = :device AND asset = :asset AND rollout_id = :rollout");
    db_bind_text(query, ":version", before->version);
    db_bind_integer(query, ":before", before->rollout);
    db_bind_integer(query, ":at", before->decided_at);
    db_bind_integer(query, ":device", device_id);
    db_bind_text(query, ":asset", asset);
    db_bind_integer(query, ":rollout", rollout);
    return db_run(query, NULL, err);
}
