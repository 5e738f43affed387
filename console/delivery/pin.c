#include "console/delivery/pin.h"

#include "base/clock.h"
#include "base/log.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/delivery/reason.h"
#include "console/delivery/wish_device.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "repo/repo.h"

#include <pthread.h>
#include <string.h>

/* --- looking
 * ------------------------------------------------------------------------------------------------------- */

struct pinning {
    struct arena *arena;
    const struct pin_request *asked;
    struct wish_device device;
    bool online;
};

static bool device_look(struct console *console, struct arena *arena, const char *name,
                        struct wish_device *device, bool *online, struct error *err)
{
    struct fleet *fleet = console->fleet;
    enum admission admission = ADMISSION_PENDING;

    fleet_lock(fleet);
    const struct device *found = fleet_by_name(fleet, name);
    if (found) {
        wish_device_copy(arena, fleet, found, device);
        admission = found->admission;
        *online = device_connectivity(fleet, found, clock_now()) == ONLINE;
    }
    fleet_unlock(fleet);
    if (!found)
        return error_set(err, ERROR_MISSING, "there is no device %.64s", name);
    return admission == ADMISSION_ACCEPTED ||
           error_set(err, ERROR_CONFLICT, "device %s is %s: only accepted devices are held at a version",
                     name, admission_name(admission));
}

/* The device would refuse to go below the highest counter that it committed; that of what it runs is known.
 */
static bool counter_check(struct db_conn *conn, const struct pinning *pinning,
                          const struct manifest *manifest, struct error *err)
{
    const char *running = wish_device_runs(&pinning->device, manifest->asset);
    int64_t counter = 0;

    if (!running)
        return true;
    struct db_query *query = db_query(conn, "SELECT counter FROM versions WHERE product = :product"
                                            " AND asset = :asset AND version = :version");
    db_bind_text(query, ":product", manifest->product);
    db_bind_text(query, ":asset", manifest->asset);
    db_bind_text(query, ":version", running);
    if (db_step(query))
        counter = db_integer(query, 0);
    if (!db_end(query, err))
        return false;
    return manifest->counter >= counter ||
           error_set(err, ERROR_CONFLICT,
                     "%s %s has the security counter %lld and %s runs %s with %lld: a device never goes back "
                     "below it",
                     manifest->asset, manifest->version, (long long)manifest->counter, pinning->asked->device,
                     running, (long long)counter);
}

static bool version_look(struct console *console, const struct pinning *pinning, struct error *err)
{
    const struct pin_request *asked = pinning->asked;
    const char *product = pinning->device.product;
    struct manifest manifest;
    char sha256[SHA256_HEX];
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !repo_manifest(console->repo, conn, pinning->arena, product, asked->asset, asked->version,
                                &manifest, sha256, err))
        return false;
    if (manifest.kind == KIND_DIAGNOSTIC)
        return error_set(err, ERROR_INPUT,
                         "%s/%s is a diagnostic image: it is sent by a campaign, never pinned", product,
                         asked->asset);
    if (!manifest_fits_hardware(&manifest, pinning->device.hardware))
        return error_set(err, ERROR_CONFLICT, "%s %s is not for the hardware of %s (%s)", asked->asset,
                         asked->version, asked->device,
                         pinning->device.hardware[0] ? pinning->device.hardware : "it names none");
    return withdrawn_check(conn, product, asked->asset, asked->version, err) &&
           counter_check(conn, pinning, &manifest, err);
}

static bool pin_look(struct console *console, struct pinning *pinning, const char **hint, struct error *err)
{
    const struct pin_request *asked = pinning->asked;

    if (!device_look(console, pinning->arena, asked->device, &pinning->device, &pinning->online, err))
        return false;
    if (asked->product && strcmp(asked->product, pinning->device.product))
        return error_set(err, ERROR_CONFLICT, "%s is a device of %s, not of %s", asked->device,
                         pinning->device.product, asked->product);
    if (!version_look(console, pinning, err))
        return false;
    if (asked->on_reset || pinning->online)
        return true;
    *hint = "pin it for its next start instead: --on-reset";
    return error_set(err, ERROR_CONFLICT, "%s is not online: only a device that is online is pinned now",
                     asked->device);
}

/* --- announced, listed, active
 * ------------------------------------------------------------------------------------- */

typedef bool pin_step(struct db_conn *conn, const struct pinning *pinning, struct error *err);

static bool write_step(struct console *console, pin_step *step, const struct pinning *pinning,
                       struct error *err)
{
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    if (!step(conn, pinning, err)) {
        db_done(conn);
        return false;
    }
    return db_commit(conn, err);
}

/* A pin that stands holds until the new one does. */
static bool announce(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "INSERT INTO pin (device_id, asset, version, next_version, on_reset, active, pinned_by, pinned_at)"
        " VALUES (:device, :asset, :version, :version, 0, 0, :by, :at) ON CONFLICT (device_id, asset)"
        " DO UPDATE SET next_version = excluded.next_version");

    db_bind_integer(query, ":device", pinning->device.id);
    db_bind_text(query, ":asset", pinning->asked->asset);
    db_bind_text(query, ":version", pinning->asked->version);
    db_bind_text(query, ":by", pinning->asked->operator_name);
    db_bind_integer(query, ":at", clock_now());
    return db_run(query, NULL, err);
}

static bool activate(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    const struct pin_request *asked = pinning->asked;
    struct arena *arena = pinning->arena;
    const char *when = asked->on_reset ? "at its next start" : "now";
    int64_t changes;
    struct db_query *query = db_query(
        conn, "UPDATE pin SET version = next_version, next_version = NULL, on_reset = :on_reset, active = 1,"
              " reason = :reason, pinned_by = :by, pinned_at = :at"
              " WHERE device_id = :device AND asset = :asset AND next_version = :version");

    db_bind_integer(query, ":device", pinning->device.id);
    db_bind_text(query, ":asset", asked->asset);
    db_bind_text(query, ":version", asked->version);
    db_bind_integer(query, ":on_reset", asked->on_reset);
    db_bind_text(query, ":reason", asked->reason);
    db_bind_text(query, ":by", asked->operator_name);
    db_bind_integer(query, ":at", clock_now());
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_CONFLICT, "%s was unpinned in between", asked->device);
    return audit_add(conn, asked->operator_name, "pin", asked->device,
                     arena_printf(arena, "%s %s %s%s%s", asked->asset, asked->version, when,
                                  asked->reason ? ": " : "", asked->reason ? asked->reason : ""),
                     err) &&
           device_event_add(conn, pinning->device.id, "pin",
                            arena_printf(arena, "pinned to %s %s %s by %s%s%s", asked->asset, asked->version,
                                         when, asked->operator_name, asked->reason ? ": " : "",
                                         asked->reason ? asked->reason : ""),
                            err);
}

static void device_touch(struct console *console, int64_t id, const char *name)
{
    fleet_lock(console->fleet);
    device_wish_changed(fleet_by_id(console->fleet, id));
    fleet_unlock(console->fleet);
    device_tell(console, name);
}

static bool pin_do(struct console *console, struct pinning *pinning, const char **hint, struct error *err)
{
    const struct pin_request *asked = pinning->asked;

    if (!pin_look(console, pinning, hint, err))
        return false;
    const char *reason = arena_printf(pinning->arena, "%s/%s: %s is pinned to a device",
                                      pinning->device.product, asked->asset, asked->version);
    if (!write_step(console, announce, pinning, err) ||
        !repo_resign(console->repo, pinning->device.product, asked->operator_name, reason, err) ||
        !write_step(console, activate, pinning, err))
        return false;
    device_touch(console, pinning->device.id, asked->device);
    log_event(LOG_INFO, "pinned", "device=%s asset=%s version=%s when=%s", asked->device, asked->asset,
              asked->version, asked->on_reset ? "reset" : "now");
    return true;
}

bool pin_set(struct console *console, const struct pin_request *asked, const char **hint, struct error *err)
{
    ARENA(arena);
    struct pinning pinning = {.arena = &arena, .asked = asked};

    *hint = NULL;
    if (!name_check("asset", asked->asset, err) || !version_check(asked->version, err) ||
        (asked->reason && !reason_check(asked->reason, err)))
        return false;
    /* A version that is withdrawn or released meanwhile waits for this, and this for it. */
    pthread_mutex_lock(&console->releasing);
    bool good = pin_do(console, &pinning, hint, err);
    pthread_mutex_unlock(&console->releasing);
    return good;
}

/* --- the end of a pin
 * ---------------------------------------------------------------------------------------------- */

static bool unpin(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    const struct pin_request *asked = pinning->asked;
    int64_t changes;
    struct db_query *query = db_query(conn, "DELETE FROM pin WHERE device_id = :device AND asset = :asset");

    db_bind_integer(query, ":device", pinning->device.id);
    db_bind_text(query, ":asset", asked->asset);
    if (!db_run(query, &changes, err))
        return false;
    if (!changes)
        return error_set(err, ERROR_MISSING, "%s is not pinned to a version of %s", asked->device,
                         asked->asset);
    return audit_add(conn, asked->operator_name, "unpin", asked->device, asked->asset, err) &&
           device_event_add(
               conn, pinning->device.id, "unpin",
               arena_printf(pinning->arena, "%s is unpinned by %s", asked->asset, asked->operator_name), err);
}

bool pin_end(struct console *console, const char *device, const char *asset, const char *operator_name,
             struct error *err)
{
    ARENA(arena);
    const struct pin_request asked = {.device = device, .asset = asset, .operator_name = operator_name};
    struct pinning pinning = {.arena = &arena, .asked = &asked};

    pinning.device.id = fleet_id_of(console->fleet, device, err);
    if (!pinning.device.id || !name_check("asset", asset, err))
        return false;
    pthread_mutex_lock(&console->releasing);
    bool good = write_step(console, unpin, &pinning, err);
    pthread_mutex_unlock(&console->releasing);
    if (good)
        device_touch(console, pinning.device.id, device);
    return good;
}

/* --- development devices
 * ------------------------------------------------------------------------------------------- */

/* What it is to run now is what it keeps: listed first, then it counts. */
static bool keep(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    struct set_entry *set;
    size_t count;

    if (!wish_make(conn, pinning->arena, &pinning->device, &set, &count, err))
        return false;
    struct db_query *query = db_query(conn, "DELETE FROM device_kept WHERE device_id = :device");
    db_bind_integer(query, ":device", pinning->device.id);
    if (!db_run(query, NULL, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        query = db_query(conn, "INSERT INTO device_kept (device_id, asset, version)"
                               " VALUES (:device, :asset, :version)");
        db_bind_integer(query, ":device", pinning->device.id);
        db_bind_text(query, ":asset", set[i].asset);
        db_bind_text(query, ":version", set[i].version);
        if (!db_run(query, NULL, err))
            return false;
    }
    return true;
}

static bool develop_write(struct db_conn *conn, const struct pinning *pinning, bool development,
                          struct error *err)
{
    const struct pin_request *asked = pinning->asked;
    const char *text = development ? "a development device from now on: it keeps what it has, by "
                                   : "no development device any more: it takes releases again, by ";
    struct db_query *query =
        db_query(conn, "UPDATE device SET development = :development WHERE id = :device");

    db_bind_integer(query, ":development", development);
    db_bind_integer(query, ":device", pinning->device.id);
    return db_run(query, NULL, err) &&
           audit_add(conn, asked->operator_name, "develop", asked->device, development ? "on" : "off", err) &&
           device_event_add(conn, pinning->device.id, "development",
                            arena_printf(pinning->arena, "%s%s", text, asked->operator_name), err);
}

static bool develop_begin(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    return develop_write(conn, pinning, true, err);
}

static bool develop_end(struct db_conn *conn, const struct pinning *pinning, struct error *err)
{
    struct db_query *query = db_query(conn, "DELETE FROM device_kept WHERE device_id = :device");

    db_bind_integer(query, ":device", pinning->device.id);
    return db_run(query, NULL, err) && develop_write(conn, pinning, false, err);
}

static void develop_apply(struct console *console, const struct pinning *pinning, bool development)
{
    fleet_lock(console->fleet);
    fleet_by_id(console->fleet, pinning->device.id)->development = development;
    fleet_unlock(console->fleet);
    device_touch(console, pinning->device.id, pinning->asked->device);
}

/* Of a product without assets nothing is kept, and nothing is to be listed. */
static bool keep_listed(struct console *console, const struct pinning *pinning, struct error *err)
{
    const char *reason =
        arena_printf(pinning->arena, "what the development device %s keeps", pinning->asked->device);

    if (repo_resign(console->repo, pinning->device.product, pinning->asked->operator_name, reason, err))
        return true;
    return err->kind == ERROR_MISSING;
}

static bool develop_do(struct console *console, struct pinning *pinning, bool development, struct error *err)
{
    const char *name = pinning->asked->device;

    if (!device_look(console, pinning->arena, name, &pinning->device, &pinning->online, err))
        return false;
    if (pinning->device.development == development)
        return true;
    bool good = development ? write_step(console, keep, pinning, err) && keep_listed(console, pinning, err) &&
                                  write_step(console, develop_begin, pinning, err)
                            : write_step(console, develop_end, pinning, err);
    if (good)
        develop_apply(console, pinning, development);
    return good;
}

bool pin_develop(struct console *console, const char *device, bool development, const char *operator_name,
                 struct error *err)
{
    ARENA(arena);
    const struct pin_request asked = {.device = device, .operator_name = operator_name};
    struct pinning pinning = {.arena = &arena, .asked = &asked};

    pthread_mutex_lock(&console->releasing);
    bool good = develop_do(console, &pinning, development, err);
    pthread_mutex_unlock(&console->releasing);
    return good;
}

/* --- reading, recovering
 * ------------------------------------------------------------------------------------------- */

bool pins_write(struct db_conn *conn, int64_t device_id, struct json_writer *writer, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT asset, version, on_reset, pinned_by, pinned_at, reason FROM pin"
                       " WHERE device_id = :device AND active = 1 ORDER BY asset");

    db_bind_integer(query, ":device", device_id);
    json_write_array(writer, "pins");
    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_string(writer, "asset", db_text(query, 0));
        json_write_string(writer, "version", db_text(query, 1));
        json_write_string(writer, "when", db_integer(query, 2) ? "reset" : "now");
        json_write_string(writer, "by", db_text(query, 3));
        json_write_time(writer, "at", db_integer(query, 4));
        json_write_string(writer, "reason", db_text(query, 5));
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
    return db_end(query, err);
}

bool pin_recover(struct db_conn *conn, struct error *err)
{
    return (db_run(db_query(conn, "DELETE FROM pin WHERE active = 0"), NULL, err) &&
            db_run(db_query(conn, "UPDATE pin SET next_version = NULL WHERE next_version IS NOT NULL"), NULL,
                   err) &&
            db_run(db_query(conn, "DELETE FROM device_kept WHERE device_id IN"
                                  " (SELECT id FROM device WHERE development = 0)"),
                   NULL, err)) ||
           error_add(err, "forgetting pins that were cut off");
}
