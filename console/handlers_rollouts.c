/* Rollouts of one asset. */
#include "console/handlers.h"

#include "base/clock.h"
#include "console/console.h"
#include "console/delivery/group.h"
#include "console/delivery/rollout.h"
#include "console/filter.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 200
#define LIST_MOST 1000
#define WORDS_MOST 500 /* bytes of ticket and reason */
#define DEADLINE_DEFAULT_S 3600
#define FAILURES_DEFAULT "5%"
#define TIME_MOST_S (366 * 86400)

static const struct json_limits create_limits = {.bytes = 4 << 20, .values = 110000, .depth = 8};

/* --- members of the body
 * ------------------------------------------------------------------------------------------ */

static const struct json *given(const struct json *body, const char *key)
{
    const struct json *member = json_get(body, key);

    return member && member->type != JSON_NULL ? member : NULL;
}

static bool maybe_integer(const struct json *body, const char *key, int64_t min, int64_t max, int64_t *value,
                          struct error *err)
{
    return !given(body, key) || json_need_integer(body, key, min, max, value, err);
}

static bool maybe_text(const struct json *body, const char *key, const char **text, struct error *err)
{
    const struct json *member = given(body, key);

    if (!member)
        return true;
    if (member->type != JSON_STRING || member->size > WORDS_MOST)
        return error_set(err, ERROR_INPUT, "\"%s\" must be a string of at most %d bytes", key, WORDS_MOST);
    *text = member->string;
    return true;
}

static bool maybe_time(const struct json *body, const char *key, int64_t *at, struct error *err)
{
    const struct json *member = given(body, key);

    return !member || (member->type == JSON_STRING && time_parse(member->string, at)) ||
           error_set(err, ERROR_INPUT, "\"%s\" must be a time such as 2026-11-21T14:30:00Z", key);
}

static bool maybe_boolean(const struct json *body, const char *key, bool *value, struct error *err)
{
    const struct json *member = given(body, key);

    if (member && member->type != JSON_BOOL)
        return error_set(err, ERROR_INPUT, "\"%s\" must be true or false", key);
    *value = member && member->boolean;
    return true;
}

static bool stages_read(struct request *request, const struct json *body, struct rollout_plan *plan,
                        struct error *err)
{
    static const char *const all[] = {"100%"};
    const struct json *stages = given(body, "stages");
    size_t count = 0;

    plan->shares = all;
    plan->share_count = 1;
    if (!stages)
        return true;
    if (!json_need_array(body, "stages", &stages, err))
        return false;
    if (!stages->size || stages->size > ROLLOUT_STAGES_MOST)
        return error_set(err, ERROR_INPUT, "\"stages\" has 1 to %d shares", ROLLOUT_STAGES_MOST);
    const char **shares = arena_array(request->arena, stages->size, sizeof *shares);
    for (const struct json *one = stages->first; one; one = one->next) {
        if (one->type == JSON_STRING)
            shares[count++] = one->string;
        else if (one->is_integer)
            shares[count++] = arena_printf(request->arena, "%lld", (long long)one->integer);
        else
            return error_set(err, ERROR_INPUT, "\"stages\" are shares such as \"10%%\" or \"5\"");
    }
    plan->shares = shares;
    plan->share_count = count;
    return true;
}

static bool failures_read(const struct json *body, struct rollout_plan *plan, struct error *err)
{
    const struct json *member = json_get(body, "max_failures");

    plan->max_failures = FAILURES_DEFAULT;
    if (!member)
        return true;
    plan->max_failures = NULL; /* null: no gate */
    return maybe_text(body, "max_failures", &plan->max_failures, err);
}

static bool numbers_read(const struct json *body, struct rollout_plan *plan, struct error *err)
{
    plan->device_deadline_s = DEADLINE_DEFAULT_S;
    return maybe_integer(body, "soak_s", 0, TIME_MOST_S, &plan->soak_s, err) &&
           maybe_integer(body, "device_deadline_s", 1, TIME_MOST_S, &plan->device_deadline_s, err) &&
           maybe_integer(body, "stage_deadline_s", 1, TIME_MOST_S, &plan->stage_deadline_s, err) &&
           maybe_integer(body, "min_successes", 1, ROLLOUT_DEVICES_MOST, &plan->min_successes, err) &&
           maybe_integer(body, "parallel", 1, ROLLOUT_DEVICES_MOST, &plan->parallel, err) &&
           maybe_integer(body, "rate", 1024, INT32_MAX, &plan->rate, err) &&
           maybe_integer(body, "retries", 0, 10, &plan->retries, err);
}

static bool settings_read(struct request *request, const struct json *body, struct rollout_plan *plan,
                          struct error *err)
{
    return json_need_string(body, "product", &plan->product, err) &&
           json_need_string(body, "asset", &plan->asset, err) &&
           json_need_string(body, "version", &plan->version, err) && numbers_read(body, plan, err) &&
           failures_read(body, plan, err) && stages_read(request, body, plan, err) &&
           maybe_time(body, "at", &plan->at, err) && maybe_time(body, "ends_at", &plan->ends_at, err) &&
           maybe_text(body, "window", &plan->window, err) &&
           maybe_boolean(body, "approval", &plan->approval, err) &&
           maybe_boolean(body, "auto_roll_back", &plan->auto_roll_back, err) &&
           maybe_boolean(body, "late_joiners", &plan->late_joiners, err) &&
           maybe_boolean(body, "draft", &plan->draft, err) &&
           maybe_text(body, "reason", &plan->reason, err) && maybe_text(body, "ticket", &plan->ticket, err);
}

/* --- devices
 * ------------------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool names_to_ids(struct request *request, const struct json *names, int64_t **ids, size_t *count,
                         struct error *err)
{
    struct fleet *fleet = request->console->fleet;

    *ids = arena_array(request->arena, names->size, sizeof **ids);
    *count = 0;
    for (const struct json *name = names->first; name; name = name->next) {
        fleet_lock(fleet);
        const struct device *device = name->type == JSON_STRING ? fleet_by_name(fleet, name->string) : NULL;
        (*ids)[*count] = device ? device->id : 0;
        fleet_unlock(fleet);
        if (!(*ids)[(*count)++])
            return error_set(err, name->type == JSON_STRING ? ERROR_MISSING : ERROR_INPUT,
                             "there is no device %.64s", name->string ? name->string : "of that kind");
    }
    return true;
}

static bool group_choose(struct request *request, struct rollout_plan *plan, struct error *err)
{
    struct group group;
    DB_DONE(conn) = db_read(request->console->db, err);

    return conn && group_find(conn, request->arena, plan->group, &group, err) &&
           group_lasts(plan->group, &group, err) &&
           group_members(conn, request->arena, group.id, &plan->device_ids, &plan->device_count, err);
}

static bool filter_read(struct request *request, struct rollout_plan *plan, struct error *err)
{
    const struct filter *filter = filter_compile(request->arena, plan->filter, err);

    if (!filter)
        return false;
    plan->device_ids =
        filter_choose(filter, request->console->fleet, request->arena, false, &plan->device_count);
    return true;
}

/* Of the product alone, each once, rising. */
static bool ids_settle(struct request *request, struct rollout_plan *plan, struct error *err)
{
    struct fleet *fleet = request->console->fleet;
    bool named = !plan->group && !plan->filter;
    char other[NAME_SIZE] = "";
    size_t kept = 0;
    int64_t *ids = plan->device_ids;

    if (plan->device_count)
        qsort(ids, plan->device_count, sizeof *ids, by_number);
    fleet_lock(fleet);
    for (size_t i = 0; i < plan->device_count; i++) {
        const struct device *device = fleet_by_id(fleet, ids[i]);

        if (!device || (kept && ids[kept - 1] == device->id))
            continue;
        if (!strcmp(device->product, plan->product))
            ids[kept++] = device->id;
        else
            strcpy(other, device->name);
    }
    fleet_unlock(fleet);
    plan->device_count = kept;
    return !other[0] || !named ||
           error_set(err, ERROR_INPUT, "device %s is not of product %s", other, plan->product);
}

static bool devices_choose(struct request *request, const struct json *body, struct rollout_plan *plan,
                           struct error *err)
{
    const struct json *names = given(body, "devices");
    int64_t expected = -1;

    if (!maybe_text(body, "group", &plan->group, err) || !maybe_text(body, "filter", &plan->filter, err) ||
        !maybe_integer(body, "expect_count", 0, INT32_MAX, &expected, err))
        return false;
    if ((names != NULL) + (plan->group != NULL) + (plan->filter != NULL) != 1)
        return error_set(err, ERROR_INPUT,
                         "one of \"group\", \"filter\" and \"devices\" chooses the devices");
    bool good = plan->group ? group_choose(request, plan, err)
                : plan->filter
                    ? filter_read(request, plan, err)
                    : json_need_array(body, "devices", &names, err) &&
                          names_to_ids(request, names, &plan->device_ids, &plan->device_count, err);
    if (!good || !ids_settle(request, plan, err))
        return false;
    return expected < 0 || (size_t)expected == plan->device_count ||
           error_set(err, ERROR_CONFLICT, "%zu devices match, not the expected %lld", plan->device_count,
                     (long long)expected);
}

static bool plan_read(struct request *request, const struct json *body, struct rollout_plan *plan, bool *dry,
                      struct error *err)
{
    static const char *const allowed[] = {"product",
                                          "asset",
                                          "version",
                                          "group",
                                          "filter",
                                          "devices",
                                          "stages",
                                          "soak_s",
                                          "device_deadline_s",
                                          "stage_deadline_s",
                                          "max_failures",
                                          "min_successes",
                                          "approval",
                                          "at",
                                          "window",
                                          "parallel",
                                          "rate",
                                          "retries",
                                          "ends_at",
                                          "auto_roll_back",
                                          "late_joiners",
                                          "draft",
                                          "reason",
                                          "ticket",
                                          "expect_count",
                                          "dry_run",
                                          NULL};

    *plan = (struct rollout_plan){.operator_name = request->operator_name};
    return json_only(body, allowed, err) && maybe_boolean(body, "dry_run", dry, err) &&
           settings_read(request, body, plan, err) && devices_choose(request, body, plan, err);
}

/* --- creating
 * ----------------------------------------------------------------------------------------------------- */

static bool create(struct request *request, const struct rollout_plan *plan, struct json_writer *writer,
                   struct error *err)
{
    int64_t id;

    if (!rollout_create(request->console, plan, &id, err))
        return false;
    json_write_object(writer, NULL);
    json_write_integer(writer, "id", id);
    json_write_string(
        writer, "url",
        arena_printf(request->arena, "%s/rollouts/%lld", request->console->people_url, (long long)id));
    json_write_end(writer, '}');
    return true;
}

void rollouts_create(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct rollout_plan plan;
    struct error err = {0};
    bool dry = false;
    const struct json *body = request_json(request, &create_limits, &err);

    json_write_init(&writer, &out);
    if (body && plan_read(request, body, &plan, &dry, &err) &&
        (dry ? rollout_dry_run(request->console, &plan, &writer, &err)
             : create(request, &plan, &writer, &err)))
        answer_json(request, dry ? 200 : 201, &out);
    else
        answer_error(request, &err);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

static bool id_read(struct request *request, int64_t *id, struct error *err)
{
    return int64_parse(request->params[0], 1, INT64_MAX, id) ||
           error_set(err, ERROR_MISSING, "there is no rollout \"%.40s\"", request->params[0]);
}

static void rollout_answer(struct request *request, int64_t id)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (conn && rollout_write(conn, id, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void rollouts_show(struct request *request)
{
    struct error err = {0};
    int64_t id;

    if (id_read(request, &id, &err))
        rollout_answer(request, id);
    else
        answer_error(request, &err);
}

static bool page_read(struct request *request, int64_t *limit, int64_t *after, struct error *err)
{
    const char *limit_text = request_query(request, "limit"), *after_text = request_query(request, "after");

    *limit = LIST_DEFAULT;
    *after = 0;
    return ((!limit_text || int64_parse(limit_text, 1, LIST_MOST, limit)) &&
            (!after_text || int64_parse(after_text, 1, INT64_MAX, after))) ||
           error_set(err, ERROR_INPUT, "\"limit\" is 1 to %d, \"after\" the X-Next of the page before",
                     LIST_MOST);
}

static void next_say(struct request *request, int64_t last)
{
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
}

void rollouts_list(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", NULL};
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t limit, before, last, total;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn || !request_query_only(request, allowed, &err) || !page_read(request, &limit, &before, &err) ||
        !rollout_list(conn, before, limit, &writer, &last, &total, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    next_say(request, last);
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

static bool exists(struct db_conn *conn, int64_t id, struct error *err)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    return rollout_write(conn, id, &writer, err);
}

void rollouts_devices(struct request *request)
{
    static const char *const allowed[] = {"limit", "after", "state", "stage", NULL};
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t id, last;
    struct rollout_choice choice = {.state = request_query(request, "state")};
    const char *stage = request_query(request, "stage");
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (stage && !int64_parse(stage, 1, ROLLOUT_STAGES_MOST, &choice.stage))
        error_set(&err, ERROR_INPUT, "\"stage\" is 1 to %d", ROLLOUT_STAGES_MOST);
    if (err.kind || !request_query_only(request, allowed, &err) || !id_read(request, &id, &err) ||
        !page_read(request, &choice.limit, &choice.after, &err) || !exists(conn, id, &err) ||
        !rollout_write_devices(conn, id, &choice, &writer, &last, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    next_say(request, last);
    answer_json(request, 200, &out);
}

typedef bool part_write(struct db_conn *conn, int64_t id, struct json_writer *writer, struct error *err);

static void part_answer(struct request *request, part_write *write)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t id;
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    if (!conn || !id_read(request, &id, &err) || !exists(conn, id, &err) || !write(conn, id, &writer, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_end(&writer, ']');
    answer_json(request, 200, &out);
}

void rollouts_failures(struct request *request)
{
    part_answer(request, rollout_write_failures);
}

void rollouts_timeline(struct request *request)
{
    part_answer(request, rollout_write_timeline);
}

/* --- doing
 * -------------------------------------------------------------------------------------------------------- */

static void verb_do(struct request *request, enum rollout_verb verb)
{
    static const char *const allowed[] = {"reason", "expect", NULL};
    struct error err = {0};
    int64_t id;
    const char *reason = NULL, *expect = NULL;
    const struct json *body = request->body_size ? request_json(request, NULL, &err) : NULL;

    if (err.kind || !id_read(request, &id, &err) || (body && !json_only(body, allowed, &err)) ||
        !maybe_text(body, "reason", &reason, &err) || !maybe_text(body, "expect", &expect, &err) ||
        !rollout_do(request->console, id, verb, reason, expect, request->operator_name, &err))
        answer_error(request, &err);
    else
        rollout_answer(request, id);
}

void rollouts_start(struct request *request)
{
    verb_do(request, ROLLOUT_START);
}

void rollouts_pause(struct request *request)
{
    verb_do(request, ROLLOUT_PAUSE);
}

void rollouts_resume(struct request *request)
{
    verb_do(request, ROLLOUT_RESUME);
}

void rollouts_advance(struct request *request)
{
    verb_do(request, ROLLOUT_ADVANCE);
}

void rollouts_abort(struct request *request)
{
    verb_do(request, ROLLOUT_ABORT);
}

void rollouts_roll_back(struct request *request)
{
    verb_do(request, ROLLOUT_ROLL_BACK);
}

void rollouts_retry(struct request *request)
{
    verb_do(request, ROLLOUT_RETRY);
}

void rollouts_exclude(struct request *request)
{
    static const char *const allowed[] = {"devices", "reason", NULL};
    struct error err = {0};
    int64_t id, *ids;
    size_t count;
    const struct json *names, *body = request_json(request, &create_limits, &err);

    if (body && id_read(request, &id, &err) && json_only(body, allowed, &err) &&
        json_need_array(body, "devices", &names, &err) && names_to_ids(request, names, &ids, &count, &err) &&
        rollout_exclude(request->console, id, ids, count, request->operator_name, &err))
        rollout_answer(request, id);
    else
        answer_error(request, &err);
}
