/* The act of enrolling: one claim code is all the trust that is needed. PROTOCOL.md "Claim code", "Enrol". */
#include "agent/enrolment.h"

#include "agent/facts.h"
#include "agent/pem.h"
#include "agent/protocol.h"
#include "agent/state.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http.h"
#include "base/json.h"
#include "repo/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CA_LIMIT (256 << 10)

struct claim {
    char secret[CLAIM_SECRET_CHARS + 1];
    char authority[SHA256_HEX];
    char root[SHA256_HEX];
};

struct enrolling {
    const struct enrol_options *options;
    int state_fd;
    struct claim claim;
    struct arena *arena;
    struct enrolment *enrolment;
    const char *ca_path;
};

static void http_end(struct http **http)
{
    http_close(*http);
}
#define HTTP(name) __attribute__((cleanup(http_end))) struct http *name

static bool claim_read(const char *code, struct claim *claim, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    size_t size = strspn(code, letters);

    if (size != CLAIM_SECRET_CHARS || strlen(code) != CLAIM_SECRET_CHARS + 2 * SHA256_HEX ||
        code[size] != '.' || code[size + SHA256_HEX] != '.')
        return error_set(
            err, ERROR_INPUT,
            "this is no claim code: it has three parts with points between, as `locum device claim` "
            "prints it");
    memcpy(claim->secret, code, CLAIM_SECRET_CHARS);
    memcpy(claim->authority, code + CLAIM_SECRET_CHARS + 1, SHA256_HEX - 1);
    memcpy(claim->root, code + CLAIM_SECRET_CHARS + 1 + SHA256_HEX, SHA256_HEX - 1);
    if (!sha256_is_hex(claim->authority) || !sha256_is_hex(claim->root))
        return error_set(err, ERROR_INPUT, "this is no claim code: its fingerprints are malformed");
    return true;
}

static bool server_take(const char *server, char into[SERVER_SIZE], struct error *err)
{
    size_t size = strlen(server);

    while (size > 0 && server[size - 1] == '/')
        size--;
    if (strncmp(server, "https://", 8) != 0 || size <= 8 || size >= SERVER_SIZE)
        return error_set(err, ERROR_INPUT, "--server must be an address like https://host:8443");
    memcpy(into, server, size);
    into[size] = '\0';
    return true;
}

static bool answer_get(struct http *http, const char *path, size_t limit, struct arena *arena,
                       struct http_answer *answer, struct error *err)
{
    struct http_request request = {.method = "GET", .path = path, .answer_limit = limit};

    return http_send(http, &request, arena, answer, err) &&
           (answer->status == 200 || http_refused(answer, err));
}

/* The authorities that were given by hand: PEM text as it is, else a file. */
static bool ca_given(struct enrolling *enrolling, const char **pem, struct error *err)
{
    const char *ca = enrolling->options->ca;
    char fingerprint[SHA256_HEX];

    if (strstr(ca, "-----BEGIN")) {
        *pem = ca;
    } else {
        FD(fd) = open(ca, O_RDONLY | O_CLOEXEC);
        char *bytes = arena_alloc(enrolling->arena, CA_LIMIT + 1);
        ssize_t size = fd < 0 ? -1 : read(fd, bytes, CA_LIMIT);
        if (size < 0)
            return error_errno(err, "reading the authorities \"%s\"", ca);
        *pem = bytes;
    }
    return pem_first(enrolling->arena, *pem, fingerprint, err) || error_add(err, "--ca");
}

/* Fetched without trust, and trusted because its fingerprint stands in the claim code. */
static bool ca_pinned(struct enrolling *enrolling, const char **pem, struct error *err)
{
    struct http_options options = {.base_url = enrolling->enrolment->server,
                                   .insecure = true,
                                   .user_agent = "locum-agent/" AGENT_VERSION};
    struct http_answer answer;
    char fingerprint[SHA256_HEX];
    HTTP(http) = http_open(&options, err);

    if (!http || !answer_get(http, "/ca.pem", CA_LIMIT, enrolling->arena, &answer, err))
        return false;
    *pem = pem_first(enrolling->arena, answer.body, fingerprint, err);
    if (!*pem)
        return error_add(err, "the server's authority");
    if (strcmp(fingerprint, enrolling->claim.authority) != 0)
        return error_set(
            err, ERROR_UNTRUSTED,
            "the server's certificate authority is not the one that the claim code names: either this "
            "is another server, or somebody stands in between");
    return true;
}

static bool root_fetch(struct enrolling *enrolling, struct http *http, struct error *err)
{
    struct http_answer answer;
    char fingerprint[SHA256_HEX];

    if (!answer_get(http, "/metadata/root.json", ROOT_LIMIT, enrolling->arena, &answer, err))
        return false;
    sha256_hex(answer.body, answer.size, fingerprint);
    if (strcmp(fingerprint, enrolling->claim.root) != 0)
        return error_set(
            err, ERROR_UNTRUSTED,
            "the server's root of trust is not the one that the claim code names (its fingerprint "
            "differs): ask for a new claim code");
    return folder_make(enrolling->state_fd, STATE_METADATA, 0700, err) &&
           file_write(enrolling->state_fd, STATE_METADATA "/root.json", answer.body, answer.size, 0600, err);
}

/* The same key at every attempt, so that a lost answer can be asked for again. */
static bool key_prepare(int state_fd, struct private_key *key, struct error *err)
{
    struct error failed = {0};

    if (private_key_load(key, state_fd, STATE_KEY, &failed))
        return true;
    if (failed.kind != ERROR_MISSING) {
        *err = failed;
        return error_add(err, "the device's key");
    }
    private_key_make(key);
    return private_key_save(key, state_fd, STATE_KEY, err);
}

static void request_write(const struct enrolling *enrolling, struct text *out)
{
    const struct private_key *key = &enrolling->enrolment->key;
    char public[2 * PUBLIC_KEY_SIZE + 1], proof[2 * SIGNATURE_SIZE + 1];
    uint8_t signature[SIGNATURE_SIZE];
    struct json_writer writer;

    hex_encode(public, key->public.bytes, PUBLIC_KEY_SIZE);
    char *said =
        arena_printf(enrolling->arena, ENROL_SIGNED_PREFIX "%s\n%s\n", enrolling->claim.secret, public);
    private_key_sign(key, said, strlen(said), signature);
    hex_encode(proof, signature, SIGNATURE_SIZE);
    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "claim", enrolling->claim.secret);
    json_write_string(&writer, "public_key", public);
    json_write_string(&writer, "name", enrolling->options->name);
    json_write_string(&writer, "hardware", enrolling->options->hardware);
    facts_write(&writer, "facts", NULL, NULL);
    json_write_string(&writer, "proof", proof);
    json_write_end(&writer, '}');
}

static bool answer_take(struct enrolling *enrolling, const struct http_answer *answer, struct error *err)
{
    struct enrolment *enrolment = enrolling->enrolment;
    const struct json *json =
        json_read(enrolling->arena, answer->body, answer->size, &json_limits_small, err);
    const char *device, *product, *admission;

    if (!json || !json_need_string(json, "device", &device, err) || !name_check("device", device, err) ||
        !json_need_string(json, "product", &product, err) || !name_check("product", product, err) ||
        !json_need_string(json, "admission", &admission, err))
        return error_add(err, "the server's answer");
    strcpy(enrolment->device, device);
    strcpy(enrolment->product, product);
    snprintf(enrolment->admission, sizeof(enrolment->admission), "%s", admission);
    return true;
}

static bool request_send(struct enrolling *enrolling, struct http *http, struct error *err)
{
    struct http_answer answer;
    TEXT(body);

    request_write(enrolling, &body);
    struct http_request request = {
        .method = "POST", .path = DEVICE_PATH_ENROL, .body = body.bytes, .body_size = body.size};
    if (!http_send(http, &request, enrolling->arena, &answer, err))
        return false;
    if (answer.status != 200 && answer.status != 201) {
        http_refused(&answer, err);
        return error_add(err, "the claim was refused");
    }
    return answer_take(enrolling, &answer, err);
}

static bool enrol_with_server(struct enrolling *enrolling, struct error *err)
{
    const char *pem = NULL;

    if (!(enrolling->options->ca ? ca_given(enrolling, &pem, err) : ca_pinned(enrolling, &pem, err)) ||
        !file_write(enrolling->state_fd, STATE_CA, pem, strlen(pem), 0600, err))
        return false;
    struct http_options options = {.base_url = enrolling->enrolment->server,
                                   .ca_file = enrolling->ca_path,
                                   .user_agent = "locum-agent/" AGENT_VERSION};
    HTTP(http) = http_open(&options, err);
    return http && root_fetch(enrolling, http, err) && request_send(enrolling, http, err) &&
           enrolment_save(enrolling->state_fd, enrolling->enrolment, err);
}

/* Enrolled before: fine with the same server and claim, else nothing is touched. */
static bool enrolled_before(const struct enrolling *enrolling, const char *server, const char *claim,
                            struct error *err)
{
    const struct enrolment *there = enrolling->enrolment;

    if (strcmp(there->server, server) == 0 && strcmp(there->claim, claim) == 0)
        return true;
    return error_set(
        err, ERROR_CONFLICT,
        "the state folder \"%s\" is already enrolled, as \"%s\" with %s: use another --state, or remove "
        "that folder first",
        enrolling->options->state, there->device, there->server);
}

bool enrol(const struct enrol_options *options, struct enrolment *enrolment, bool *already, struct error *err)
{
    ARENA(arena);
    struct enrolling enrolling = {.options = options, .arena = &arena, .enrolment = enrolment};
    char server[SERVER_SIZE], claim[SHA256_HEX];
    struct error missing = {0};

    *already = false;
    if (!claim_read(options->claim, &enrolling.claim, err) || !server_take(options->server, server, err) ||
        (options->name && !name_check("device", options->name, err)) ||
        (options->hardware && !name_check("hardware", options->hardware, err)))
        return false;
    FD(state_fd) = enrolling.state_fd = state_open(options->state, true, err);
    if (state_fd < 0)
        return false;
    sha256_hex(enrolling.claim.secret, CLAIM_SECRET_CHARS, claim);
    *already = enrolment_load(state_fd, enrolment, &missing);
    if (*already)
        return enrolled_before(&enrolling, server, claim, err);
    if (missing.kind != ERROR_MISSING) {
        *err = missing;
        return false;
    }
    FD(lock) = file_lock(state_fd, STATE_LOCK, err);
    if (lock < 0)
        return error_add(err, "another locum-agent works on this folder");
    memset(enrolment, 0, sizeof(*enrolment));
    strcpy(enrolment->server, server);
    strcpy(enrolment->claim, claim);
    snprintf(enrolment->hardware, sizeof(enrolment->hardware), "%s",
             options->hardware ? options->hardware : "");
    enrolling.ca_path = arena_printf(&arena, "%s/%s", options->state, STATE_CA);
    return folder_make(state_fd, STATE_IDENTITY, 0700, err) && key_prepare(state_fd, &enrolment->key, err) &&
           enrol_with_server(&enrolling, err);
}
