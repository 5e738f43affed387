#include "console/delivery/product.h"

#include "base/clock.h"
#include "console/audit.h"
#include "console/console.h"
#include "console/delivery/approval.h"
#include "console/events.h"
#include "diagnostics/diagnostics.h"
#include "repo/name.h"
#include "repo/repo.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct setting {
    const char *key;
    const char *words[3]; /* the values it takes, the first is the default; NULL first: a number */
    int64_t least, most;  /* of a number */
    bool needs_admin;     /* who may change it may lower a guard that others rely on */
    const char *rule;     /* what a wrong value is told */
    int64_t normal;       /* the default of a number */
};

#define QUOTA_MOST (INT64_C(1) << 40)
#define QUOTA_RULE "a number of bytes from 0 (no limit) to 1099511627776"
/* clang-format off */
static const struct setting settings[] = {
    {PRODUCT_PROVEN_ON, {0},                                0, 1000, false, "a number of devices from 0 to 1000", 0},
    {PRODUCT_MARKERS,   {"optional", "required"},           0, 0,    false, "optional or required", 0},
    {PRODUCT_APPROVAL,  {"one", "two"},                     0, 0,    true,  "one or two", 0},
    {PRODUCT_KEEP_DAYS, {0},                                0, 3650, false, "a number of days from 0 (for ever) to 3650", 0},
    {PRODUCT_DEVICE_QUOTA,   {0},                           0, QUOTA_MOST, false, QUOTA_RULE, CAPTURE_DEVICE_QUOTA},
    {PRODUCT_CAMPAIGN_QUOTA, {0},                           0, QUOTA_MOST, false, QUOTA_RULE, 0},
};
/* clang-format on */
#define SETTINGS (sizeof settings / sizeof *settings)

static const struct setting *setting_find(const char *key)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (string_is(settings[i].key, key))
            return &settings[i];
    return NULL;
}

static void setting_default(const struct setting *setting, char value[PRODUCT_VALUE_SIZE])
{
    if (setting->words[0])
        snprintf(value, PRODUCT_VALUE_SIZE, "%s", setting->words[0]);
    else
        snprintf(value, PRODUCT_VALUE_SIZE, "%lld", (long long)setting->normal);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------ */

/* Nobody set it here, but git may say that two sign: a console whose database was lost. */
static bool approval_default(struct db_conn *conn, const char *product, char value[PRODUCT_VALUE_SIZE],
                             struct error *err)
{
    int signatures;

    if (!repo_signed_by(conn, product, &signatures, err))
        return false;
    if (signatures > 1)
        strcpy(value, "two");
    return true;
}

static bool setting_read(struct db_conn *conn, const char *product, const struct setting *setting,
                         char value[PRODUCT_VALUE_SIZE], struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT value FROM product_setting WHERE product = :product AND key = :key");

    db_bind_text(query, ":product", product);
    db_bind_text(query, ":key", setting->key);
    setting_default(setting, value);
    bool found = db_step(query);
    if (found)
        snprintf(value, PRODUCT_VALUE_SIZE, "%s", db_text(query, 0));
    return db_end(query, err) && (found || !string_is(setting->key, PRODUCT_APPROVAL) ||
                                  approval_default(conn, product, value, err));
}

bool product_setting_text(struct db_conn *conn, const char *product, const char *key,
                          char value[PRODUCT_VALUE_SIZE], struct error *err)
{
    const struct setting *setting = setting_find(key);

    assert(setting && setting->words[0]);
    return setting_read(conn, product, setting, value, err);
}

bool product_setting_integer(struct db_conn *conn, const char *product, const char *key, int64_t *value,
                             struct error *err)
{
    const struct setting *setting = setting_find(key);
    char text[PRODUCT_VALUE_SIZE];

    assert(setting && !setting->words[0]);
    return setting_read(conn, product, setting, text, err) &&
           (int64_parse(text, setting->least, setting->most, value) ||
            error_set(err, ERROR_SYSTEM, "the setting %s of %s is damaged: \"%s\"", key, product, text));
}

bool product_check(struct db_conn *conn, const char *product, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT EXISTS (SELECT 1 FROM assets WHERE product = :product)"
                       " OR EXISTS (SELECT 1 FROM device WHERE product = :product)"
                       " OR EXISTS (SELECT 1 FROM product_setting WHERE product = :product)");
    bool known = false;

    db_bind_text(query, ":product", product);
    if (db_step(query))
        known = db_integer(query, 0) != 0;
    return db_end(query, err) &&
           (known || error_set(err, ERROR_MISSING, "there is no product \"%.64s\"", product));
}

bool product_settings_write(struct db_conn *conn, const char *product, struct json_writer *writer,
                            struct error *err)
{
    json_write_object(writer, "settings");
    for (size_t i = 0; i < SETTINGS; i++) {
        char value[PRODUCT_VALUE_SIZE];
        int64_t number;

        if (!setting_read(conn, product, &settings[i], value, err))
            return false;
        if (settings[i].words[0])
            json_write_string(writer, settings[i].key, value);
        else if (int64_parse(value, settings[i].least, settings[i].most, &number))
            json_write_integer(writer, settings[i].key, number);
    }
    json_write_end(writer, '}');
    return true;
}

bool product_settings_each(struct db_conn *conn, product_each *each, void *context, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT DISTINCT product FROM product_setting ORDER BY product");

    while (db_step(query))
        each(context, db_text(query, 0));
    return db_end(query, err);
}

/* --- setting
 * ------------------------------------------------------------------------------------------------------ */

static bool value_read(const struct setting *setting, const struct json *given,
                       char value[PRODUCT_VALUE_SIZE], struct error *err)
{
    bool typed = given->type == JSON_STRING || (given->type == JSON_NUMBER && given->is_integer);
    int64_t number;

    if (typed && !setting->words[0] && int64_parse(given->string, setting->least, setting->most, &number)) {
        snprintf(value, PRODUCT_VALUE_SIZE, "%lld", (long long)number);
        return true;
    }
    for (size_t i = 0; given->type == JSON_STRING && setting->words[i]; i++)
        if (string_is(setting->words[i], given->string)) {
            strcpy(value, setting->words[i]);
            return true;
        }
    return error_set(err, ERROR_INPUT, "%s is %s", setting->key, setting->rule);
}

static bool setting_write(struct db_conn *conn, const char *product, const struct setting *setting,
                          const char *value, const char *operator_name, struct error *err)
{
    ARENA(arena);
    char before[PRODUCT_VALUE_SIZE];

    if (!setting_read(conn, product, setting, before, err))
        return false;
    if (string_is(before, value))
        return true;
    struct db_query *query = db_query(
        conn, "INSERT INTO product_setting (product, key, value, changed_by, changed_at)"
              " VALUES (:product, :key, :value, :by, :at) ON CONFLICT (product, key) DO UPDATE SET"
              " value = excluded.value, changed_by = excluded.changed_by, changed_at = excluded.changed_at");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":key", setting->key);
    db_bind_text(query, ":value", value);
    db_bind_text(query, ":by", operator_name);
    db_bind_integer(query, ":at", clock_now());
    return db_run(query, NULL, err) &&
           audit_add(conn, operator_name, "set", product,
                     arena_printf(&arena, "%s: %s, before: %s", setting->key, value, before), err);
}

static bool all_write(struct db_conn *conn, const char *product, const struct json *given,
                      const char *operator_name, bool is_admin, struct error *err)
{
    for (const struct json *one = given->first; one; one = one->next) {
        const struct setting *setting = setting_find(one->key);
        char value[PRODUCT_VALUE_SIZE];

        if (!setting)
            return error_set(err, ERROR_INPUT, "a product has no setting \"%.64s\"", one->key);
        if (setting->needs_admin && !is_admin)
            return error_set(err, ERROR_DENIED, "%s is an administrator's to change", setting->key);
        if (!value_read(setting, one, value, err) ||
            !setting_write(conn, product, setting, value, operator_name, err))
            return false;
    }
    return true;
}

bool product_set(struct console *console, const char *product, const struct json *given,
                 const char *operator_name, bool is_admin, struct error *err)
{
    if (!name_check("product", product, err))
        return false;
    if (!given->size)
        return error_set(err, ERROR_INPUT, "no setting is named");
    struct db_conn *conn = db_write(console->db, err);
    if (!conn)
        return false;
    if (!all_write(conn, product, given, operator_name, is_admin, err)) {
        db_done(conn);
        return false;
    }
    if (!db_commit(conn, err))
        return false;
    events_send(console->events, "product", "{\"product\":\"%s\"}", product);
    return !json_get(given, PRODUCT_APPROVAL) || approval_follow(console, product, err) ||
           error_add(err, "it is set, but who signs is not signed yet; that is tried again");
}
