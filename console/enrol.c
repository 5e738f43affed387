#include "console/enrol.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/claims.h"
#include "console/devices.h"
#include "console/fleet_parts.h"

#include <stdio.h>
#include <string.h>

static bool maybe_name(const struct json *body, const char *key, const char **name, struct error *err)
{
    const struct json *member = json_get(body, key);

    *name = NULL;
    if (!member || member->type == JSON_NULL)
        return true;
    if (member->type != JSON_STRING)
        return error_set(err, ERROR_INPUT, "\"%s\" must be a string or null", key);
    *name = member->string;
    return name_check(key, member->string, err);
}

static bool proof_check(const struct enrolment *enrolment, const char *key, const char *proof,
                        struct error *err)
{
    uint8_t signature[SIGNATURE_SIZE];
    char said[256];
    int size = snprintf(said, sizeof said, ENROL_SIGNED_PREFIX "%s\n%s\n", enrolment->secret, key);

    if (!hex_decode(signature, sizeof signature, proof))
        return error_set(err, ERROR_INPUT, "\"proof\" must be 128 hex digits");
    if (size < 0 || (size_t)size >= sizeof said ||
        !public_key_verify(&enrolment->key, said, (size_t)size, signature))
        return error_set(err, ERROR_DENIED, "the proof does not fit the key and the claim code");
    return true;
}

bool enrolment_read(struct arena *arena, const struct json *body, struct enrolment *enrolment,
                    struct error *err)
{
    static const char *const allowed[] = {"claim", "public_key", "name", "hardware", "facts", "proof", NULL};
    const char *key, *proof;
    const struct json *facts = json_get(body, "facts");

    *enrolment = (struct enrolment){0};
    if (body->type != JSON_OBJECT)
        return error_set(err, ERROR_INPUT, "an enrolment is a JSON object");
    if (!json_only(body, allowed, err) || !json_need_string(body, "claim", &enrolment->secret, err) ||
        !json_need_string(body, "public_key", &key, err) || !json_need_string(body, "proof", &proof, err) ||
        !maybe_name(body, "name", &enrolment->name, err) ||
        !maybe_name(body, "hardware", &enrolment->hardware, err))
        return false;
    if (strlen(enrolment->secret) != CLAIM_SECRET_CHARS)
        return error_set(err, ERROR_DENIED, "this claim code is not known here");
    if (!public_key_from_hex(&enrolment->key, key))
        return error_set(err, ERROR_INPUT, "\"public_key\" must be an Ed25519 key of 64 hex digits");
    if (facts && facts->type != JSON_NULL && !facts_read(arena, facts, &enrolment->facts, err))
        return false;
    return proof_check(enrolment, key, proof, err);
}

/* A free name of our own: 30 bits of chance; the unique column decides. */
static void name_make(char name[NAME_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t chance[6];
    char *end = stpcpy(name, "device-");

    random_bytes(chance, sizeof chance);
    for (size_t i = 0; i < sizeof chance; i++)
        *end++ = letters[chance[i] & 31];
    *end = '\0';
}

/* The device that used this claim before: the answer was lost, it asks again. */
static bool enrolled_before(struct console *console, const struct enrolment *enrolment,
                            const struct claim *claim, struct device *enrolled, bool *again,
                            struct error *err)
{
    fleet_lock(console->fleet);
    const struct device *device = fleet_by_key(console->fleet, enrolment->key.id);
    *again = device && device->id == claim->device_id;
    if (device)
        *enrolled = *device; /* identity alone is looked at: what it owns stays the fleet's */
    fleet_unlock(console->fleet);
    if (device && !*again)
        return error_set(err, ERROR_CONFLICT, "this key is enrolled already, as device %s", enrolled->name);
    return true;
}

static bool claim_fits(const struct claim *claim, const struct enrolment *enrolment, struct error *err)
{
    if (claim->device_id)
        return error_set(err, ERROR_DENIED, "this claim code was used already, by another device");
    if (claim->expires_at <= clock_now())
        return error_set(err, ERROR_DENIED, "this claim code has lapsed: make a new one");
    if (claim->hardware[0] && enrolment->hardware && strcmp(claim->hardware, enrolment->hardware))
        return error_set(err, ERROR_CONFLICT, "the claim code is for hardware %s, the device says %s",
                         claim->hardware, enrolment->hardware);
    return true;
}

static void device_describe(const struct enrolment *enrolment, const struct claim *claim,
                            struct device *device)
{
    const char *hardware = claim->hardware[0] ? claim->hardware : enrolment->hardware;

    *device = (struct device){.key = enrolment->key,
                              .admission = claim->review ? ADMISSION_PENDING : ADMISSION_ACCEPTED,
                              .enrolled_at = clock_now(),
                              .wish_stale = true};
    snprintf(device->product, sizeof device->product, "%s", claim->product);
    snprintf(device->hardware, sizeof device->hardware, "%s", hardware ? hardware : "");
    if (enrolment->name)
        snprintf(device->name, sizeof device->name, "%s", enrolment->name);
    else
        name_make(device->name);
}

static bool device_store(struct db_conn *conn, const struct claim *claim, struct device *device,
                         struct error *err)
{
    ARENA(arena);

    if (!device_insert(conn, device, err)) {
        if (err->kind == ERROR_CONFLICT)
            error_set(err, ERROR_CONFLICT, "there is a device called %s already", device->name);
        return false;
    }
    return claim_use(conn, claim, device->id, err) &&
           audit_add(conn, NULL, "enrol", device->name,
                     arena_printf(&arena, "%s, %s", device->product, admission_name(device->admission)),
                     err) &&
           device_event_add(conn, device->id, "enrolled",
                            device->admission == ADMISSION_PENDING
                                ? "enrolled, waits for a person to accept it"
                                : "enrolled with a claim code",
                            err);
}

/* The claim is read in the writer's transaction, so that two devices cannot both use it. */
static bool enrol_write(struct console *console, const struct enrolment *enrolment, struct device *enrolled,
                        bool *again, struct error *err)
{
    struct claim claim;
    struct db_conn *conn = db_write(console->db, err);

    if (!conn)
        return false;
    bool good = claim_find(conn, enrolment->secret, &claim, err) &&
                enrolled_before(console, enrolment, &claim, enrolled, again, err);
    if (good && !*again) {
        device_describe(enrolment, &claim, enrolled);
        good = claim_fits(&claim, enrolment, err) && device_store(conn, &claim, enrolled, err);
    }
    if (!good || *again) {
        db_done(conn);
        return good;
    }
    return db_commit(conn, err);
}

/* A look without the writer: who has no code cannot keep it busy. */
static bool claim_look(struct console *console, const char *secret, struct error *err)
{
    struct claim claim;
    DB_DONE(conn) = db_read(console->db, err);

    return conn && claim_find(conn, secret, &claim, err);
}

bool device_enrol(struct console *console, const struct enrolment *enrolment, struct device *enrolled,
                  struct error *err)
{
    bool again = false;

    if (!claim_look(console, enrolment->secret, err) ||
        !enrol_write(console, enrolment, enrolled, &again, err))
        return false;
    if (again)
        return true;
    fleet_lock(console->fleet);
    struct device *device = fleet_add(console->fleet, enrolled);
    own_string(&device->facts, enrolment->facts);
    device->report_dirty = enrolment->facts != NULL;
    fleet_unlock(console->fleet);
    device_tell(console, enrolled->name);
    log_event(LOG_INFO, "device_enrolled", "device=%s product=%s admission=%s", enrolled->name,
              enrolled->product, admission_name(enrolled->admission));
    return true;
}
