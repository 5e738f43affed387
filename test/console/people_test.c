/* Who may do what: sign-in, cookies, tokens, roles, origins, through a whole console. */
#include "test/console/serving.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct serving world;

static int start(void **state)
{
    (void)state;
    serving_start(&world);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    serving_stop(&world);
    return 0;
}

/* One request with these header lines (each with its line end) and this body (NULL: none); gives the status.
 */
static int ask(const char *method, const char *path, const char *headers, const char *body,
               struct text *answer)
{
    TEXT(request);

    text_printf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", method, path, world.people_port,
                headers);
    if (body)
        text_printf(&request, "Content-Length: %zu\r\n", strlen(body));
    text_printf(&request, "\r\n%s", body ? body : "");
    people_ask(&world, text_string(&request), answer);
    return answer_status(answer);
}

static char *bearer(struct arena *arena, const char *token)
{
    return arena_printf(arena, "Authorization: Bearer %s\r\n", token);
}

/* Signs in and gives the header line with the cookie. */
static char *sign_in(struct arena *arena, const char *name, const char *password)
{
    char *body = arena_printf(arena, "{\"name\":\"%s\",\"password\":\"%s\"}", name, password);
    TEXT(answer);

    assert_int_equal(ask("POST", "/api/v1/session", "", body, &answer), 200);
    const char *cookie = strstr(text_string(&answer), "Set-Cookie: ");
    assert_non_null(cookie);
    assert_non_null(strstr(cookie, "HttpOnly; SameSite=Strict"));
    return arena_printf(arena, "Cookie: %.*s\r\n", (int)strcspn(cookie + 12, ";"), cookie + 12);
}

static void add_operator(struct arena *arena, const char *name, const char *role)
{
    char *body =
        arena_printf(arena, "{\"name\":\"%s\",\"password\":\"long enough\",\"role\":\"%s\"}", name, role);
    TEXT(answer);

    assert_int_equal(ask("POST", "/api/v1/operators", bearer(arena, world.token), body, &answer), 201);
}

static void nobody_is_answered_without_signing_in(void **state)
{
    static const char *const paths[] = {"/session", "/operators", "/tokens",   "/audit",
                                        "/events",  "/products",  "/assets",   "/assets/a/b",
                                        "/devices", "/campaigns", "/captures", "/summary"};
    TEXT(answer);
    ARENA(arena);

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *path = arena_printf(&arena, "/api/v1%s", paths[i]);

        if (ask("GET", path, "", NULL, &answer) != 401)
            fail_msg("%s answers %d", path, answer_status(&answer));
    }
    assert_int_equal(ask("GET", "/metadata/timestamp.json", "", NULL, &answer), 401);
    assert_int_equal(ask("GET", "/api/v1/session", "Authorization: Bearer wrong\r\n", NULL, &answer), 401);
    assert_int_equal(ask("GET", "/api/v1/session", "Cookie: locum_session=wrong\r\n", NULL, &answer), 401);
}

static void a_cookie_changes_things_from_our_own_pages_only(void **state)
{
    TEXT(answer);
    ARENA(arena);
    char *cookie = sign_in(&arena, "admin", ADMIN_PASSWORD);
    char *own = arena_printf(&arena, "%sOrigin: %s\r\n", cookie, world.url);
    char *other = arena_printf(&arena, "%sOrigin: http://evil.example\r\n", cookie);
    char *longer = arena_printf(&arena, "%sOrigin: %s.evil.example\r\n", cookie, world.url);
    char *cross = arena_printf(&arena, "%sSec-Fetch-Site: cross-site\r\n", own);

    (void)state;
    assert_int_equal(ask("GET", "/api/v1/session", cookie, NULL, &answer), 200);
    assert_int_equal(ask("POST", "/api/v1/tokens", cookie, "{\"name\":\"a\"}", &answer), 403);
    assert_int_equal(ask("POST", "/api/v1/tokens", other, "{\"name\":\"a\"}", &answer), 403);
    assert_int_equal(ask("POST", "/api/v1/tokens", longer, "{\"name\":\"a\"}", &answer), 403);
    assert_int_equal(ask("POST", "/api/v1/tokens", cross, "{\"name\":\"a\"}", &answer), 403);
    assert_int_equal(ask("POST", "/api/v1/tokens", own, "{\"name\":\"a\"}", &answer), 201);
    assert_int_equal(ask("POST", "/api/v1/session", "Origin: http://evil.example\r\n", "{}", &answer), 403);
}

static void a_role_that_is_too_small_is_told_which_one_is_needed(void **state)
{
    TEXT(answer);
    ARENA(arena);

    (void)state;
    add_operator(&arena, "vera", "viewer");
    char *vera = arena_printf(&arena, "%sOrigin: %s\r\n", sign_in(&arena, "vera", "long enough"), world.url);
    assert_int_equal(ask("GET", "/api/v1/audit", vera, NULL, &answer), 200);
    assert_int_equal(ask("GET", "/api/v1/operators", vera, NULL, &answer), 403);
    assert_non_null(strstr(text_string(&answer), "admin"));
    assert_int_equal(ask("POST", "/api/v1/assets/a/b/release", vera, "{\"version\":\"1.0.0\"}", &answer),
                     403);
    assert_int_equal(ask("POST", "/api/v1/tokens", vera, "{\"name\":\"t\",\"role\":\"admin\"}", &answer),
                     403);
}

static void a_token_has_no_more_than_its_role(void **state)
{
    TEXT(answer);
    ARENA(arena);

    (void)state;
    assert_int_equal(ask("POST", "/api/v1/tokens", bearer(&arena, world.token),
                         "{\"name\":\"weak\",\"role\":\"viewer\"}", &answer),
                     201);
    const char *token = strstr(text_string(&answer), "locum_");
    char *weak = bearer(&arena, arena_copy(&arena, token, strcspn(token, "\"")));
    assert_int_equal(ask("GET", "/api/v1/audit", weak, NULL, &answer), 200);
    assert_int_equal(ask("GET", "/api/v1/operators", weak, NULL, &answer), 403);
    assert_int_equal(ask("POST", "/api/v1/tokens", weak, "{\"name\":\"strong\",\"role\":\"admin\"}", &answer),
                     403);
    assert_int_equal(ask("DELETE", "/api/v1/tokens/weak", bearer(&arena, world.token), NULL, &answer), 204);
    assert_int_equal(ask("GET", "/api/v1/audit", weak, NULL, &answer), 401);
}

static void signing_out_and_a_new_password_end_sessions(void **state)
{
    TEXT(answer);
    ARENA(arena);

    (void)state;
    add_operator(&arena, "otto", "support");
    char *first = sign_in(&arena, "otto", "long enough"), *second = sign_in(&arena, "otto", "long enough");
    char *own = arena_printf(&arena, "%sOrigin: %s\r\n", first, world.url);
    assert_int_equal(ask("POST", "/api/v1/session/password", own,
                         "{\"old\":\"wrong one\",\"new\":\"even longer\"}", &answer),
                     400);
    assert_int_equal(
        ask("POST", "/api/v1/session/password", own, "{\"old\":\"long enough\",\"new\":\"short\"}", &answer),
        400);
    assert_int_equal(ask("POST", "/api/v1/session/password", own,
                         "{\"old\":\"long enough\",\"new\":\"even longer\"}", &answer),
                     204);
    assert_int_equal(ask("GET", "/api/v1/session", second, NULL, &answer), 401);
    assert_int_equal(ask("GET", "/api/v1/session", first, NULL, &answer), 200);
    assert_int_equal(ask("DELETE", "/api/v1/session", own, NULL, &answer), 204);
    assert_int_equal(ask("GET", "/api/v1/session", first, NULL, &answer), 401);
}

static void the_last_administrator_stays_one(void **state)
{
    TEXT(answer);
    ARENA(arena);
    char *admin = bearer(&arena, world.token);

    (void)state;
    assert_int_equal(ask("DELETE", "/api/v1/operators/admin", admin, NULL, &answer), 409);
    assert_int_equal(ask("PATCH", "/api/v1/operators/admin", admin, "{\"role\":\"viewer\"}", &answer), 409);
    assert_int_equal(ask("DELETE", "/api/v1/operators/ghost", admin, NULL, &answer), 404);
}

static void a_name_is_closed_after_five_failures_even_with_the_right_password(void **state)
{
    TEXT(answer);
    ARENA(arena);

    (void)state;
    add_operator(&arena, "gert", "viewer");
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            ask("POST", "/api/v1/session", "", "{\"name\":\"gert\",\"password\":\"wrong wrong\"}", &answer),
            401);
    assert_int_equal(
        ask("POST", "/api/v1/session", "", "{\"name\":\"gert\",\"password\":\"long enough\"}", &answer), 429);
    assert_non_null(strstr(text_string(&answer), "Retry-After: "));
    sign_in(&arena, "admin", ADMIN_PASSWORD);
}

/* Computing time, of client and server: other programs on the machine do not count. */
static int64_t spent_us(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

static int64_t refusal_us(const char *name)
{
    int64_t best = INT64_MAX;
    TEXT(answer);
    ARENA(arena);
    char *body = arena_printf(&arena, "{\"name\":\"%s\",\"password\":\"wrong wrong\"}", name);

    for (int i = 0; i < 3; i++) {
        int64_t began = spent_us();

        assert_int_equal(ask("POST", "/api/v1/session", "", body, &answer), 401);
        if (spent_us() - began < best)
            best = spent_us() - began;
    }
    return best;
}

static void an_unknown_name_is_refused_as_slowly_as_a_known_one(void **state)
{
    ARENA(arena);

    (void)state;
    add_operator(&arena, "karl", "viewer");
    int64_t known = refusal_us("karl"), unknown = refusal_us("nobody-at-all");
    assert_true(unknown * 2 >= known);
    assert_true(known * 2 >= unknown);
}

static void every_answer_carries_the_headers_of_the_pages(void **state)
{
    static const char *const headers[] = {"X-Request-Id: ", "Content-Security-Policy: default-src 'none'",
                                          "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
                                          "Cross-Origin-Opener-Policy: same-origin"};
    static const char *const paths[] = {
        "/", "/healthz", "/metrics", "/api/v1/session", "/api/v1/nothing", "/devices/a"};
    TEXT(answer);

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        ask("GET", paths[i], "", NULL, &answer);
        for (size_t k = 0; k < sizeof(headers) / sizeof(headers[0]); k++) {
            if (!strstr(text_string(&answer), headers[k]))
                fail_msg("%s lacks %s", paths[i], headers[k]);
        }
    }
}

static void what_was_changed_stands_in_the_audit_and_survives_a_restart(void **state)
{
    TEXT(answer);
    ARENA(arena);

    (void)state;
    serving_end(&world);
    serving_again(&world);
    assert_int_equal(ask("GET", "/api/v1/audit?limit=1000", bearer(&arena, world.token), NULL, &answer), 200);
    assert_non_null(strstr(text_string(&answer), "\"action\":\"create token\",\"object\":\"weak\""));
    assert_non_null(strstr(text_string(&answer), "first operator"));
    assert_int_equal(ask("GET", "/api/v1/audit?limit=2", bearer(&arena, world.token), NULL, &answer), 200);
    assert_non_null(strstr(text_string(&answer), "X-Next: "));
    assert_int_equal(ask("GET", "/api/v1/audit?limit=0", bearer(&arena, world.token), NULL, &answer), 400);
    assert_int_equal(ask("GET", "/api/v1/audit?color=red", bearer(&arena, world.token), NULL, &answer), 400);
    assert_int_equal(ask("GET", "/api/v1/audit?limit=2&limit=3", bearer(&arena, world.token), NULL, &answer),
                     400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_answered_without_signing_in),
        cmocka_unit_test(a_cookie_changes_things_from_our_own_pages_only),
        cmocka_unit_test(a_role_that_is_too_small_is_told_which_one_is_needed),
        cmocka_unit_test(a_token_has_no_more_than_its_role),
        cmocka_unit_test(signing_out_and_a_new_password_end_sessions),
        cmocka_unit_test(the_last_administrator_stays_one),
        cmocka_unit_test(a_name_is_closed_after_five_failures_even_with_the_right_password),
        cmocka_unit_test(an_unknown_name_is_refused_as_slowly_as_a_known_one),
        cmocka_unit_test(every_answer_carries_the_headers_of_the_pages),
        cmocka_unit_test(what_was_changed_stands_in_the_audit_and_survives_a_restart),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
