/* Sessions of devices: a signed nonce and a counter that only rises become a token that lives in memory. */
#include "console/fleet_parts.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* A nonce carries its own time and our seal over key, time and chance, so that asking for one costs no
 * memory: 8 bytes of time, 8 of chance, 16 of seal. That it is used once is the counter's work. */
static void nonce_seal(const struct fleet *fleet, const char *key_id, const uint8_t head[16],
                       uint8_t seal[16])
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;

    sha256_init(&hash);
    sha256_add(&hash, fleet->nonce_secret, sizeof fleet->nonce_secret);
    sha256_add(&hash, head, 16);
    sha256_add(&hash, key_id, strlen(key_id));
    sha256_end(&hash, digest);
    memcpy(seal, digest, 16);
}

void fleet_nonce(struct fleet *fleet, const char *key_id, char nonce[SHA256_HEX])
{
    uint8_t bytes[32];
    int64_t now = clock_now();

    memcpy(bytes, &now, 8);
    random_bytes(bytes + 8, 8);
    nonce_seal(fleet, key_id, bytes, bytes + 16);
    hex_encode(nonce, bytes, sizeof bytes);
}

static bool nonce_check(struct fleet *fleet, const char *key_id, const char *nonce, struct error *err)
{
    uint8_t bytes[32], seal[16];
    int64_t at, now = clock_now();

    if (!hex_decode(bytes, sizeof bytes, nonce))
        return error_set(err, ERROR_INPUT, "\"nonce\" must be 64 hex digits");
    nonce_seal(fleet, key_id, bytes, seal);
    memcpy(&at, bytes, 8);
    if (!secret_equal(seal, bytes + 16, sizeof seal) || at > now + 1 || at < now - NONCE_S)
        return error_set(err, ERROR_DENIED, "the nonce is not ours or older than %d seconds", NONCE_S);
    return true;
}

static bool signature_check(const struct public_key *key, const char *nonce, int64_t counter, const char *hex,
                            struct error *err)
{
    uint8_t signature[SIGNATURE_SIZE];
    char said[300];
    int size = snprintf(said, sizeof said, SESSION_SIGNED_PREFIX "%s\n%s\n%lld\n", key->id, nonce,
                        (long long)counter);

    if (!hex_decode(signature, sizeof signature, hex))
        return error_set(err, ERROR_INPUT, "\"signature\" must be 128 hex digits");
    if (size < 0 || (size_t)size >= sizeof said || !public_key_verify(key, said, (size_t)size, signature))
        return error_set(err, ERROR_DENIED, "the signature does not fit the key, nonce and counter");
    return true;
}

static bool admission_check(const struct device *device, struct error *err)
{
    if (device->admission == ADMISSION_REJECTED || device->admission == ADMISSION_RETIRED)
        return error_set(err, ERROR_DENIED, "device %s was %s by a person", device->name,
                         admission_name(device->admission));
    return true;
}

static void token_make(struct device *device, struct session_opened *opened)
{
    uint8_t chance[SHA256_SIZE];

    random_bytes(chance, sizeof chance);
    int size = snprintf(opened->token, sizeof opened->token, "%lld.", (long long)device->id);
    hex_encode(opened->token + size, chance, sizeof chance);
    sha256_bytes(opened->token, strlen(opened->token), device->token);
    device->token_expires_at = opened->expires_at = clock_now() + SESSION_S;
    opened->device_id = device->id;
}

/* Under the lock: the counter must be above the last, or be the very same request again. */
static bool session_take(struct device *device, const char *nonce, int64_t counter,
                         struct session_opened *opened, struct error *err)
{
    if (!admission_check(device, err))
        return false;
    bool again = counter == device->session_counter && !strcmp(device->session_nonce, nonce);
    if (counter <= device->session_counter && !again && !device->clone_suspected) {
        device->clone_suspected = true;
        opened->clone_found = true;
        device_wish_changed(device);
    }
    if (counter > device->session_counter) {
        device->session_counter = counter;
        memcpy(device->session_nonce, nonce, SHA256_HEX);
        device->seen_dirty = true;
    }
    token_make(device, opened);
    return true;
}

bool fleet_session_open(struct fleet *fleet, const char *key_id, const char *nonce, int64_t counter,
                        const char *signature_hex, struct session_opened *opened, struct error *err)
{
    struct public_key key;

    *opened = (struct session_opened){0};
    fleet_lock(fleet);
    struct device *device = fleet_by_key(fleet, key_id);
    if (device)
        key = device->key;
    fleet_unlock(fleet);
    if (!device)
        return error_set(err, ERROR_MISSING, "no device with this key is enrolled here");
    /* Outside the lock: a signature takes 0.2 ms. */
    if (!nonce_check(fleet, key_id, nonce, err) || !signature_check(&key, nonce, counter, signature_hex, err))
        return false;
    fleet_lock(fleet);
    bool taken = session_take(device, nonce, counter, opened, err);
    if (taken)
        fleet_heard(fleet, device);
    fleet_unlock(fleet);
    return taken;
}

static bool token_fits(const struct device *device, const uint8_t digest[SHA256_SIZE], struct error *err)
{
    if (!device || !device->token_expires_at || !secret_equal(device->token, digest, SHA256_SIZE))
        return error_set(err, ERROR_DENIED, "the session is not known here: open a new one");
    if (device->token_expires_at <= clock_now())
        return error_set(err, ERROR_DENIED, "the session has ended: open a new one");
    return admission_check(device, err);
}

bool fleet_session_check(struct console *console, const char *bearer, int64_t *device_id, const char **name,
                         struct arena *arena, struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    char digits[24] = "";
    int64_t id = 0;
    const char *dot = bearer ? strchr(bearer, '.') : NULL;

    if (!dot || dot - bearer >= (long)sizeof digits)
        return error_set(err, ERROR_DENIED, "a device's session token is needed");
    memcpy(digits, bearer, (size_t)(dot - bearer));
    if (!int64_parse(digits, 1, INT64_MAX, &id) || strlen(bearer) > 2 * SHA256_HEX)
        return error_set(err, ERROR_DENIED, "a device's session token is needed");
    sha256_bytes(bearer, strlen(bearer), digest);
    fleet_lock(console->fleet);
    struct device *device = fleet_by_id(console->fleet, id);
    bool fits = token_fits(device, digest, err);
    if (fits) {
        fleet_heard(console->fleet, device);
        *device_id = device->id;
        *name = arena_strdup(arena, device->name);
    }
    fleet_unlock(console->fleet);
    return fits;
}
