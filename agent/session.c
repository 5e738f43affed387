#include "agent/session.h"

#include "agent/protocol.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* The next value, on the disk before anybody hears of it. */
static bool counter_raise(int state_fd, int64_t *counter, struct error *err)
{
    ARENA(arena);
    struct error missing = {0};
    char *bytes, text[32];
    size_t size;

    *counter = 0;
    if (file_read(&arena, state_fd, STATE_COUNTER, 32, &bytes, &size, &missing)) {
        bytes[strcspn(bytes, "\n")] = '\0';
        if (!int64_parse(bytes, 0, INT64_MAX - 1, counter))
            return error_set(err, ERROR_SYSTEM, "the session counter \"%s\" is damaged", STATE_COUNTER);
    } else if (missing.kind != ERROR_MISSING) {
        *err = missing;
        return false;
    }
    snprintf(text, sizeof(text), "%lld\n", (long long)++*counter);
    return file_write(state_fd, STATE_COUNTER, text, strlen(text), 0600, err);
}

/* One JSON request before there is a token. */
static const struct json *ask(struct session *session, struct http *http, const char *path,
                              const struct text *body, struct arena *arena, struct error *err)
{
    struct http_answer answer;
    struct http_request request = {.method = "POST",
                                   .path = path,
                                   .body = body->bytes,
                                   .body_size = body->size,
                                   .cancel = session->cancel};

    if (!http_send(http, &request, arena, &answer, err))
        return NULL;
    session->retry_after_s = answer.retry_after_s;
    if (answer.status != 200) {
        http_refused(&answer, err);
        return NULL;
    }
    return json_read(arena, answer.body, answer.size, &json_limits_small, err);
}

static const char *nonce_get(struct session *session, struct http *http, struct arena *arena,
                             struct error *err)
{
    struct json_writer writer;
    const char *nonce;
    TEXT(body);

    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "key_id", session->enrolment->key.public.id);
    json_write_end(&writer, '}');
    const struct json *json = ask(session, http, DEVICE_PATH_NONCE, &body, arena, err);
    if (!json || !json_need_string(json, "nonce", &nonce, err))
        return NULL;
    if (!sha256_is_hex(nonce)) {
        error_set(err, ERROR_INPUT, "the server's nonce is malformed");
        return NULL;
    }
    return nonce;
}

static void proof_write(const struct session *session, const char *nonce, int64_t counter, struct text *body)
{
    const struct private_key *key = &session->enrolment->key;
    uint8_t signature[SIGNATURE_SIZE];
    char hex[2 * SIGNATURE_SIZE + 1], said[256];
    struct json_writer writer;

    int size = snprintf(said, sizeof(said), SESSION_SIGNED_PREFIX "%s\n%s\n%lld\n", key->public.id, nonce,
                        (long long)counter);
    private_key_sign(key, said, (size_t)size, signature);
    hex_encode(hex, signature, sizeof(signature));
    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "key_id", key->public.id);
    json_write_string(&writer, "nonce", nonce);
    json_write_integer(&writer, "counter", counter);
    json_write_string(&writer, "signature", hex);
    json_write_end(&writer, '}');
}

bool session_open(struct session *session, struct http *http, struct error *err)
{
    ARENA(arena);
    TEXT(body);
    const char *token, *time;
    int64_t counter;

    if (*session->token)
        return true;
    const char *nonce = nonce_get(session, http, &arena, err);
    if (!nonce || !counter_raise(session->state_fd, &counter, err))
        return false;
    proof_write(session, nonce, counter, &body);
    const struct json *json = ask(session, http, DEVICE_PATH_SESSION, &body, &arena, err);
    if (!json || !json_need_string(json, "token", &token, err))
        return false;
    if (strlen(token) >= TOKEN_SIZE || !*token)
        return error_set(err, ERROR_INPUT, "the server's token is too long");
    strcpy(session->token, token);
    time = json_string(json, "time");
    if (!time || !time_parse(time, &session->server_time))
        session->server_time = 0;
    return true;
}

bool session_send(struct session *session, struct http *http, struct http_request *request,
                  struct arena *arena, struct http_answer *answer, struct error *err)
{
    request->token = session->token;
    if (!request->cancel)
        request->cancel = session->cancel;
    if (!http_send(http, request, arena, answer, err))
        return false;
    session->retry_after_s = answer->retry_after_s;
    if (answer->status == 401)
        session_drop(session);
    return true;
}

void session_drop(struct session *session)
{
    session->token[0] = '\0';
}
