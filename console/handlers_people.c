#include "console/handlers.h"

#include "base/clock.h"
#include "base/json.h"
#include "console/people.h"
#include "console/version.h"
#include "repo/repo.h"

#include <stdio.h>
#include <string.h>

#define LOGIN_TOKEN_S (365 * 24 * 3600)

static void put_session(struct json_writer *json, struct request *request, const char *name, enum role role)
{
    json_write_object(json, NULL);
    json_write_object(json, "operator");
    json_write_string(json, "name", name);
    json_write_string(json, "role", role_name(role));
    json_write_end(json, '}');
    json_write_boolean(json, "starter_mode", repo_is_starter(request->console->repo));
    json_write_string(json, "version", LOCUM_VERSION);
    json_write_string(json, "device_url", request->console->device_url);
    json_write_end(json, '}');
}

static void answer_session(struct request *request, int status, const char *name, enum role role)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    put_session(&json, request, name, role);
    answer_json(request, status, &out);
}

static void set_cookie(struct request *request, const char *secret, int64_t lasts_s)
{
    answer_header(request, "Set-Cookie",
                  arena_printf(request->arena,
                               "locum_session=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s", secret,
                               (long long)lasts_s, request->console->plain_http ? "" : "; Secure"));
}

/* The cookie's value of this request; the server has no other use for it. */
static const char *own_cookie(struct request *request)
{
    const char *at = request_header(request, "Cookie");
    const char *found = at ? strstr(at, "locum_session=") : NULL;

    return found ? arena_copy(request->arena, found + 14, strcspn(found + 14, ";")) : NULL;
}

/* --- set-up and sessions
 * ------------------------------------------------------------------------------------------ */
void setup_show(struct request *request)
{
    struct json_writer json;
    struct error err;
    bool any;
    TEXT(out);

    if (!people_any(request->console, &any, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_boolean(&json, "needed", !any);
    json_write_end(&json, '}');
    answer_json(request, 200, &out);
}

/* Refused names and passwords are as slow to guess as they can be made: `wait_s` tells how long to wait. */
static void answer_sign_in_error(struct request *request, const struct error *err, int64_t wait_s)
{
    if (err->kind == ERROR_LIMIT && wait_s > 0) {
        answer_header(request, "Retry-After", arena_printf(request->arena, "%lld", (long long)wait_s));
        answer_status_error(request, 429, err, NULL);
        return;
    }
    answer_error(request, err);
}

static bool sign_in(struct request *request, const char *name, const char *password, struct person *person)
{
    char secret[SECRET_SIZE];
    int64_t wait_s = 0;
    struct error err;

    if (!session_open(request->console, request->arena, name, password, request->address, person, secret,
                      &wait_s, &err)) {
        answer_sign_in_error(request, &err, wait_s);
        return false;
    }
    set_cookie(request, secret, SESSION_MOST_S);
    return true;
}

void setup_do(struct request *request)
{
    static const char *const members[] = {"token", "name", "password", NULL};
    const char *token, *name, *password;
    struct person person;
    struct error err;
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "token", &token, &err) ||
        !json_need_string(json, "name", &name, &err) ||
        !json_need_string(json, "password", &password, &err) ||
        !people_setup(request->console, token, name, password, &err)) {
        answer_error(request, &err);
        return;
    }
    if (sign_in(request, name, password, &person))
        answer_session(request, 201, person.name, person.role);
}

void session_create(struct request *request)
{
    static const char *const members[] = {"name", "password", NULL};
    const char *name, *password;
    struct person person;
    struct error err;
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "name", &name, &err) ||
        !json_need_string(json, "password", &password, &err)) {
        answer_error(request, &err);
        return;
    }
    if (sign_in(request, name, password, &person))
        answer_session(request, 200, person.name, person.role);
}

/* The command line's sign-in: a token instead of a cookie. */
void login_create(struct request *request)
{
    static const char *const members[] = {"name", "password", "token", NULL};
    const char *name, *password, *called;
    char secret[SECRET_SIZE], token[SECRET_SIZE];
    struct person person;
    struct error err, ignored;
    int64_t wait_s = 0;
    struct json_writer writer;
    TEXT(out);
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "name", &name, &err) ||
        !json_need_string(json, "password", &password, &err) ||
        !json_need_string(json, "token", &called, &err) || !name_check("token", called, &err)) {
        answer_error(request, &err);
        return;
    }
    if (!session_open(request->console, request->arena, name, password, request->address, &person, secret,
                      &wait_s, &err)) {
        answer_sign_in_error(request, &err, wait_s);
        return;
    }
    session_close(request->console, secret, &ignored);
    if (!token_add(request->console, person.name, called, NULL, LOGIN_TOKEN_S, token, &err)) {
        answer_error(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", called);
    json_write_string(&writer, "token", token);
    json_write_end(&writer, '}');
    answer_json(request, 201, &out);
}

void session_show(struct request *request)
{
    answer_session(request, 200, request->operator_name, request->role);
}

void session_delete(struct request *request)
{
    const char *secret = own_cookie(request);
    struct error err;

    if (secret && !session_close(request->console, secret, &err)) {
        answer_error(request, &err);
        return;
    }
    set_cookie(request, "", 0);
    answer_empty(request, 204);
}

void session_password(struct request *request)
{
    static const char *const members[] = {"old", "new", NULL};
    struct person person = {
        .id = request->operator_id, .name = request->operator_name, .role = request->role};
    const char *before, *after;
    struct error err;
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "old", &before, &err) ||
        !json_need_string(json, "new", &after, &err) ||
        !operator_password(request->console, &person, before, after, request->address, own_cookie(request),
                           &err)) {
        answer_error(request, &err);
        return;
    }
    answer_empty(request, 204);
}

/* --- operators
 * ---------------------------------------------------------------------------------------------------- */
static void answer_operator(struct request *request, int status, const char *name, enum role role)
{
    struct json_writer json;
    TEXT(out);

    json_write_init(&json, &out);
    json_write_object(&json, NULL);
    json_write_string(&json, "name", name);
    if (role != ROLE_NONE)
        json_write_string(&json, "role", role_name(role));
    json_write_end(&json, '}');
    answer_json(request, status, &out);
}

static bool need_role(const struct json *json, enum role *role, struct error *err)
{
    const char *name;

    if (!json_need_string(json, "role", &name, err))
        return false;
    return role_from_name(name, role)
               ? true
               : error_set(err, ERROR_INPUT, "\"role\" is viewer, support, release or admin");
}

void operators_list(struct request *request)
{
    struct error err;
    TEXT(out);

    if (operators_write(request->console, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void operators_create(struct request *request)
{
    static const char *const members[] = {"name", "password", "role", NULL};
    const char *name, *password;
    enum role role = ROLE_NONE;
    struct error err;
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "name", &name, &err) ||
        !json_need_string(json, "password", &password, &err) || !need_role(json, &role, &err) ||
        !operator_add(request->console, name, password, role, request->operator_name, &err)) {
        answer_error(request, &err);
        return;
    }
    answer_operator(request, 201, name, role);
}

void operators_update(struct request *request)
{
    static const char *const members[] = {"password", "role", NULL};
    const char *name = request->params[0], *password = NULL;
    enum role role = ROLE_NONE;
    struct error err;
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) ||
        (json_get(json, "password") && !json_need_string(json, "password", &password, &err)) ||
        (json_get(json, "role") && !need_role(json, &role, &err)) ||
        !operator_change(request->console, name, password, role == ROLE_NONE ? NULL : &role,
                         request->operator_name, &err)) {
        answer_error(request, &err);
        return;
    }
    answer_operator(request, 200, name, role);
}

void operators_delete(struct request *request)
{
    struct error err;

    if (operator_remove(request->console, request->params[0], request->operator_name, &err))
        answer_empty(request, 204);
    else
        answer_error(request, &err);
}

/* --- tokens: always one's own
 * ------------------------------------------------------------------------------------- */
void tokens_list(struct request *request)
{
    struct error err;
    TEXT(out);

    if (tokens_write(request->console, request->operator_name, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void tokens_create(struct request *request)
{
    static const char *const members[] = {"name", "role", "expires_in_s", NULL};
    char token[SECRET_SIZE];
    const char *name;
    enum role role = request->role; /* a token that makes tokens cannot make a stronger one */
    int64_t lasts_s = 0;
    struct error err;
    struct json_writer writer;
    TEXT(out);
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_string(json, "name", &name, &err) ||
        (json_get(json, "role") && !need_role(json, &role, &err)) ||
        (json_get(json, "expires_in_s") &&
         !json_need_integer(json, "expires_in_s", 1, INT64_C(315360000), &lasts_s, &err))) {
        answer_error(request, &err);
        return;
    }
    /* Nor one that outlives it. */
    if (request->right_ends_at && (!lasts_s || clock_now() + lasts_s > request->right_ends_at))
        lasts_s = request->right_ends_at - clock_now();
    if (lasts_s < 0 || (request->right_ends_at && lasts_s == 0))
        error_set(&err, ERROR_DENIED, "The token that asks has just ended");
    else if (role > request->role)
        error_set(&err, ERROR_DENIED, "A token has at most your own role, here \"%s\"",
                  role_name(request->role));
    else if (token_add(request->console, request->operator_name, name, &role, lasts_s, token, &err)) {
        json_write_init(&writer, &out);
        json_write_object(&writer, NULL);
        json_write_string(&writer, "name", name);
        json_write_string(&writer, "token", token);
        json_write_end(&writer, '}');
        answer_json(request, 201, &out);
        return;
    }
    answer_error(request, &err);
}

void tokens_delete(struct request *request)
{
    struct error err;

    if (token_remove(request->console, request->operator_name, request->params[0], &err))
        answer_empty(request, 204);
    else
        answer_error(request, &err);
}
