#include "console/admin_commands.h"

#include "base/json.h"
#include "console/audit.h"
#include "console/people.h"

#include <string.h>

struct call {
    struct console *console;
    const struct json *request;
    admin_output *output;
    void *context;
};

static void tell(const struct call *call, bool good, const char *text)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_boolean(&json, "good", good);
    json_write_string(&json, "text", text);
    json_write_end(&json, '}');
    call->output(call->context, text_string(&out));
}

static bool token_create(const struct call *call, struct error *err)
{
    static const char *const members[] = {"do", "user", "name", "role", "expires_in_s", NULL};
    const struct json *request = call->request;
    const char *user, *name, *role_text = json_string(request, "role");
    char token[SECRET_SIZE];
    int64_t lasts_s = 0;
    enum role role;
    struct json_writer json;
    TEXT(out);

    if (!json_only(request, members, err) || !json_need_string(request, "user", &user, err) ||
        !json_need_string(request, "name", &name, err) ||
        (json_get(request, "expires_in_s") &&
         !json_need_integer(request, "expires_in_s", 0, INT64_C(315360000), &lasts_s, err)))
        return false;
    if (role_text && !role_from_name(role_text, &role))
        return error_set(err, ERROR_INPUT, "A role is viewer, support, release or admin");
    if (!token_add(call->console, user, name, role_text ? &role : NULL, lasts_s, token, err))
        return false;
    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_string(&json, "name", name);
    json_write_string(&json, "token", token);
    json_write_end(&json, '}');
    call->output(call->context, text_string(&out));
    return true;
}

static void report(void *context, bool good, const char *line)
{
    tell(context, good, line);
}

static bool verify_audit(const struct call *call, struct error *err)
{
    int64_t rows = 0;
    ARENA(arena);
    DB_DONE(conn) = db_read(call->console->db, err);

    if (!conn)
        return false;
    bool good = audit_verify(conn, &rows, err);
    if (good || err->kind == ERROR_UNTRUSTED)
        tell(call, good,
             good ? arena_printf(&arena, "audit: %lld rows, the chain is whole", (long long)rows)
                  : err->text);
    return good;
}

static bool repo_check(const struct call *call, struct error *err)
{
    struct error audit = {0};
    bool repo_good = repo_verify(call->console->repo, report, (void *)call, err);

    if (!verify_audit(call, repo_good ? err : &audit))
        return false;
    return repo_good;
}

static bool repo_remake(const struct call *call, struct error *err)
{
    if (!repo_reindex(call->console->repo, err))
        return false;
    tell(call, true, "the index is remade from git");
    return true;
}

static bool password_set(const struct call *call, struct error *err)
{
    static const char *const members[] = {"do", "user", "password", NULL};
    const char *user, *password;

    if (!json_only(call->request, members, err) || !json_need_string(call->request, "user", &user, err) ||
        !json_need_string(call->request, "password", &password, err))
        return false;
    /* Without a running console there are no sign-ins to end; it is nobody else's then, and may be copied. */
    struct people *own = call->console->people ? NULL : people_new();
    struct console alone, *console = call->console;
    if (own) {
        alone = *call->console;
        alone.people = own;
        console = &alone;
    }
    bool good = operator_change(console, user, password, NULL, NULL, err);
    people_free(own);
    if (good)
        tell(call, true, "the password is changed, all sessions of this operator have ended");
    return good;
}

static bool status_tell(const struct call *call, struct error *err)
{
    const struct console *console = call->console;
    struct json_writer json;
    TEXT(out);

    (void)err;
    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_boolean(&json, "running", console->started_at != 0);
    json_write_string(&json, "people_url", console->people_url);
    json_write_string(&json, "device_url", console->device_url);
    json_write_time(&json, "started_at", console->started_at);
    json_write_end(&json, '}');
    call->output(call->context, text_string(&out));
    return true;
}

static const struct {
    const char *name;
    bool needs_repo;
    bool (*run)(const struct call *call, struct error *err);
} commands[] = {
    {"token create", false, token_create}, {"repo verify", true, repo_check},
    {"repo reindex", true, repo_remake},   {"operator password", false, password_set},
    {"status", false, status_tell},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct json *request_read_json(struct arena *arena, const char *request, struct error *err)
{
    const struct json *json = json_read(arena, request, strlen(request), &json_limits_small, err);

    return json && json->type == JSON_OBJECT ? json : NULL;
}

static size_t command_find(const struct json *request)
{
    const char *name = json_string(request, "do");
    size_t i = 0;

    while (i < COMMANDS && !string_is(commands[i].name, name))
        i++;
    return i;
}

bool admin_needs_repo(const char *request)
{
    struct error err;
    ARENA(arena);
    size_t found = command_find(request_read_json(&arena, request, &err));

    return found < COMMANDS && commands[found].needs_repo;
}

bool admin_run(struct console *console, const char *request, admin_output *output, void *context,
               struct error *err)
{
    ARENA(arena);
    struct call call = {.console = console, .output = output, .context = context};
    size_t found;

    call.request = request_read_json(&arena, request, err);
    found = command_find(call.request);
    if (found == COMMANDS)
        return error_set(err, ERROR_INPUT, "There is no such command on the server's machine");
    return commands[found].run(&call, err);
}
