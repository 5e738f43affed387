/* What devices ask: every row of agent/PROTOCOL.md but the repository's. */
#include "console/handlers.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"
#include "console/checkin.h"
#include "console/devices.h"
#include "console/enrol.h"
#include "console/reports.h"
#include "diagnostics/capture.h"

#include <string.h>

static const struct json_limits reports_limits = {.bytes = REPORTS_LIMIT, .values = 16384, .depth = 12};
static const struct json_limits capture_limits = {.bytes = CAPTURE_LIST_LIMIT, .values = 32768, .depth = 6};

/* Nobody is signed in on these rows, yet "denied" is a person's decision about this device: 403, not 401. */
static void answer_denied(struct request *request, const struct error *err)
{
    if (err->kind == ERROR_DENIED)
        answer_status_error(request, 403, err, NULL);
    else
        answer_error(request, err);
}

/* --- enrolment and sessions
 * --------------------------------------------------------------------------------------- */

void device_side_enrol(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct enrolment enrolment;
    struct device device = {0};
    struct error err = {0};
    const struct json *body = request_json(request, NULL, &err);

    if (!body || !enrolment_read(request->arena, body, &enrolment, &err) ||
        !device_enrol(request->console, &enrolment, &device, &err)) {
        answer_denied(request, &err);
        return;
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "device", device.name);
    json_write_string(&writer, "key_id", device.key.id);
    json_write_string(&writer, "product", device.product);
    json_write_string(&writer, "hardware", device.hardware[0] ? device.hardware : NULL);
    json_write_string(&writer, "admission", admission_name(device.admission));
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

static bool need_key_id(const struct json *body, const char **key_id, struct error *err)
{
    if (!json_need_string(body, "key_id", key_id, err))
        return false;
    return sha256_is_hex(*key_id) || error_set(err, ERROR_INPUT, "\"key_id\" must be 64 hex digits");
}

void device_side_nonce(struct request *request)
{
    static const char *const allowed[] = {"key_id", NULL};
    TEXT(out);
    struct json_writer writer;
    char nonce[SHA256_HEX];
    const char *key_id;
    struct error err = {0};
    const struct json *body = request_json(request, NULL, &err);

    if (!body || !json_only(body, allowed, &err) || !need_key_id(body, &key_id, &err)) {
        answer_error(request, &err);
        return;
    }
    fleet_nonce(request->console->fleet, key_id, nonce);
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "nonce", nonce);
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

static bool session_open(struct request *request, struct session_opened *opened, struct error *err)
{
    static const char *const allowed[] = {"key_id", "nonce", "counter", "signature", NULL};
    const char *key_id, *nonce, *signature;
    int64_t counter;
    const struct json *body = request_json(request, NULL, err);

    return body && json_only(body, allowed, err) && need_key_id(body, &key_id, err) &&
           json_need_string(body, "nonce", &nonce, err) &&
           json_need_integer(body, "counter", 1, INT64_MAX, &counter, err) &&
           json_need_string(body, "signature", &signature, err) &&
           fleet_session_open(request->console->fleet, key_id, nonce, counter, signature, opened, err);
}

void device_side_session(struct request *request)
{
    TEXT(out);
    struct json_writer writer;
    struct session_opened opened;
    struct error err = {0};

    if (!session_open(request, &opened, &err)) {
        answer_denied(request, &err);
        return;
    }
    if (opened.clone_found) {
        log_event(LOG_WARNING, "clone_suspected", "device_id=%lld", (long long)opened.device_id);
        if (!device_note_clone(request->console, opened.device_id, &err)) {
            answer_error(request, &err);
            return;
        }
    }
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "token", opened.token);
    json_write_time(&writer, "expires_at", opened.expires_at);
    json_write_time(&writer, "time", clock_now());
    json_write_end(&writer, '}');
    answer_json(request, 200, &out);
}

/* --- check-in and reports
 * ----------------------------------------------------------------------------------------- */

void device_side_checkin(struct request *request)
{
    TEXT(out);
    struct error err = {0};

    if (device_checkin(request->console, request->device_id, request->body, request->body_size, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void device_side_reports(struct request *request)
{
    static const char *const allowed[] = {"reports", NULL};
    TEXT(out);
    const struct json *reports = NULL;
    struct error err = {0};
    const struct json *body = request_json(request, &reports_limits, &err);

    if (body && json_only(body, allowed, &err) && json_need_array(body, "reports", &reports, &err) &&
        reports_take(request->console, request->device_id, reports, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

/* --- captures
 * ----------------------------------------------------------------------------------------------------- */

void device_side_capture_begin(struct request *request)
{
    TEXT(out);
    struct error err = {0};
    const struct json *list = request_json(request, &capture_limits, &err);

    if (list && capture_begin(request->console->diagnostics, request->device_id, request->params[0], list,
                              &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

static void answer_held(struct request *request, int status, int64_t held, bool complete)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "held", held);
    json_write_boolean(&writer, "complete", complete);
    json_write_end(&writer, '}');
    answer_json(request, status, &out);
}

/* A wrong offset: the error, and what is held for the device to go on from. */
static void answer_elsewhere(struct request *request, const struct error *err, int64_t held)
{
    TEXT(out);
    struct json_writer writer;

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_object(&writer, "error");
    json_write_string(&writer, "code", error_kind_name(err->kind));
    json_write_string(&writer, "message", err->text);
    json_write_string(&writer, "request_id", request->id);
    json_write_null(&writer, "hint");
    json_write_end(&writer, '}');
    json_write_integer(&writer, "held", held);
    json_write_end(&writer, '}');
    answer_json(request, 409, &out);
}

/* Takes the body into the piece; what came before a cut is kept. */
static bool piece_receive(struct request *request, struct capture_piece *piece, struct error *err)
{
    char bytes[16 << 10];
    long size;

    while ((size = request_read(request, bytes, sizeof bytes)) > 0)
        if (!capture_piece_add(piece, bytes, (size_t)size, err))
            return false;
    return !size || error_set(err, ERROR_INPUT, "the piece was cut off");
}

void device_side_capture_append(struct request *request)
{
    static const char *const allowed[] = {"offset", NULL};
    struct error err = {0};
    int64_t n, offset, held = -1;
    bool complete = false;
    const char *offset_text = request_query(request, "offset");

    if (!request_query_only(request, allowed, &err) ||
        !int64_parse(request->params[1], 0, CAPTURE_FILES_MOST, &n) || !offset_text ||
        !int64_parse(offset_text, 0, INT64_MAX, &offset)) {
        if (!err.kind)
            error_set(&err, ERROR_INPUT, "a file's number and ?offset=<bytes> are needed");
        answer_error(request, &err);
        return;
    }
    struct capture_piece *piece = capture_piece_open(request->console->diagnostics, request->device_id,
                                                     request->params[0], n, offset, &held, &err);
    if (!piece && held >= 0) { /* a wrong offset: the device goes on from what is held */
        answer_elsewhere(request, &err, held);
        return;
    }
    if (!piece || !piece_receive(request, piece, &err)) {
        capture_piece_abort(piece);
        answer_error(request, &err);
        return;
    }
    if (capture_piece_end(piece, &held, &complete, &err))
        answer_held(request, 200, held, complete);
    else
        answer_error(request, &err);
}
