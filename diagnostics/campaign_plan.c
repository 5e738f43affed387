/* A plan held against what the image's signers allow, and against the calendar. */
#include "diagnostics/campaign_parts.h"

#include "base/clock.h"
#include "base/pattern.h"
#include "base/text.h"

#include <regex.h>
#include <string.h>

/* --- lists
 * -------------------------------------------------------------------------------------------------------- */

static const char *json_array_text(struct arena *arena, const char *const *strings)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (; strings && *strings; strings++)
        json_write_string(&writer, NULL, *strings);
    json_write_end(&writer, ']');
    return arena_strdup(arena, text_string(&out));
}

static bool canonical_text(struct arena *arena, const struct json *json, const char *otherwise,
                           const char **text, struct error *err)
{
    TEXT(out);

    *text = otherwise;
    if (!json || json->type == JSON_NULL)
        return true;
    if (!json_canonical(json, &out, err))
        return false;
    *text = arena_strdup(arena, text_string(&out));
    return true;
}

static bool is_among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

static bool collect_check(const struct image_limits *limits, const char *const *collect, struct error *err)
{
    for (; collect && *collect; collect++)
        if (!is_among((const char *const *)limits->collect, *collect))
            return error_set(err, ERROR_INPUT, "the image is not signed to collect \"%.100s\"", *collect);
    return true;
}

static bool redact_check(const char *const *patterns, struct error *err)
{
    size_t count = 0;

    for (; patterns && *patterns; patterns++) {
        regex_t regex;

        if (++count > REDACT_MOST || !**patterns || strlen(*patterns) > REDACT_PATTERN_MOST)
            return error_set(err, ERROR_INPUT, "\"redact\" is at most %d patterns of at most %d bytes",
                             REDACT_MOST, REDACT_PATTERN_MOST);
        if (!pattern_check(*patterns, err))
            return error_add(err, "\"redact\"");
        if (regcomp(&regex, *patterns, REG_EXTENDED | REG_NOSUB))
            return error_set(err, ERROR_INPUT, "\"redact\": \"%.100s\" is no POSIX extended pattern",
                             *patterns);
        regfree(&regex);
    }
    return true;
}

static bool max_failures_check(const char *words, struct error *err)
{
    size_t size = words ? strlen(words) : 0;
    int64_t most;
    char digits[16];

    if (!words)
        return true;
    bool percent = size && words[size - 1] == '%';
    if (size > 10 || size <= percent)
        return error_set(err, ERROR_INPUT, "\"max_failures\" is a number such as 3 or a share such as 5%%");
    memcpy(digits, words, size - percent);
    digits[size - percent] = '\0';
    return int64_parse(digits, 0, percent ? 100 : CAMPAIGN_DEVICES_MOST, &most) ||
           error_set(err, ERROR_INPUT,
                     "\"max_failures\" is a number such as 3 or a share such as 5%%, not \"%s\"", words);
}

/* --- the plan
 * ----------------------------------------------------------------------------------------------------- */

static bool numbers_check(const struct campaign_plan *plan, struct error *err)
{
    if (!plan->device_count)
        return error_set(err, ERROR_INPUT, "no device matches: a campaign needs at least one");
    if (plan->device_count > CAMPAIGN_DEVICES_MOST)
        return error_set(err, ERROR_LIMIT, "a campaign has at most %d devices", CAMPAIGN_DEVICES_MOST);
    if (plan->parallel < 0)
        return error_set(err, ERROR_INPUT, "\"parallel\" is at least 1");
    if (plan->device_deadline_s < 0)
        return error_set(err, ERROR_INPUT, "\"device_deadline_s\" is at least 1");
    return (plan->occurrences >= 0 && (!plan->occurrences || plan->words.repeat)) ||
           error_set(err, ERROR_INPUT, "\"count\" is at least 1, and for campaigns that repeat");
}

static bool limits_check(const struct campaign_plan *plan, const struct image *image, struct error *err)
{
    const struct image_limits *limits = &image->manifest.limits;

    if (plan->mode && strcmp(plan->mode, limits->mode))
        return error_set(err, ERROR_INPUT, "%s is signed for the mode %s: it cannot run %s",
                         image->manifest.asset, limits->mode, plan->mode);
    if (plan->max_output < 0 || plan->max_output > limits->max_output)
        return error_set(err, ERROR_INPUT, "%s is signed for at most %lld bytes of output, not %lld",
                         image->manifest.asset, (long long)limits->max_output, (long long)plan->max_output);
    return collect_check(limits, (const char *const *)plan->collect, err) &&
           redact_check((const char *const *)plan->redact, err) &&
           max_failures_check(plan->max_failures, err) &&
           image_allows(image, plan->duration_s, plan->params, err);
}

static bool time_check(struct diagnostics *diagnostics, struct arena *arena, const struct campaign_plan *plan,
                       int64_t now, struct campaign_draft *draft, struct error *err)
{
    char name[ZONE_NAME_SIZE];

    if (!schedule_read(arena, &plan->words, &draft->schedule, err))
        return false;
    if (draft->schedule.repeat == REPEAT_NEVER && plan->at)
        draft->schedule.at = plan->at;
    if (draft->schedule.at && draft->schedule.at < now - 60)
        return error_set(err, ERROR_INPUT, "\"at\" lies in the past");
    for (size_t i = 0; i < plan->device_count; i++) {
        diagnostics_zone(diagnostics, plan->device_ids[i], name);
        zones_add(draft->zones, name, 1);
    }
    if (!schedule_occurrence(&draft->schedule, draft->zones->open, draft->zones->count, 0, now,
                             &draft->first))
        return error_set(err, ERROR_INPUT,
                         "no date is left for this campaign: \"until\", \"blackout\" and"
                         " \"repeat\" leave none");
    return draft->first.start <= now + CAMPAIGN_AHEAD_S ||
           error_set(err, ERROR_INPUT, "the first time lies more than a year ahead");
}

bool campaign_draft(struct diagnostics *diagnostics, struct arena *arena, const struct campaign_plan *plan,
                    int64_t now, struct campaign_draft *draft, struct error *err)
{
    DB_DONE(conn) = db_read(diagnostics->db, err);

    draft->approvals = 1;
    if (!conn ||
        !image_find(diagnostics->repo, conn, arena, plan->product, plan->image, plan->version, &draft->image,
                    err) ||
        !diagnostics_offered(diagnostics, conn, plan->product, plan->image, draft->image.manifest.version,
                             err) ||
        !numbers_check(plan, err) || !limits_check(plan, &draft->image, err) ||
        !time_check(diagnostics, arena, plan, now, draft, err) ||
        !canonical_text(arena, plan->params, "{}", &draft->params, err) ||
        !canonical_text(arena, plan->words.blackout, "[]", &draft->blackout, err))
        return false;
    const struct image_limits *limits = &draft->image.manifest.limits;
    draft->collect =
        json_array_text(arena, (const char *const *)(plan->collect ? plan->collect : limits->collect));
    draft->redact = json_array_text(arena, (const char *const *)plan->redact);
    draft->max_output = plan->max_output ? plan->max_output : limits->max_output;
    return !diagnostics->hooks.approvals ||
           diagnostics->hooks.approvals(diagnostics->hooks.context, conn, plan->product, &draft->approvals,
                                        err);
}

/* --- the preview
 * -------------------------------------------------------------------------------------------------- */

/* Devices that are on, or ordered to, another image right now. */
static bool busy_count(struct db_conn *conn, const struct campaign_plan *plan, int64_t *busy,
                       struct error *err)
{
    *busy = 0;
    for (size_t i = 0; i < plan->device_count; i++) {
        struct db_query *query = db_query(
            conn, "SELECT 1 FROM assignment WHERE device_id = :device AND state IN ('waiting', 'offered',"
                  " 'scheduled_on_device', 'downloading', 'verifying', 'running', 'reverting', 'cancelling') "
                  "LIMIT 1");

        db_bind_integer(query, ":device", plan->device_ids[i]);
        *busy += db_step(query);
        if (!db_end(query, err))
            return false;
    }
    return true;
}

bool campaign_preview(struct diagnostics *diagnostics, const struct campaign_plan *plan,
                      struct json_writer *writer, struct error *err)
{
    ARENA(arena);
    ZONES(zones);
    struct campaign_draft draft = {.zones = &zones};
    int64_t now = clock_now(), busy;

    zones_begin(&zones, &arena);
    if (!campaign_draft(diagnostics, &arena, plan, now, &draft, err))
        return false;
    DB_DONE(conn) = db_read(diagnostics->db, err);
    if (!conn || !busy_count(conn, plan, &busy, err))
        return false;
    json_write_integer(writer, "busy", busy);
    json_write_value(writer, "limits", draft.image.manifest.limits.json);
    json_write_raw(writer, "collect", draft.collect, strlen(draft.collect));
    json_write_integer(writer, "bytes_most", draft.max_output * (int64_t)plan->device_count);
    zones_write_occurrences(&zones, &draft.schedule, now,
                            plan->occurrences ? plan->occurrences : OCCURRENCES_SHOWN, writer);
    json_write_boolean(writer, "needs_approval", draft.approvals > 1);
    return true;
}
