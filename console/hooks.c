#include "console/hooks.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/console.h"
#include "repo/name.h"

#include <stdio.h>
#include <string.h>

static const char *const events[] = {"alarm", "rollout", "campaign", NULL};

/* --- telling
 * ------------------------------------------------------------------------------------------------------ */

static const char *page_of(struct arena *arena, const struct console *console, const struct hook_news *news)
{
    const char *url = console->people_url ? console->people_url : "";

    if (news->rollout)
        return arena_printf(arena, "%s/rollouts/%lld", url, (long long)news->rollout);
    if (news->run && news->device)
        return arena_printf(arena, "%s/campaigns/%lld/runs/%lld/devices/%s", url, (long long)news->campaign,
                            (long long)news->run, news->device);
    if (news->run)
        return arena_printf(arena, "%s/campaigns/%lld/runs/%lld", url, (long long)news->campaign,
                            (long long)news->run);
    return arena_printf(arena, "%s/campaigns/%lld", url, (long long)news->campaign);
}

static const char *body_of(struct arena *arena, const struct console *console, const struct hook_news *news)
{
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "event", news->event);
    json_write_time(&writer, "at", clock_now());
    const struct {
        const char *key, *value;
    } words[] = {
        {"alarm", news->alarm}, {"state", news->state}, {"device", news->device}, {"reason", news->reason}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].value)
            json_write_string(&writer, words[i].key, words[i].value);
    if (news->campaign)
        json_write_integer(&writer, "campaign", news->campaign);
    if (news->run)
        json_write_integer(&writer, "run", news->run);
    if (news->rollout)
        json_write_integer(&writer, "rollout", news->rollout);
    json_write_string(&writer, "url", page_of(arena, console, news));
    json_write_end(&writer, '}');
    return arena_strdup(arena, text_string(&out));
}

struct listener {
    const char *name;
    int64_t waiting;
    struct listener *next;
};

static bool listeners_read(struct db_conn *conn, struct arena *arena, const char *event,
                           struct listener **listeners, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT name, (SELECT count(*) FROM hook_delivery d WHERE d.hook = hook.name"
                       " AND d.next_at IS NOT NULL) FROM hook WHERE events LIKE :word");

    *listeners = NULL;
    db_bind_text(query, ":word", arena_printf(arena, "%% %s %%", event));
    while (db_step(query)) {
        struct listener *one = arena_alloc(arena, sizeof *one);

        *one = (struct listener){db_text_copy(query, 0, arena), db_integer(query, 1), *listeners};
        *listeners = one;
    }
    return db_end(query, err);
}

static bool delivery_add(struct db_conn *conn, const char *hook, const char *event, const char *body,
                         struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO hook_delivery (hook, at, event, body, attempt, next_at)"
                       " VALUES (:hook, :now, :event, :body, 0, :now)");

    db_bind_text(query, ":hook", hook);
    db_bind_integer(query, ":now", clock_now());
    db_bind_text(query, ":event", event);
    db_bind_text(query, ":body", body);
    return db_run(query, NULL, err);
}

bool hook_tell(struct console *console, struct db_conn *conn, const struct hook_news *news, struct error *err)
{
    ARENA(arena);
    struct listener *listeners;

    if (!listeners_read(conn, &arena, news->event, &listeners, err))
        return false;
    const char *body = listeners ? body_of(&arena, console, news) : NULL;
    for (; listeners; listeners = listeners->next) {
        if (listeners->waiting >= HOOK_WAITING_MOST)
            log_event(LOG_WARNING, "hook_full", "hook=%s event=%s waiting=%lld", listeners->name, news->event,
                      (long long)listeners->waiting);
        else if (!delivery_add(conn, listeners->name, news->event, body, err))
            return false;
    }
    return true;
}

/* --- making and removing
 * ------------------------------------------------------------------------------------------ */

static bool event_is_known(const char *word)
{
    for (const char *const *event = events; *event; event++)
        if (string_is(word, *event))
            return true;
    return false;
}

/* " alarm campaign ": a word is found by its spaces. */
static const char *events_text(struct arena *arena, const struct json *list, struct error *err)
{
    const char *text = " ";

    for (const char *const *event = events; !list && *event; event++)
        text = arena_printf(arena, "%s%s ", text, *event);
    for (const struct json *one = list ? list->first : NULL; one; one = one->next) {
        if (!event_is_known(one->type == JSON_STRING ? one->string : NULL)) {
            error_set(err, ERROR_INPUT, "a hook is told alarm, rollout or campaign");
            return NULL;
        }
        if (!strstr(text, arena_printf(arena, " %s ", one->string)))
            text = arena_printf(arena, "%s%s ", text, one->string);
    }
    if (text[1])
        return text;
    error_set(err, ERROR_INPUT, "\"events\" names nothing");
    return NULL;
}

static bool secret_take(const char *given, char secret[HOOK_SECRET_SIZE], struct error *err)
{
    uint8_t random[32];

    if (!given) {
        random_bytes(random, sizeof random);
        hex_encode(secret, random, sizeof random);
        return true;
    }
    for (const char *c = given; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return error_set(err, ERROR_INPUT, "\"secret\" has a character that is not printable");
    if (strlen(given) < 16 || strlen(given) >= HOOK_SECRET_SIZE)
        return error_set(err, ERROR_INPUT, "\"secret\" must have 16 to %d characters", HOOK_SECRET_SIZE - 1);
    strcpy(secret, given);
    return true;
}

static bool row_add(struct db_conn *conn, const struct hook_plan *plan, const char *words,
                    const char *operator_name, const char *secret, struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO hook (name, url, events, secret, created_by, created_at)"
                       " VALUES (:name, :url, :events, :secret, :by, :now)");

    db_bind_text(query, ":name", plan->name);
    db_bind_text(query, ":url", plan->url);
    db_bind_text(query, ":events", words);
    db_bind_text(query, ":secret", secret);
    db_bind_text(query, ":by", operator_name);
    db_bind_integer(query, ":now", clock_now());
    if (db_run(query, NULL, err))
        return true;
    return err->kind != ERROR_CONFLICT ? false
                                       : error_set(err, ERROR_CONFLICT, "there is a hook %s", plan->name);
}

static bool room_check(struct db_conn *conn, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT count(*) FROM hook");
    int64_t count = 0;

    if (db_step(query))
        count = db_integer(query, 0);
    return db_end(query, err) &&
           (count < HOOKS_MOST || error_set(err, ERROR_LIMIT, "there are %d hooks at most", HOOKS_MOST));
}

bool hook_create(struct console *console, const struct hook_plan *plan, const char *operator_name,
                 char secret[HOOK_SECRET_SIZE], struct error *err)
{
    ARENA(arena);
    const char *base, *path, *words = NULL;

    if (!name_check("hook", plan->name, err) || !hook_url_read(&arena, plan->url, &base, &path, err) ||
        !(words = events_text(&arena, plan->events, err)) || !secret_take(plan->secret, secret, err))
        return false;
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (room_check(conn, err) && row_add(conn, plan, words, operator_name, secret, err) &&
        audit_add(conn, operator_name, "create", arena_printf(&arena, "hook %s", plan->name),
                  arena_printf(&arena, "%s is told:%s", base, words), err))
        return db_commit(conn, err);
    db_done(conn);
    return false;
}

bool hook_delete(struct console *console, const char *name, const char *operator_name, struct error *err)
{
    ARENA(arena);
    int64_t changes = 0;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "DELETE FROM hook WHERE name = :name");
    db_bind_text(query, ":name", name);
    if (db_run(query, &changes, err) &&
        (changes || error_set(err, ERROR_MISSING, "there is no hook \"%.64s\"", name)) &&
        audit_add(conn, operator_name, "delete", arena_printf(&arena, "hook %s", name), NULL, err))
        return db_commit(conn, err);
    db_done(conn);
    return false;
}

/* --- showing
 * ------------------------------------------------------------------------------------------------------ */

static void events_write(const char *words, struct json_writer *writer)
{
    json_write_array(writer, "events");
    for (const char *word = words + 1; *word; word += strcspn(word, " ") + 1)
        json_write_bytes(writer, NULL, word, strcspn(word, " "));
    json_write_end(writer, ']');
}

bool hooks_write(struct db_conn *conn, struct json_writer *writer, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "SELECT name, url, events, created_by, created_at, (SELECT count(*) FROM hook_delivery d"
        " WHERE d.hook = hook.name AND d.next_at IS NOT NULL), (SELECT count(*) FROM hook_delivery d"
        " WHERE d.hook = hook.name AND d.next_at IS NULL AND d.error IS NOT NULL) FROM hook ORDER BY name");

    while (db_step(query)) {
        json_write_object(writer, NULL);
        json_write_string(writer, "name", db_text(query, 0));
        json_write_string(writer, "url", db_text(query, 1));
        events_write(db_text(query, 2), writer);
        json_write_integer(writer, "waiting", db_integer(query, 5));
        json_write_integer(writer, "failed", db_integer(query, 6));
        json_write_string(writer, "created_by", db_text(query, 3));
        json_write_time(writer, "created_at", db_integer(query, 4));
        json_write_end(writer, '}');
    }
    return db_end(query, err);
}

static bool hook_check(struct db_conn *conn, const char *name, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT 1 FROM hook WHERE name = :name");
    bool found;

    db_bind_text(query, ":name", name);
    found = db_step(query);
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "there is no hook \"%.64s\"", name));
}

static void delivery_write(struct db_query *query, struct json_writer *writer)
{
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", db_integer(query, 0));
    json_write_time(writer, "at", db_integer(query, 1));
    json_write_string(writer, "event", db_text(query, 2));
    if (db_is_null(query, 3))
        json_write_null(writer, "status");
    else
        json_write_integer(writer, "status", db_integer(query, 3));
    json_write_string(writer, "error", db_text(query, 4));
    json_write_integer(writer, "attempt", db_integer(query, 5));
    json_write_time(writer, "tried_at", db_integer(query, 6));
    json_write_time(writer, "next_at", db_integer(query, 7));
    json_write_string(writer, "body", db_text(query, 8));
    json_write_end(writer, '}');
}

bool hook_write_log(struct db_conn *conn, const char *name, int64_t before, int64_t limit,
                    struct json_writer *writer, int64_t *last, struct error *err)
{
    int64_t at = 0;

    *last = 0;
    if (!hook_check(conn, name, err))
        return false;
    struct db_query *query =
        db_query(conn, "SELECT id, at, event, status, error, attempt, tried_at, next_at, body"
                       " FROM hook_delivery WHERE hook = :name AND (:before = 0 OR id < :before)"
                       " ORDER BY id DESC LIMIT :limit");
    db_bind_text(query, ":name", name);
    db_bind_integer(query, ":before", before);
    db_bind_integer(query, ":limit", limit + 1);
    for (int64_t written = 0; db_step(query); written++) {
        if (written == limit) {
            *last = at;
            break;
        }
        delivery_write(query, writer);
        at = db_integer(query, 0);
    }
    return db_end(query, err);
}
