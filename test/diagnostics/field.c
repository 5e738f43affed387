#include "test/diagnostics/field.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool hook_written(void *context, struct db_conn *conn, const struct change *change, struct error *err)
{
    struct field *field = context;

    (void)conn, (void)err;
    assert_non_null(change->to);
    field->written++;
    return true;
}

static void hook_told(void *context, const struct change *change)
{
    struct field *field = context;

    (void)change;
    field->told++;
}

static void hook_wish(void *context, int64_t device_id)
{
    struct field *field = context;

    assert_true(device_id > 0);
    field->wished++;
}

static void hook_zone(void *context, int64_t device_id, char name[ZONE_NAME_SIZE])
{
    struct field *field = context;

    *name = '\0';
    for (int n = 0; n < FIELD_DEVICES; n++)
        if (field->devices[n] == device_id && field->zones[n])
            strcpy(name, field->zones[n]);
}

static bool hook_approvals(void *context, struct db_conn *conn, const char *product, int *needed,
                           struct error *err)
{
    struct field *field = context;

    (void)conn, (void)err;
    assert_string_equal(product, "demo");
    *needed = field->approvals ? field->approvals : 1;
    return true;
}

static bool hook_offered(void *context, struct db_conn *conn, const char *product, const char *image,
                         const char *version, struct error *err)
{
    const struct field *field = context;

    (void)conn, (void)product;
    return !field->withdrawn || error_set(err, ERROR_CONFLICT, "%s %s was withdrawn", image, version);
}

static bool hook_limits(void *context, struct db_conn *conn, const char *product,
                        struct capture_limits *limits, struct error *err)
{
    struct field *field = context;

    (void)conn, (void)err;
    assert_string_equal(product, "demo");
    *limits = field->limits;
    return true;
}

static void publish_image(struct field *field)
{
    static const char limits[] =
        "{\"entry\":[\"./run\"],\"mode\":\"replace\",\"max_runtime_s\":60,\"grace_s\":2,"
        "\"max_output\":4096,\"max_memory\":1048576,\"max_pids\":4,\"collect\":[],"
        "\"network\":\"none\"}";
    static const char program[] = "#!/bin/sh\n";
    struct manifest_file files[] = {{.path = "diagnostic.json", .length = sizeof limits - 1, .mode = 0644},
                                    {.path = "run", .length = sizeof program - 1, .mode = 0755}};
    struct publication publication = {.author = "ada"};
    struct published published;
    struct error err = {0};

    assert_ok(object_put(field->repo, limits, sizeof limits - 1, files[0].sha256, &err), err);
    assert_ok(object_put(field->repo, program, sizeof program - 1, files[1].sha256, &err), err);
    publication.manifest.kind = KIND_DIAGNOSTIC;
    strcpy(publication.manifest.product, "demo");
    strcpy(publication.manifest.asset, "look");
    strcpy(publication.manifest.version, "1.0.0");
    publication.manifest.files = files;
    publication.manifest.file_count = 2;
    assert_ok(repo_publish(field->repo, &publication, &published, &err), err);
}

static void add_device(struct field *field, int n)
{
    char name[16], key[2 * PUBLIC_KEY_SIZE + 1];
    struct error err = {0};
    struct db_conn *conn = db_write(field->db, &err);

    assert_ok(conn, err);
    private_key_make(&field->keys[n]);
    hex_encode(key, field->keys[n].public.bytes, PUBLIC_KEY_SIZE);
    snprintf(name, sizeof name, "d%d", n + 1);
    struct db_query *query =
        db_query(conn, "INSERT INTO device (name, product, key_id, public_key, admission, enrolled_at)"
                       " VALUES (:name, 'demo', :id, :key, 'accepted', 1)");
    db_bind_text(query, ":name", name);
    db_bind_text(query, ":id", field->keys[n].public.id);
    db_bind_text(query, ":key", key);
    assert_ok(db_run(query, NULL, &err), err);
    field->devices[n] = db_last_id(conn);
    assert_ok(db_commit(conn, &err), err);
}

static void field_open(struct field *field)
{
    char path[96];
    struct error err = {0};
    const struct diagnostics_hooks hooks = {.context = field,
                                            .written = hook_written,
                                            .told = hook_told,
                                            .wish = hook_wish,
                                            .zone = hook_zone,
                                            .approvals = hook_approvals,
                                            .offered = hook_offered,
                                            .capture_limits = hook_limits};

    snprintf(path, sizeof path, "%s/console.db", field->scratch.path);
    field->db = db_open(path, schema_migrations, &err);
    assert_ok(field->db, err);
    field->repo = repo_open(field->scratch.fd, field->scratch.path, field->db, &err);
    assert_ok(field->repo, err);
    field->diagnostics = diagnostics_open(field->db, field->repo, field->scratch.fd, &hooks, &err);
    assert_ok(field->diagnostics, err);
}

static void field_close(struct field *field)
{
    diagnostics_close(field->diagnostics);
    repo_close(field->repo);
    db_close(field->db);
}

int field_setup(void **state)
{
    struct field *field = calloc(1, sizeof *field);

    log_level = LOG_ERROR;
    scratch_make(&field->scratch);
    field_open(field);
    publish_image(field);
    for (int n = 0; n < FIELD_DEVICES; n++)
        add_device(field, n);
    *state = field;
    return 0;
}

void field_reopen(struct field *field)
{
    field_close(field);
    field_open(field);
}

void field_count(struct field *field)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(conn, err);
    struct db_query *query = db_query(
        conn,
        "SELECT r.campaign_id, r.number, coalesce(k.state, a.state), coalesce(k.count, 0), coalesce(a.rows, "
        "0)"
        " FROM run r JOIN (SELECT campaign_id, run_number, state, count(*) AS rows FROM assignment"
        " GROUP BY campaign_id, run_number, state) a ON a.campaign_id = r.campaign_id AND a.run_number = "
        "r.number"
        " LEFT JOIN run_count k ON k.campaign_id = a.campaign_id AND k.run_number = a.run_number"
        " AND k.state = a.state WHERE coalesce(k.count, 0) <> a.rows"
        " UNION ALL SELECT k.campaign_id, k.run_number, k.state, k.count, 0 FROM run_count k"
        " WHERE k.count <> 0 AND NOT EXISTS (SELECT 1 FROM assignment a WHERE a.campaign_id = k.campaign_id"
        " AND a.run_number = k.run_number AND a.state = k.state)");
    if (db_step(query))
        fail_msg("campaign %lld run %lld: %lld %s are counted, %lld there", (long long)db_integer(query, 0),
                 (long long)db_integer(query, 1), (long long)db_integer(query, 3), db_text(query, 2),
                 (long long)db_integer(query, 4));
    assert_ok(db_end(query, &err), err);
}

int field_teardown(void **state)
{
    struct field *field = *state;

    field_count(field);
    clock_shift(0);
    field_close(field);
    scratch_remove(&field->scratch);
    arena_end(&field->arena);
    free(field);
    return 0;
}

void field_at(struct field *field, int64_t at)
{
    field->shifted += at - clock_now();
    clock_shift(field->shifted);
}

void field_wait(struct field *field, int64_t seconds)
{
    struct error err = {0};

    field->shifted += seconds;
    clock_shift(field->shifted);
    assert_ok(diagnostics_step(field->diagnostics, &err), err);
}

int64_t field_campaign(struct field *field, size_t devices, int64_t at, int64_t parallel)
{
    struct campaign_plan plan = {.product = "demo",
                                 .image = "look",
                                 .device_ids = field->devices,
                                 .device_count = devices,
                                 .duration_s = 30,
                                 .at = at,
                                 .parallel = parallel,
                                 .operator_name = "ada"};
    struct error err = {0};
    int64_t id = 0;

    assert_ok(campaign_create(field->diagnostics, &plan, &id, &err), err);
    return id;
}

size_t field_orders(struct field *field, int device, char run_id[RUN_ID_TEXT])
{
    struct order_run *runs;
    struct device_work work;
    size_t count;
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(conn, err);
    assert_ok(assignment_orders(conn, &field->arena, field->devices[device], &runs, &count, &work, &err),
              err);
    if (count && run_id)
        memcpy(run_id, runs[0].id, RUN_ID_TEXT);
    return count;
}

bool field_report(struct field *field, int device, struct error *err, const char *format, ...)
{
    struct act act;
    va_list args;

    va_start(args, format);
    const char *text = arena_vprintf(&field->arena, format, args);
    va_end(args);
    const struct json *report = json_read(&field->arena, text, strlen(text), &json_limits_small, err);
    assert_ok(report, *err);
    return act_begin(&act, field->diagnostics, NULL, err) &&
           act_end(&act,
                   assignment_report(&act, field->devices[device], &field->keys[device].public, report, err),
                   err);
}

const char *field_state(struct field *field, int64_t campaign, int device)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);
    const char *state = "none";

    assert_ok(conn, err);
    struct db_query *query = db_query(conn, "SELECT state, alarm, reason_code FROM assignment"
                                            " WHERE campaign_id = :campaign AND device_id = :device");
    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":device", field->devices[device]);
    if (db_step(query)) {
        const char *alarm = db_text(query, 1), *code = db_text(query, 2);

        state = arena_printf(&field->arena, "%s%s%s%s%s%s", db_text(query, 0), code ? "(" : "",
                             code ? code : "", code ? ")" : "", alarm ? "/" : "", alarm ? alarm : "");
    }
    assert_ok(db_end(query, &err), err);
    return state;
}

const char *field_run(struct field *field, int64_t campaign)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);
    const char *state = "none";

    assert_ok(conn, err);
    struct db_query *query =
        db_query(conn, "SELECT r.state, c.state FROM run r JOIN campaign c ON c.id = r.campaign_id"
                       " WHERE c.id = :campaign ORDER BY r.number LIMIT 1");
    db_bind_integer(query, ":campaign", campaign);
    if (db_step(query))
        state = arena_printf(&field->arena, "%s, %s", db_text(query, 0), db_text(query, 1));
    assert_ok(db_end(query, &err), err);
    return state;
}

const char *field_proof(struct field *field, int device, const char *run_id, bool equal, int leftovers)
{
    struct error err = {0};
    uint8_t signature[SIGNATURE_SIZE];
    char hex[2 * SIGNATURE_SIZE + 1];
    char before[SHA256_HEX], after[SHA256_HEX];
    TEXT(canonical);

    sha256_hex("set", 3, before);
    sha256_hex(equal ? "set" : "other", equal ? 3 : 5, after);
    const char *words =
        arena_printf(&field->arena,
                     "{\"run\":\"%s\",\"equal\":%s,\"leftovers\":%d,\"before\":\"%s\",\"after\":\"%s\","
                     "\"reverted_at\":\"2026-11-21T10:00:00Z\"",
                     run_id, equal ? "true" : "false", leftovers, before, after);
    const char *whole = arena_printf(&field->arena, "%s}", words);
    const struct json *json = json_read(&field->arena, whole, strlen(whole), &json_limits_small, &err);

    assert_ok(json, err);
    assert_ok(json_canonical(json, &canonical, &err), err);
    private_key_sign(&field->keys[device], canonical.bytes, canonical.size, signature);
    hex_encode(hex, signature, sizeof signature);
    return arena_printf(&field->arena, "%s,\"signature\":\"%s\"}", words, hex);
}

/* --- plans, and what devices do and are told */
struct campaign_plan field_plan(struct field *field, size_t devices)
{
    return (struct campaign_plan){.product = "demo",
                                  .image = "look",
                                  .device_ids = field->devices,
                                  .device_count = devices,
                                  .duration_s = 30,
                                  .operator_name = "ada"};
}

int64_t field_create(struct field *field, const struct campaign_plan *plan)
{
    struct error err = {0};
    int64_t id = 0;

    assert_ok(campaign_create(field->diagnostics, plan, &id, &err), err);
    return id;
}

void field_say(struct field *field, int device, const char *run_id, const char *state)
{
    struct error err = {0};

    assert_ok(field_report(field, device, &err, "{\"run\":\"%s\",\"state\":\"%s\"}", run_id, state), err);
}

void field_offer(struct field *field, int device)
{
    struct error err = {0};

    assert_ok(assignment_offered(field->diagnostics, field->devices[device], &err), err);
}

struct order_run field_ordered(struct field *field, int device)
{
    struct order_run *runs;
    struct device_work work;
    size_t count;
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(conn, err);
    assert_ok(assignment_orders(conn, &field->arena, field->devices[device], &runs, &count, &work, &err),
              err);
    return count ? runs[0] : (struct order_run){0};
}

int64_t field_ask(struct field *field, const char *sql, int64_t campaign)
{
    struct error err = {0};
    DB_DONE(conn) = db_read(field->db, &err);

    assert_ok(conn, err);
    struct db_query *query = db_query(conn, sql);
    db_bind_integer(query, ":campaign", campaign);
    int64_t number = db_step(query) ? db_integer(query, 0) : -1;
    assert_ok(db_end(query, &err), err);
    return number;
}
