/* The limits of a diagnostic image: `diagnostic.json` read, checked and brought into its normal form. */
#include "repo/manifest.h"

#include <string.h>

#define WORDS_LIMIT 64
#define WORD_LIMIT 4096
#define TEXT_LIMIT 1024

static const char *const modes[] = {"replace", "beside", "override", NULL};
static const char *const networks[] = {"none", "host", NULL};
static const char *const capability_names[] = {"net_raw", "syslog", "dac_read_search", NULL};
static const char *const output_types[] = {"timeseries", "log",  "text",   "table",
                                           "image",      "json", "binary", NULL};
static const char *const scopes[] = {"proc", "app", "app-logs", NULL}; /* and file:/PATH */
static const char *const param_types[] = {"integer", "boolean", "string", NULL};

/* One whole number of diagnostic.json; otherwise < 0: it must be given. */
static const struct number_rule {
    const char *name;
    int64_t otherwise, min, max;
    size_t offset;
} numbers[] = {
    {"max_runtime_s", -1, 1, 7 * 86400, offsetof(struct image_limits, max_runtime_s)},
    {"grace_s", 5, 0, 600, offsetof(struct image_limits, grace_s)},
    {"max_output", 10 << 20, 4096, (int64_t)16 << 30, offsetof(struct image_limits, max_output)},
    {"max_memory", 64 << 20, 1 << 20, (int64_t)64 << 30, offsetof(struct image_limits, max_memory)},
    {"max_pids", 64, 1, 4096, offsetof(struct image_limits, max_pids)},
};

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (string_is(word, *words))
            return true;
    return false;
}

static bool numbers_read(const struct json *json, struct image_limits *limits, struct error *err)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct number_rule *rule = &numbers[i];
        int64_t *value = (int64_t *)((char *)limits + rule->offset);
        *value = rule->otherwise;
        if ((rule->otherwise < 0 || json_get(json, rule->name)) &&
            !json_need_integer(json, rule->name, rule->min, rule->max, value, err))
            return false;
    }
    return true;
}

/* A word from a fixed list; `*value` holds the default and stays when the member is missing. */
static bool word_read(const struct json *json, const char *key, const char *const *words, const char **value,
                      struct error *err)
{
    if (!json_get(json, key))
        return true;
    if (!json_need_string(json, key, value, err))
        return false;
    return is_one_of(*value, words) || error_set(err, ERROR_INPUT, "\"%s\" cannot be \"%.40s\"", key, *value);
}

/* An array of strings, NULL-terminated; empty when the member is missing. */
static bool words_read(struct arena *arena, const struct json *json, const char *key, const char ***words,
                       size_t *count, struct error *err)
{
    const struct json *array = json_get(json, key);
    *count = 0;
    *words = arena_array(arena, (array ? array->size : 0) + 1, sizeof **words);
    if (!array)
        return true;
    if (array->type != JSON_ARRAY || array->size > WORDS_LIMIT)
        return error_set(err, ERROR_INPUT, "\"%s\" must be an array of at most %d strings", key, WORDS_LIMIT);
    for (const struct json *item = array->first; item; item = item->next) {
        if (item->type != JSON_STRING || item->size == 0 || item->size > WORD_LIMIT)
            return error_set(err, ERROR_INPUT, "\"%s\" must hold strings of 1 to %d bytes", key, WORD_LIMIT);
        (*words)[(*count)++] = item->string;
    }
    return true;
}

/* An image of mode override has no program: the app itself runs. */
static bool entry_read(struct arena *arena, const struct json *json, struct image_limits *limits,
                       struct error *err)
{
    size_t count;
    const char **entry;
    if (!words_read(arena, json, "entry", &entry, &count, err))
        return false;
    limits->entry = (char **)entry;
    if (string_is(limits->mode, "override"))
        return count == 0 ||
               error_set(err, ERROR_INPUT, "an image of mode override starts the app: it has no \"entry\"");
    if (count == 0)
        return error_set(err, ERROR_INPUT, "\"entry\" must name the program to start");
    const char *program = limits->entry[0];
    program += string_starts(program, "./") ? 2 : 0;
    return asset_path_check(program, strlen(program), err) || error_add(err, "\"entry\"");
}

/* An absolute path without "." and ".." parts or control characters. */
static bool absolute_path_check(const char *path, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, ERROR_INPUT, "\"%.100s\" must be an absolute path", path);
    return asset_path_check(path + 1, strlen(path + 1), err);
}

static bool collect_read(struct arena *arena, const struct json *json, struct image_limits *limits,
                         struct error *err)
{
    size_t count;
    if (!words_read(arena, json, "collect", &limits->collect, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *scope = limits->collect[i];
        if (string_starts(scope, "file:")) {
            if (!absolute_path_check(scope + 5, err))
                return error_add(err, "\"collect\"");
        } else if (!is_one_of(scope, scopes)) {
            return error_set(err, ERROR_INPUT,
                             "\"collect\" may name proc, app, app-logs and file:/PATH, not \"%.80s\"", scope);
        }
        for (size_t k = 0; k < i; k++)
            if (string_is(scope, limits->collect[k]))
                return error_set(err, ERROR_INPUT, "\"collect\" names \"%.80s\" twice", scope);
    }
    return true;
}

static bool capabilities_read(struct arena *arena, const struct json *json, struct image_limits *limits,
                              struct error *err)
{
    size_t count;
    if (!words_read(arena, json, "capabilities", &limits->capabilities, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_one_of(limits->capabilities[i], capability_names))
            return error_set(err, ERROR_INPUT,
                             "\"capabilities\" may name net_raw, syslog and dac_read_search");
        for (size_t k = 0; k < i; k++)
            if (string_is(limits->capabilities[i], limits->capabilities[k]))
                return error_set(err, ERROR_INPUT, "\"capabilities\" names \"%s\" twice",
                                 limits->capabilities[i]);
    }
    return true;
}

static bool outputs_check(const struct json *outputs, struct error *err)
{
    static const char *const members[] = {"path", "type", NULL};
    if (!outputs)
        return true;
    if (outputs->type != JSON_ARRAY || outputs->size > WORDS_LIMIT)
        return error_set(err, ERROR_INPUT, "\"outputs\" must be an array of at most %d objects", WORDS_LIMIT);
    for (const struct json *item = outputs->first; item; item = item->next) {
        const char *path, *type;
        if (item->type != JSON_OBJECT)
            return error_set(err, ERROR_INPUT, "an entry of \"outputs\" must be an object");
        if (!json_only(item, members, err) || !json_need_string(item, "path", &path, err) ||
            !json_need_string(item, "type", &type, err) || !asset_path_check(path, strlen(path), err))
            return error_add(err, "\"outputs\"");
        if (!is_one_of(type, output_types))
            return error_set(err, ERROR_INPUT, "\"%.40s\" is no type of output", type);
    }
    return true;
}

/* Does a parameter's value keep to its declaration? */
static bool param_value_check(const struct json *rule, const struct json *value, struct error *err)
{
    const char *name = rule->key, *type = json_string(rule, "type");
    if (string_is(type, "boolean"))
        return value->type == JSON_BOOL ||
               error_set(err, ERROR_INPUT, "the parameter \"%.60s\" must be true or false", name);
    if (string_is(type, "string")) {
        int64_t most = json_integer(rule, "max", TEXT_LIMIT);
        return (value->type == JSON_STRING && (int64_t)value->size <= most) ||
               error_set(err, ERROR_INPUT, "the parameter \"%.60s\" must be a text of at most %lld bytes",
                         name, (long long)most);
    }
    int64_t min = json_integer(rule, "min", 0), max = json_integer(rule, "max", 0);
    return (value->type == JSON_NUMBER && value->is_integer && value->integer >= min &&
            value->integer <= max) ||
           error_set(err, ERROR_INPUT, "the parameter \"%.60s\" must be a whole number from %lld to %lld",
                     name, (long long)min, (long long)max);
}

/* {"type":"integer","min","max"} | {"type":"string","max"} | {"type":"boolean"}, each with an optional
 * "default". */
static bool param_rule_check(const struct json *rule, struct error *err)
{
    static const char *const members[] = {"type", "min", "max", "default", NULL};
    const char *type;
    int64_t min = 0, max = 0;
    if (rule->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "the declaration of the parameter \"%.60s\" must be an object",
                         rule->key);
    if (!name_check("parameter", rule->key, err) || !json_only(rule, members, err) ||
        !json_need_string(rule, "type", &type, err))
        return error_add(err, "\"params\"");
    if (!is_one_of(type, param_types))
        return error_set(err, ERROR_INPUT, "\"%.40s\" is no type of parameter", type);
    bool integer = string_is(type, "integer"), string = string_is(type, "string");
    if (integer && (!json_need_integer(rule, "min", INT64_MIN, INT64_MAX, &min, err) ||
                    !json_need_integer(rule, "max", min, INT64_MAX, &max, err)))
        return error_add(err, "the parameter \"%.60s\"", rule->key);
    if (string && json_get(rule, "max") && !json_need_integer(rule, "max", 0, TEXT_LIMIT, &max, err))
        return error_add(err, "the parameter \"%.60s\"", rule->key);
    if ((!integer && json_get(rule, "min")) || (!integer && !string && json_get(rule, "max")))
        return error_set(err, ERROR_INPUT, "the parameter \"%.60s\" has a range that its type has not",
                         rule->key);
    const struct json *otherwise = json_get(rule, "default");
    return !otherwise || param_value_check(rule, otherwise, err);
}

static bool params_check(const struct json *params, struct error *err)
{
    if (!params)
        return true;
    if (params->type != JSON_OBJECT || params->size > WORDS_LIMIT)
        return error_set(err, ERROR_INPUT, "\"params\" must be an object of at most %d declarations",
                         WORDS_LIMIT);
    for (const struct json *rule = params->first; rule; rule = rule->next)
        if (!param_rule_check(rule, err))
            return false;
    return true;
}

bool image_params_check(const struct image_limits *limits, const struct json *params, struct error *err)
{
    if (!params)
        return true;
    if (params->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "the parameters must be an object");
    for (const struct json *value = params->first; value; value = value->next) {
        const struct json *rule = json_get(limits->params, value->key);
        if (!rule)
            return error_set(err, ERROR_INPUT, "the image declares no parameter \"%.60s\"", value->key);
        if (!param_value_check(rule, value, err))
            return false;
    }
    return true;
}

static void words_write(struct json_writer *writer, const char *key, const char *const *words)
{
    json_write_array(writer, key);
    for (; *words; words++)
        json_write_string(writer, NULL, *words);
    json_write_end(writer, ']');
}

/* Every member, defaults filled in; json_canonical sorts them when they are signed. */
static bool normal_form(struct arena *arena, struct image_limits *limits, struct error *err)
{
    TEXT(out);
    struct json_writer writer;
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    words_write(&writer, "entry", (const char *const *)limits->entry);
    json_write_string(&writer, "mode", limits->mode);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_write_integer(&writer, numbers[i].name, *(int64_t *)((char *)limits + numbers[i].offset));
    words_write(&writer, "collect", limits->collect);
    json_write_string(&writer, "network", limits->network_host ? "host" : "none");
    words_write(&writer, "capabilities", limits->capabilities);
    if (limits->outputs)
        json_write_value(&writer, "outputs", limits->outputs);
    else
        json_write_raw(&writer, "outputs", "[]", 2);
    if (limits->params)
        json_write_value(&writer, "params", limits->params);
    else
        json_write_raw(&writer, "params", "{}", 2);
    json_write_end(&writer, '}');

    limits->json = json_read(arena, text_string(&out), out.size, &json_limits_small, err);
    TEXT(canonical); /* only to know that it can be signed: no fractions */
    return limits->json && json_canonical(limits->json, &canonical, err);
}

/* The app keeps the rights that it has: what walls give or take means nothing to it. */
static bool override_check(const struct image_limits *limits, struct error *err)
{
    if (!string_is(limits->mode, "override"))
        return true;
    if (limits->capabilities[0] || limits->network_host)
        return error_set(
            err, ERROR_INPUT,
            "in mode override the app runs with its own rights and network: \"capabilities\" and "
            "\"network\" cannot be asked for");
    for (const char **scope = limits->collect; *scope; scope++)
        if (!string_is(*scope, "app-logs"))
            return error_set(err, ERROR_INPUT, "in mode override \"collect\" may name app-logs only");
    return true;
}

bool image_limits_read(struct arena *arena, const void *bytes, size_t size, struct image_limits *limits,
                       struct error *err)
{
    static const char *const members[] = {
        "entry",   "mode",    "max_runtime_s", "grace_s", "max_output", "max_memory", "max_pids",
        "collect", "network", "capabilities",  "outputs", "params",     NULL};
    const char *mode = "replace", *network = "none";
    *limits = (struct image_limits){0};
    const struct json *json = json_read(arena, bytes, size, &json_limits_small, err);
    if (!json)
        return false;
    if (json->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "the description of an image must be an object");
    limits->outputs = json_get(json, "outputs");
    limits->params = json_get(json, "params");
    if (!json_only(json, members, err) || !word_read(json, "mode", modes, &mode, err))
        return false;
    limits->mode = mode;
    if (!entry_read(arena, json, limits, err) || !word_read(json, "network", networks, &network, err) ||
        !numbers_read(json, limits, err) || !collect_read(arena, json, limits, err) ||
        !capabilities_read(arena, json, limits, err) || !outputs_check(limits->outputs, err) ||
        !params_check(limits->params, err))
        return false;
    limits->network_host = string_is(network, "host");
    return override_check(limits, err) && normal_form(arena, limits, err);
}
