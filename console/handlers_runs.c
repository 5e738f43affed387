/* What people do to campaigns and runs, and single runs read. */
#include "console/handlers_campaigns.h"

#include "base/text.h"
#include "console/console.h"
#include "console/fleet.h"
#include "diagnostics/assignment.h"
#include "diagnostics/campaign.h"
#include "diagnostics/run.h"

#include <string.h>

#define LIST_DEFAULT 200
#define WHY_MOST 500 /* bytes */

static const struct json_limits devices_limits = {.bytes = 4 << 20, .values = 110000, .depth = 4};

/* A body that may be absent; {"reason"?} and what else is allowed. */
static bool body_read(struct request *request, const char *const *allowed, const struct json **body,
                      const char **why, struct error *err)
{
    const struct json *reason;

    *body = NULL;
    *why = NULL;
    if (!request->body_size)
        return true;
    *body = request_json(request, &devices_limits, err);
    if (!*body || !json_only(*body, allowed, err))
        return false;
    reason = json_get(*body, "reason");
    if (!reason || reason->type == JSON_NULL)
        return true;
    if (reason->type != JSON_STRING || reason->size > WHY_MOST)
        return error_set(err, ERROR_INPUT, "\"reason\" must be a string of at most %d bytes", WHY_MOST);
    *why = *reason->string ? reason->string : NULL;
    return true;
}

/* --- campaigns
 * ---------------------------------------------------------------------------------------------------- */

typedef bool campaign_act(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                          const char *why, struct error *err);

static void campaign_do(struct request *request, campaign_act *act)
{
    static const char *const allowed[] = {"reason", NULL};
    const struct json *body;
    const char *why;
    struct error err = {0};
    int64_t id;

    if (number_read(request->params[0], "campaign", &id, &err) &&
        body_read(request, allowed, &body, &why, &err) &&
        act(request->console->diagnostics, id, request->operator_name, why, &err))
        campaign_answer(request, id);
    else
        answer_error(request, &err);
}

static bool end_act(struct diagnostics *diagnostics, int64_t id, const char *operator_name, const char *why,
                    struct error *err)
{
    (void)why;
    return campaign_end(diagnostics, id, operator_name, err);
}

static bool approve_act(struct diagnostics *diagnostics, int64_t id, const char *operator_name,
                        const char *why, struct error *err)
{
    (void)why;
    return campaign_approve(diagnostics, id, operator_name, err);
}

void campaigns_end(struct request *request)
{
    campaign_do(request, end_act);
}

void campaigns_approve(struct request *request)
{
    campaign_do(request, approve_act);
}

void campaigns_pause(struct request *request)
{
    campaign_do(request, campaign_pause);
}

void campaigns_resume(struct request *request)
{
    campaign_do(request, campaign_resume);
}

/* --- runs
 * ---------------------------------------------------------------------------------------------------------
 */

static bool run_read(struct request *request, int64_t *campaign, int64_t *number, struct error *err)
{
    return number_read(request->params[0], "campaign", campaign, err) &&
           number_read(request->params[1], "run", number, err);
}

static void run_answer(struct request *request, int64_t campaign, int64_t number)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    DB_DONE(conn) = db_read(request->console->db, &err);

    json_write_init(&writer, &out);
    if (conn && run_write(conn, campaign, number, true, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void runs_show(struct request *request)
{
    struct error err = {0};
    int64_t campaign, number;

    if (run_read(request, &campaign, &number, &err))
        run_answer(request, campaign, number);
    else
        answer_error(request, &err);
}

/* What a request asks of a run. */
struct asked {
    int64_t campaign, number;
    const int64_t *device_ids; /* NULL: all */
    size_t count;
    int64_t duration_s;
    const char *why;
};

static bool asked_read(struct request *request, bool extends, struct asked *asked, struct error *err)
{
    static const char *const plain[] = {"devices", "reason", NULL}, *const longer[] = {"devices", "reason",
                                                                                       "duration_s", NULL};
    const struct json *body, *names;

    *asked = (struct asked){0};
    if (!run_read(request, &asked->campaign, &asked->number, err) ||
        !body_read(request, extends ? longer : plain, &body, &asked->why, err))
        return false;
    if (extends && (!body || !json_need_integer(body, "duration_s", 1, INT32_MAX, &asked->duration_s, err)))
        return body || error_set(err, ERROR_INPUT, "\"duration_s\" is needed");
    names = json_get(body, "devices");
    if (!names || names->type == JSON_NULL)
        return true;
    return json_need_array(body, "devices", &names, err) &&
           devices_named(request, names, &asked->device_ids, &asked->count, err);
}

static void run_do(struct request *request, bool needs_devices)
{
    struct asked asked;
    struct error err = {0};
    bool good = asked_read(request, false, &asked, &err);

    if (good && needs_devices && !asked.count)
        good = error_set(&err, ERROR_INPUT, "\"devices\" names those that are cancelled");
    if (good && campaign_return(request->console->diagnostics, asked.campaign, asked.number, asked.device_ids,
                                asked.count, request->operator_name, asked.why, &err))
        run_answer(request, asked.campaign, asked.number);
    else
        answer_error(request, &err);
}

void runs_return_now(struct request *request)
{
    run_do(request, false);
}

void runs_cancel(struct request *request)
{
    run_do(request, true);
}

void runs_extend(struct request *request)
{
    struct asked asked;
    struct error err = {0};

    if (asked_read(request, true, &asked, &err) &&
        campaign_extend(request->console->diagnostics, asked.campaign, asked.number, asked.device_ids,
                        asked.count, asked.duration_s, request->operator_name, &err))
        run_answer(request, asked.campaign, asked.number);
    else
        answer_error(request, &err);
}

/* --- devices of a run
 * ------------------------------------------------------------------------------------------------- */

static bool choice_read(struct request *request, struct assignment_choice *choice, struct error *err)
{
    static const char *const allowed[] = {"state", "limit", "after", NULL};
    const char *limit = request_query(request, "limit"), *after = request_query(request, "after");
    int state;

    *choice = (struct assignment_choice){.limit = LIST_DEFAULT, .state = request_query(request, "state")};
    if ((limit && !int64_parse(limit, 1, ASSIGNMENTS_WRITTEN_MOST, &choice->limit)) ||
        (after && !int64_parse(after, 1, INT64_MAX, &choice->after)))
        return error_set(err, ERROR_INPUT, "\"limit\" is 1 to %d, \"after\" the number that X-Next gave",
                         ASSIGNMENTS_WRITTEN_MOST);
    if (choice->state && !lifecycle_find(&assignment_lifecycle, choice->state, &state))
        return error_set(err, ERROR_INPUT, "there is no state \"%.40s\"", choice->state);
    return request_query_only(request, allowed, err) &&
           run_read(request, &choice->campaign, &choice->run, err);
}

static bool devices_write(struct request *request, const struct assignment_choice *choice, struct text *out,
                          int64_t *last, int64_t *total, struct error *err)
{
    struct json_writer writer;
    int64_t counts[ASSIGNMENT_STATES];
    DB_DONE(conn) = db_read(request->console->db, err);

    *total = 0;
    json_write_init(&writer, out);
    json_write_array(&writer, NULL);
    if (!conn || !assignment_write_some(conn, choice, &writer, last, err) ||
        !assignment_counts(conn, choice->campaign, choice->run, counts, err))
        return false;
    json_write_end(&writer, ']');
    for (int state = 0; state < ASSIGNMENT_STATES; state++)
        if (!choice->state || string_is(assignment_lifecycle.states[state].name, choice->state))
            *total += counts[state];
    return true;
}

void runs_devices(struct request *request)
{
    TEXT(out);
    struct assignment_choice choice;
    struct error err = {0};
    int64_t last, total;

    if (!choice_read(request, &choice, &err) || !devices_write(request, &choice, &out, &last, &total, &err)) {
        answer_error(request, &err);
        return;
    }
    if (last)
        answer_header(request, "X-Next", arena_printf(request->arena, "%lld", (long long)last));
    answer_header(request, "X-Total", arena_printf(request->arena, "%lld", (long long)total));
    answer_json(request, 200, &out);
}

void runs_device(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct error err = {0};
    int64_t campaign, number, id = 0;
    bool good = run_read(request, &campaign, &number, &err) &&
                (id = fleet_id_of(request->console->fleet, request->params[2], &err));
    DB_DONE(conn) = good ? db_read(request->console->db, &err) : NULL;

    json_write_init(&writer, &out);
    if (conn && assignment_write_one(conn, campaign, number, id, &writer, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}
