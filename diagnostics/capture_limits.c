/* How much captures may take: of one run, one device, one campaign, all together. What they take is kept, not
 * counted. */
#include "diagnostics/capture_parts.h"

#include "base/file.h"

bool capture_limits(struct diagnostics *diagnostics, struct db_conn *conn, const char *product,
                    struct capture_limits *limits, struct error *err)
{
    *limits = (struct capture_limits){.device_quota = CAPTURE_DEVICE_QUOTA};
    return !diagnostics->hooks.capture_limits ||
           diagnostics->hooks.capture_limits(diagnostics->hooks.context, conn, product, limits, err);
}

/* --- what they take
 * ----------------------------------------------------------------------------------------------- */

static bool total(struct db_conn *conn, const char *scope, int64_t id, int64_t *length, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT length FROM capture_total WHERE scope = :scope AND id = :id");

    *length = 0;
    db_bind_text(query, ":scope", scope);
    db_bind_integer(query, ":id", id);
    if (db_step(query))
        *length = db_integer(query, 0);
    return db_end(query, err);
}

bool capture_bytes(struct db_conn *conn, int64_t *bytes, struct error *err)
{
    return total(conn, "all", 0, bytes, err);
}

static bool total_add(struct db_conn *conn, const char *scope, int64_t id, int64_t change, struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO capture_total (scope, id, length) VALUES (:scope, :id, :change)"
                       " ON CONFLICT (scope, id) DO UPDATE SET length = length + excluded.length");

    db_bind_text(query, ":scope", scope);
    db_bind_integer(query, ":id", id);
    db_bind_integer(query, ":change", change);
    return db_run(query, NULL, err);
}

static bool owner(struct db_conn *conn, const char *run_id, int64_t *campaign, int64_t *device_id,
                  struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT campaign_id, device_id FROM assignment WHERE id = :run");
    bool found;

    db_bind_text(query, ":run", run_id);
    found = db_step(query);
    if (found) {
        *campaign = db_integer(query, 0);
        *device_id = db_integer(query, 1);
    }
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "there is no such run"));
}

bool capture_counted(struct db_conn *conn, const char *run_id, int64_t change, struct error *err)
{
    int64_t campaign = 0, device_id = 0;

    return change == 0 ||
           (owner(conn, run_id, &campaign, &device_id, err) && total_add(conn, "all", 0, change, err) &&
            total_add(conn, "campaign", campaign, change, err) &&
            total_add(conn, "device", device_id, change, err));
}

/* --- what they may
 * ------------------------------------------------------------------------------------------------ */

struct asking {
    int64_t campaign, device_id, max_output, length;
    const char *product;
};

/* Whose run is it, and how much may its image bring? */
static bool asking_read(struct db_conn *conn, struct arena *arena, const char *run_id, struct asking *asking,
                        struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT c.id, c.max_output, c.product FROM assignment a JOIN campaign c ON c.id = a.campaign_id"
              " WHERE a.id = :run AND a.device_id = :device");
    bool found;

    db_bind_text(query, ":run", run_id);
    db_bind_integer(query, ":device", asking->device_id);
    found = db_step(query);
    if (found) {
        asking->campaign = db_integer(query, 0);
        asking->max_output = db_integer(query, 1);
        asking->product = db_text_copy(query, 2, arena);
    }
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "this device has no such run"));
}

static bool quota_check(struct db_conn *conn, const char *scope, int64_t id, int64_t quota, int64_t length,
                        const char *of, struct error *err)
{
    int64_t held;

    if (!total(conn, scope, id, &held, err))
        return false;
    return !quota || length <= quota - held ||
           error_set(err, ERROR_LIMIT,
                     "the quota of %s, %lld bytes, is used up: %lld are taken, the capture has %lld", of,
                     (long long)quota, (long long)held, (long long)length);
}

bool capture_allowed(struct diagnostics *diagnostics, struct db_conn *conn, int64_t device_id,
                     const char *run_id, int64_t length, struct error *err)
{
    ARENA(arena);
    struct asking asking = {.device_id = device_id, .length = length};
    struct capture_limits limits;

    if (!asking_read(conn, &arena, run_id, &asking, err))
        return false;
    if (length > asking.max_output)
        return error_set(err, ERROR_LIMIT, "the capture has %lld bytes, the image may bring %lld",
                         (long long)length, (long long)asking.max_output);
    if (!capture_limits(diagnostics, conn, asking.product, &limits, err) ||
        !quota_check(conn, "device", device_id, limits.device_quota, length, "this device's captures", err) ||
        !quota_check(conn, "campaign", asking.campaign, limits.campaign_quota, length,
                     "this campaign's captures", err) ||
        !quota_check(conn, "all", 0, diagnostics->quota, length, "all captures", err))
        return false;
    return file_space(diagnostics->captures_dirfd) - length >= CAPTURE_SPACE_LEFT ||
           error_set(err, ERROR_LIMIT, "the console's disk has no space for this capture");
}
