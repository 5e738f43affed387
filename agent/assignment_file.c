#include "agent/assignment.h"

#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define FILE_LIMIT (8 << 10)

static const char *const names[] = {"scheduled", "downloading", "verifying", "running", "reverting",
                                    "uploading", "done",        "skipped",   "failed",  "cancelled"};
#define STATES (sizeof(names) / sizeof(names[0]))

const char *assignment_state_name(enum assignment_state state)
{
    return names[state];
}

static bool state_from(const char *name, enum assignment_state *state)
{
    for (size_t i = 0; i < STATES; i++)
        if (string_is(name, names[i])) {
            *state = (enum assignment_state)i;
            return true;
        }
    return false;
}

/* --- the file
 * --------------------------------------------------------------------------------------------------- */

bool assignment_save(const struct assignments *assignments, const struct assignment *assignment,
                     struct error *err)
{
    char path[64];
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "id", assignment->id);
    json_write_string(&writer, "image", assignment->image);
    json_write_string(&writer, "version", assignment->version);
    json_write_integer(&writer, "campaign", assignment->campaign);
    json_write_string(&writer, "state", names[assignment->state]);
    json_write_string(&writer, "end", names[assignment->end]);
    json_write_boolean(&writer, "dropped", assignment->dropped);
    json_write_integer(&writer, "started_at", assignment->started_at);
    json_write_integer(&writer, "ends_at", assignment->ends_at);
    json_write_integer(&writer, "duration_s", assignment->duration_s);
    json_write_string(&writer, "code", assignment->code);
    json_write_string(&writer, "text", assignment->text);
    json_write_string(&writer, "capture", assignment->capture);
    json_write_string(&writer, "capture_reason", assignment->capture_reason);
    json_write_end(&writer, '}');
    snprintf(path, sizeof(path), STATE_RUNS "/%s.json", assignment->id);
    return file_write(assignments->state_fd, path, out.bytes, out.size, 0600, err);
}

static void take(const struct json *json, const char *name, char *into, size_t room)
{
    const char *text = json_string(json, name);

    snprintf(into, room, "%s", text ? text : "");
}

bool assignment_load(const struct assignments *assignments, const char *name, struct assignment *assignment,
                     struct error *err)
{
    ARENA(arena);
    char path[300], *bytes;
    size_t size;

    *assignment = (struct assignment){.end = ASSIGNMENT_DONE};
    snprintf(path, sizeof(path), STATE_RUNS "/%s", name);
    if (!file_read(&arena, assignments->state_fd, path, FILE_LIMIT, &bytes, &size, err))
        return false;
    const struct json *json = json_read(&arena, bytes, size, &json_limits_small, err);
    if (!json)
        return error_add(err, "%s", path);
    take(json, "id", assignment->id, sizeof(assignment->id));
    take(json, "image", assignment->image, sizeof(assignment->image));
    take(json, "version", assignment->version, sizeof(assignment->version));
    take(json, "code", assignment->code, sizeof(assignment->code));
    take(json, "text", assignment->text, sizeof(assignment->text));
    take(json, "capture", assignment->capture, sizeof(assignment->capture));
    take(json, "capture_reason", assignment->capture_reason, sizeof(assignment->capture_reason));
    assignment->campaign = json_integer(json, "campaign", 0);
    assignment->started_at = json_integer(json, "started_at", 0);
    assignment->ends_at = json_integer(json, "ends_at", 0);
    assignment->duration_s = json_integer(json, "duration_s", 0);
    assignment->dropped = json_boolean(json, "dropped", false);
    return (state_from(json_string(json, "state"), &assignment->state) &&
            state_from(json_string(json, "end"), &assignment->end) && strlen(assignment->id) == 32) ||
           error_set(err, ERROR_INPUT, "%s is damaged", path);
}

/* --- reports
 * ----------------------------------------------------------------------------------------------------- */

/* The same for the same state of the same run, so that telling it twice is telling it once. */
static void report_id(const struct assignment *assignment, char id[REPORT_ID_SIZE])
{
    char said[96], hex[SHA256_HEX];
    /* A run that was given more time tells its new end. */
    int64_t more = assignment->state == ASSIGNMENT_RUNNING ? assignment->ends_at : 0;

    int size =
        snprintf(said, sizeof(said), "%s/%s/%lld", assignment->id, names[assignment->state], (long long)more);
    sha256_hex(said, (size_t)size, hex);
    snprintf(id, REPORT_ID_SIZE, "%.32s", hex);
}

static bool proof_write(const struct assignments *assignments, const struct json *proof,
                        struct json_writer *writer, struct error *err)
{
    uint8_t signature[SIGNATURE_SIZE];
    char hex[2 * SIGNATURE_SIZE + 1];
    TEXT(canonical);

    if (!json_canonical(proof, &canonical, err))
        return error_add(err, "the proof");
    private_key_sign(&assignments->enrolment->key, canonical.bytes, canonical.size, signature);
    hex_encode(hex, signature, sizeof(signature));
    json_write_object(writer, "proof");
    for (const struct json *member = proof->first; member; member = member->next)
        json_write_value(writer, member->key, member);
    json_write_string(writer, "signature", hex);
    json_write_end(writer, '}');
    return true;
}

static void reason_write(const struct assignment *assignment, struct json_writer *writer)
{
    if (!*assignment->code) {
        json_write_null(writer, "reason");
        return;
    }
    json_write_object(writer, "reason");
    json_write_string(writer, "code", assignment->code);
    json_write_string(writer, "text", assignment->text);
    json_write_end(writer, '}');
}

bool assignment_tell(const struct assignments *assignments, const struct assignment *assignment,
                     const struct json *proof, struct error *err)
{
    char id[REPORT_ID_SIZE];
    struct json_writer writer;
    TEXT(out);

    report_id(assignment, id);
    report_begin(&writer, &out, id, "assignment");
    json_write_string(&writer, "run", assignment->id);
    json_write_string(&writer, "state", names[assignment->state]);
    reason_write(assignment, &writer);
    if (assignment->state == ASSIGNMENT_RUNNING)
        json_write_time(&writer, "ends_at", assignment->ends_at);
    if (proof && !proof_write(assignments, proof, &writer, err))
        return false;
    if (*assignment->capture) {
        json_write_string(&writer, "capture", assignment->capture);
        json_write_string(&writer, "capture_reason",
                          *assignment->capture_reason ? assignment->capture_reason : NULL);
    }
    return outbox_add(assignments->outbox, &writer, id, err);
}
