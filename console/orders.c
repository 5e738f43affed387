#include "console/orders.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/delivery/wish_device.h"
#include "console/deltas.h"
#include "console/devices.h"
#include "console/fleet_parts.h"
#include "diagnostics/assignment.h"
#include "repo/metadata.h"

#include <stdlib.h>
#include <string.h>

#define STEP_MOST 500 /* devices that a step takes up at most */
#define STEP_MS 12    /* that a step thinks; then it writes what came of it */
#define THINK_MOST 25 /* devices between two looks at the clock */
/* Far beyond what a device accepts (repo/order.c): more is a lie. */
#define SEEN_AHEAD_S (INT64_C(20) * 365 * 86400)

/* What is known about a device while its order is thought over. */
struct draft {
    int64_t device_id;
    char product[NAME_SIZE], hardware[NAME_SIZE], key_id[SHA256_HEX];
    struct wish_device device;
    int64_t seq, seen, expires_at; /* of the order that it has */
    char before[SHA256_HEX];
    struct order order;
    struct device_work work;
    char wish[SHA256_HEX];
    bool changed;
    char *document;
};

bool order_is_stale(const struct device *device, int64_t now)
{
    if (device->admission != ADMISSION_ACCEPTED || device->clone_suspected)
        return false;
    return device->wish_stale || device->order_expires_at < now + ORDER_RENEW_S;
}

/* Clears the mark first: what changes from here on sets it again. */
static bool draft_take(struct fleet *fleet, struct arena *arena, int64_t device_id, struct draft *draft)
{
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, device_id);
    bool stale = device && order_is_stale(device, clock_now());
    if (stale) {
        device->wish_stale = false;
        device->wish_taken = true;
        *draft = (struct draft){.device_id = device_id,
                                .seq = device->order_seq,
                                .seen = device->order_seen,
                                .expires_at = device->order_expires_at};
        wish_device_copy(arena, fleet, device, &draft->device);
        strcpy(draft->product, device->product);
        strcpy(draft->hardware, device->hardware);
        strcpy(draft->key_id, device->key.id);
        strcpy(draft->before, device->order_wish);
    }
    fleet_unlock(fleet);
    return stale;
}

/* --- the wish
 * ----------------------------------------------------------------------------------------------------- */

/* When and how a version is taken up; nothing where it is at once. */
static void apply_digest(struct json_writer *writer, const struct apply *apply)
{
    if (!apply->after && !apply->window[0] && !apply->on_start && !apply->rate)
        return;
    json_write_integer(writer, NULL, apply->after);
    json_write_string(writer, NULL, apply->window);
    json_write_boolean(writer, NULL, apply->on_start);
    json_write_integer(writer, NULL, apply->rate);
}

/* Everything that an order says but its number and times, as bytes to compare. */
static void wish_digest(struct draft *draft)
{
    TEXT(out);
    struct json_writer writer;
    const struct order *order = &draft->order;

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (size_t i = 0; i < order->set_count; i++) {
        json_write_string(&writer, NULL, order->set[i].asset);
        json_write_string(&writer, NULL, order->set[i].version);
        apply_digest(&writer, &order->set[i].apply);
    }
    json_write_end(&writer, ']');
    for (size_t i = 0; i < order->run_count; i++)
        text_printf(&out, "\n%s %lld %lld %lld %lld", order->runs[i].id,
                    (long long)order->runs[i].start_after, (long long)order->runs[i].start_before,
                    (long long)order->runs[i].not_after, (long long)order->runs[i].duration_s);
    sha256_hex(text_string(&out), out.size, draft->wish);
}

static bool draft_think(struct console *console, struct db_conn *conn, struct arena *arena,
                        struct wish_batch *batch, struct draft *draft, int64_t now, struct error *err)
{
    struct order *order = &draft->order;

    strcpy(order->device, draft->key_id);
    strcpy(order->product, draft->product);
    if (!wish_make_next(batch, &draft->device, &order->set, &order->set_count, err) ||
        !assignment_orders(conn, arena, draft->device_id, &order->runs, &order->run_count, &draft->work, err))
        return false;
    wish_digest(draft);
    /* A device that holds a higher seq than ours talked to a console that we are a restored copy of. */
    bool behind = draft->seen > draft->seq && draft->seen < now + SEEN_AHEAD_S;
    draft->changed = strcmp(draft->wish, draft->before) || draft->expires_at < now + ORDER_RENEW_S || behind;
    if (!draft->changed)
        return true;
    int64_t last = behind ? draft->seen : draft->seq;
    order->seq = last + 1 > now ? last + 1 : now;
    order->issued = now;
    order->expires = now + ORDER_S;
    TEXT(document);
    if (!repo_order_sign(console->repo, order, &document, err))
        return false;
    draft->document = arena_strdup(arena, text_string(&document));
    return true;
}

static bool draft_store(struct db_conn *conn, const struct draft *draft, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO device_order (device_id, seq, expires_at, wish, document)"
              " VALUES (:device, :seq, :expires, :wish, :document) ON CONFLICT (device_id) DO UPDATE SET"
              " seq = excluded.seq, expires_at = excluded.expires_at, wish = excluded.wish,"
              " document = excluded.document WHERE excluded.seq > device_order.seq");

    db_bind_integer(query, ":device", draft->device_id);
    db_bind_integer(query, ":seq", draft->order.seq);
    db_bind_integer(query, ":expires", draft->order.expires);
    db_bind_text(query, ":wish", draft->wish);
    db_bind_text(query, ":document", draft->document);
    return db_run(query, NULL, err);
}

/* What the device will ask for, ahead of it. */
static void deltas_prepare(struct console *console, const struct draft *draft)
{
    for (size_t i = 0; draft->changed && i < draft->order.set_count; i++) {
        const struct set_entry *entry = &draft->order.set[i];
        const char *from = wish_device_runs(&draft->device, entry->asset);

        if (from && *from && strcmp(from, entry->version) != 0)
            deltas_ordered(console->deltas, draft->product, entry->asset, from, entry->version);
    }
}

/* Memory follows the database. */
static void draft_apply(struct fleet *fleet, const struct draft *draft)
{
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, draft->device_id);
    if (draft->changed) {
        own_string(&device->order, draft->document);
        device->order_seq = draft->order.seq;
        device->order_expires_at = draft->order.expires;
        strcpy(device->order_wish, draft->wish);
    }
    device->wish_taken = false;
    device->work_from = draft->work.due_from;
    device->offers = draft->work.waits;
    device->overdue = draft->work.alarm;
    if (!strcmp(device->image.run_id, draft->work.run_id))
        device->image.run = draft->work.run_number;
    fleet_unlock(fleet);
}

/* Not made: it is to be thought over again. */
static void draft_drop(struct fleet *fleet, const struct draft *draft)
{
    fleet_lock(fleet);
    struct device *device = fleet_by_id(fleet, draft->device_id);
    device->wish_taken = false;
    device_wish_changed(device);
    fleet_unlock(fleet);
}

/* --- making
 * ------------------------------------------------------------------------------------------------------- */

/* The mark of each is cleared before the database is read: what is decided later sets it again. */
static bool think_some(struct console *console, struct arena *arena, const int64_t *device_ids, size_t count,
                       struct draft *drafts, size_t *taken, struct error *err)
{
    int64_t now = clock_now();

    *taken = 0;
    for (size_t i = 0; i < count; i++)
        *taken += draft_take(console->fleet, arena, device_ids[i], &drafts[*taken]);
    if (!*taken)
        return true;
    DB_DONE(conn) = db_read(console->db, err);
    struct wish_batch *batch = wish_batch(conn, arena);
    for (size_t i = 0; conn && i < *taken; i++)
        if (!draft_think(console, conn, arena, batch, &drafts[i], now, err))
            return false;
    return conn != NULL;
}

static bool store_all(struct console *console, const struct draft *drafts, size_t count, struct error *err)
{
    bool changed = false;

    for (size_t i = 0; i < count; i++)
        changed |= drafts[i].changed;
    if (!changed)
        return true;
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    for (size_t i = 0; i < count; i++)
        if (drafts[i].changed && !draft_store(conn, &drafts[i], err)) {
            db_done(conn);
            return false;
        }
    return db_commit(conn, err);
}

/* Until it is `until_ms`, but one look at least; *made of `device_ids` are done then. */
static bool make_until(struct console *console, const int64_t *device_ids, size_t count, int64_t until_ms,
                       size_t *made, struct error *err)
{
    ARENA(arena);
    struct draft *drafts = arena_array(&arena, count, sizeof *drafts);
    size_t drafted = 0, taken;
    bool good = true;

    *made = 0;
    while (good && *made < count) {
        size_t some = count - *made < THINK_MOST ? count - *made : THINK_MOST;

        good = think_some(console, &arena, device_ids + *made, some, drafts + drafted, &taken, err);
        drafted += taken;
        *made += some;
        if (clock_boot_ms() >= until_ms)
            break;
    }
    good = good && store_all(console, drafts, drafted, err);
    for (size_t i = 0; i < drafted; i++) {
        if (good)
            deltas_prepare(console, &drafts[i]);
        (good ? draft_apply : draft_drop)(console->fleet, &drafts[i]);
    }
    return good || error_add(err, "no new orders");
}

bool orders_make(struct console *console, const int64_t *device_ids, size_t count, struct error *err)
{
    size_t made;

    pthread_mutex_lock(&console->fleet->orders);
    bool good = make_until(console, device_ids, count, INT64_MAX, &made, err);
    pthread_mutex_unlock(&console->fleet->orders);
    return good;
}

/* Those behind the one that was made last, in the order of their rows and then from the first on, so that all
 * get their turn. *whole: all were looked at. */
static size_t stale_find(struct fleet *fleet, int64_t *ids, bool *whole)
{
    int64_t now = clock_now();
    size_t stale = 0;

    fleet_lock(fleet);
    size_t left = fleet->id_room, at = (size_t)fleet->orders_at;
    for (; left && stale < STEP_MOST; left--, at++) {
        const struct device *device = fleet->by_id[at % fleet->id_room];

        if (device && order_is_stale(device, now))
            ids[stale++] = device->id;
    }
    *whole = !left;
    fleet_unlock(fleet);
    return stale;
}

bool orders_step(struct console *console, struct error *err)
{
    struct fleet *fleet = console->fleet;
    int64_t ids[STEP_MOST];
    size_t made;
    bool whole;

    size_t stale = stale_find(fleet, ids, &whole);
    if (!stale)
        return true;
    pthread_mutex_lock(&fleet->orders);
    bool good = make_until(console, ids, stale, clock_boot_ms() + STEP_MS, &made, err);
    pthread_mutex_unlock(&fleet->orders);
    fleet->orders_at = ids[made - 1];
    console->step_has_more = good && (!whole || made < stale);
    return good;
}
