#include "test/bench/crowd.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/signature.h"
#include "base/text.h"
#include "console/checkin.h"
#include "console/reports.h"
#include "test/bench/figures.h"
#include "test/bench/must.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASSET "model"
#define IMAGE_MS 2000 /* a device is on the image so long */
#define VERSIONS_MOST 8
#define FIRST_MS 20000 /* their first check-ins are spread over so long */

enum on { ON_NOTHING, ON_IMAGE };
struct sim {
    struct private_key key;
    int64_t id, seq, generation, come_ms; /* come_ms: of clock_boot_ms */
    char version[VERSION_SIZE], manifest[SHA256_HEX];
    char run[33];
    int64_t campaign, ends_ms;
    enum on on;
    bool told_facts;
};
struct known {
    char version[VERSION_SIZE], manifest[SHA256_HEX];
};
struct crowd {
    struct known known[VERSIONS_MOST];
    size_t known_count;
    struct sim *sims;
    size_t count, at, returned;
    struct sim **on; /* who is on an image, in the order in which they end: a ring */
    size_t on_first, on_count;
    int64_t checkins, first;
    bool watched;
};

/* --- rows
 * ---------------------------------------------------------------------------------------------------------
 */

static void insert(struct db_conn *conn, struct sim *sim, size_t n)
{
    char name[NAME_SIZE], key[2 * PUBLIC_KEY_SIZE + 1];
    struct error err = {0};
    struct db_query *query = db_query(
        conn, "INSERT INTO device (name, product, hardware, key_id, public_key, admission, enrolled_at)"
              " VALUES (:name, 'demo', :hardware, :id, :key, 'accepted', 1)");

    snprintf(name, sizeof name, "dev-%06zu", n + 1);
    hex_encode(key, sim->key.public.bytes, PUBLIC_KEY_SIZE);
    db_bind_text(query, ":name", name);
    db_bind_text(query, ":hardware", n % 2 ? "b" : "a");
    db_bind_text(query, ":id", sim->key.public.id);
    db_bind_text(query, ":key", key);
    MUST(db_run(query, NULL, &err), err);
    sim->id = db_last_id(conn);
}

struct crowd *crowd_seed(struct db *db, size_t count)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct error err = {0};
    struct db_conn *conn = db_write(db, &err);

    MUST(conn, err);
    crowd->count = count;
    crowd->sims = calloc(count, sizeof *crowd->sims);
    crowd->on = calloc(count, sizeof(struct sim *));
    for (size_t n = 0; n < count; n++) {
        private_key_make(&crowd->sims[n].key);
        insert(conn, &crowd->sims[n], n);
        crowd->sims[n].come_ms = clock_boot_ms() + (int64_t)(n * 7919 % count) * FIRST_MS / (int64_t)count;
    }
    MUST(db_commit(conn, &err), err);
    return crowd;
}

void crowd_know(struct crowd *crowd, const char *version, const char *manifest)
{
    struct known *known = &crowd->known[crowd->known_count++ % VERSIONS_MOST];

    snprintf(known->version, sizeof known->version, "%s", version);
    snprintf(known->manifest, sizeof known->manifest, "%s", manifest);
}

void crowd_free(struct crowd *crowd)
{
    free(crowd->on);
    free(crowd->sims);
    free(crowd);
}

/* --- what a device says
 * -------------------------------------------------------------------------------------------- */

static void facts_write(struct json_writer *writer, const struct sim *sim)
{
    static const char *const facts[][2] = {{"agent", "0.3.0"},
                                           {"arch", "aarch64"},
                                           {"cpus", "4"},
                                           {"diagnostics", "yes"},
                                           {"kernel", "6.1.0-18"},
                                           {"limits", "cgroup v2"},
                                           {"memory_bytes", "4096000000"},
                                           {"os", "Debian GNU/Linux 12"}};
    static const char *const zones[] = {"Europe/Berlin", "UTC", "America/New_York"};

    json_write_object(writer, "facts");
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        json_write_string(writer, facts[i][0], facts[i][1]);
    json_write_string(writer, "timezone", zones[sim->id % 3]);
    json_write_end(writer, '}');
}

static void image_write(struct json_writer *writer, const struct sim *sim)
{
    json_write_object(writer, "image");
    json_write_string(writer, "run", sim->run);
    json_write_integer(writer, "campaign", sim->campaign);
    json_write_string(writer, "image", "look");
    json_write_string(writer, "version", "1.0.0");
    json_write_string(writer, "state", "running");
    json_write_end(writer, '}');
}

static void said_write(const struct sim *sim, struct text *out)
{
    struct json_writer writer;
    char set[SHA256_HEX];

    sha256_hex(sim->version, strlen(sim->version), set);
    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "boot_id", "b1");
    json_write_integer(&writer, "generation", sim->generation);
    json_write_string(&writer, "set", set);
    json_write_integer(&writer, "order_seq", sim->seq);
    json_write_object(&writer, "assets");
    if (*sim->version) {
        json_write_object(&writer, ASSET);
        json_write_string(&writer, "version", sim->version);
        json_write_string(&writer, "sha256", sim->manifest);
        json_write_string(&writer, "state", "idle");
        json_write_integer(&writer, "result", 1);
        json_write_end(&writer, '}');
    }
    json_write_end(&writer, '}');
    json_write_object(&writer, "app");
    json_write_string(&writer, "state", sim->on == ON_IMAGE ? "stopped" : "running");
    json_write_end(&writer, '}');
    if (sim->on == ON_IMAGE)
        image_write(&writer, sim);
    if (!sim->told_facts)
        facts_write(&writer, sim);
    json_write_end(&writer, '}');
}

static const char *proof_make(struct arena *arena, const struct sim *sim)
{
    TEXT(canonical);
    struct error err = {0};
    uint8_t signature[SIGNATURE_SIZE];
    char hex[2 * SIGNATURE_SIZE + 1], set[SHA256_HEX], at[TIME_TEXT];

    sha256_hex(sim->version, strlen(sim->version), set);
    const char *words = arena_printf(arena,
                                     "{\"run\":\"%s\",\"equal\":true,\"leftovers\":0,\"before\":\"%s\","
                                     "\"after\":\"%s\",\"reverted_at\":\"%s\"",
                                     sim->run, set, set, time_text(clock_now(), at));
    const char *whole = arena_printf(arena, "%s}", words);
    const struct json *json = json_read(arena, whole, strlen(whole), &json_limits_small, &err);
    MUST(json && json_canonical(json, &canonical, &err), err);
    private_key_sign(&sim->key, canonical.bytes, canonical.size, signature);
    hex_encode(hex, signature, sizeof signature);
    return arena_printf(arena, "%s,\"signature\":\"%s\"}", words, hex);
}

/* One report of the run, as JSON text. */
static const char *report(struct arena *arena, const struct sim *sim, const char *state, const char *more)
{
    uint8_t chance[16];
    char id[33], at[TIME_TEXT];

    random_bytes(chance, sizeof chance);
    hex_encode(id, chance, sizeof chance);
    return arena_printf(
        arena, "{\"id\":\"%s\",\"at\":\"%s\",\"type\":\"assignment\",\"run\":\"%s\",\"state\":\"%s\"%s}", id,
        time_text(clock_now(), at), sim->run, state, more);
}

static void tell(struct console *console, const struct sim *sim, struct arena *arena, const char *text)
{
    TEXT(answer);
    struct error err = {0};
    const struct json *reports = json_read(arena, text, strlen(text), &json_limits_small, &err);

    MUST(reports && reports_take(console, sim->id, reports, &answer, &err), err);
}

/* --- what its order says
 * ------------------------------------------------------------------------------------------- */

static void taken(struct crowd *crowd)
{
    if (crowd->watched && !crowd->first)
        crowd->first = spent_begin().wall;
}

static void set_take(struct crowd *crowd, struct sim *sim, const struct json *set)
{
    for (const struct json *one = set ? set->first : NULL; one; one = one->next) {
        const char *version = json_string(one, "version");

        if (!string_is(json_string(one, "asset"), ASSET) || string_is(version, sim->version))
            continue;
        snprintf(sim->version, sizeof sim->version, "%s", version);
        for (size_t i = 0; i < crowd->known_count && i < VERSIONS_MOST; i++)
            if (!strcmp(crowd->known[i].version, version))
                strcpy(sim->manifest, crowd->known[i].manifest);
        sim->generation++;
        taken(crowd);
    }
}

/* One run at a time: what the bench asks for. */
static void runs_take(struct crowd *crowd, struct console *console, struct sim *sim, const struct json *runs)
{
    const struct json *run = runs ? runs->first : NULL;
    const char *id = json_string(run, "id");
    ARENA(arena);

    if (id && strcmp(id, sim->run) && sim->on == ON_NOTHING) {
        snprintf(sim->run, sizeof sim->run, "%s", id);
        sim->campaign = json_integer(run, "campaign", 0);
        sim->ends_ms = clock_boot_ms() + IMAGE_MS;
        sim->on = ON_IMAGE;
        crowd->on[(crowd->on_first + crowd->on_count++) % crowd->count] = sim;
        taken(crowd);
        tell(console, sim, &arena,
             arena_printf(&arena, "[%s,%s,%s]", report(&arena, sim, "downloading", ""),
                          report(&arena, sim, "verifying", ""), report(&arena, sim, "running", "")));
    }
}

static void run_end(struct crowd *crowd, struct console *console, struct sim *sim)
{
    ARENA(arena);
    const char *proof = arena_printf(&arena, ",\"proof\":%s", proof_make(&arena, sim));

    tell(console, sim, &arena,
         arena_printf(
             &arena, "[%s,%s,%s]", report(&arena, sim, "reverting", ""),
             report(&arena, sim, "uploading", proof),
             report(&arena, sim, "done", ",\"capture\":\"none\",\"capture_reason\":\"nothing asked\"")));
    sim->on = ON_NOTHING;
    sim->come_ms = clock_boot_ms();
    crowd->returned++;
}

/* Those whose time on the image is over. */
static void runs_end(struct crowd *crowd, struct console *console, int64_t until)
{
    while (crowd->on_count) {
        struct sim *sim = crowd->on[crowd->on_first];
        int64_t now = clock_boot_ms();

        if (sim->ends_ms > now || now >= until)
            return;
        crowd->on_first = (crowd->on_first + 1) % crowd->count;
        crowd->on_count--;
        run_end(crowd, console, sim);
    }
}

/* --- coming
 * -------------------------------------------------------------------------------------------------------- */

static void come(struct crowd *crowd, struct console *console, struct sim *sim, int64_t haste)
{
    ARENA(arena);
    TEXT(body);
    TEXT(answer);
    struct error err = {0};

    said_write(sim, &body);
    MUST(device_checkin(console, sim->id, text_string(&body), body.size, &answer, &err), err);
    crowd->checkins++;
    sim->told_facts = true;
    const struct json *said = json_read(&arena, text_string(&answer), answer.size, &json_limits_large, &err);
    MUST(said, err);
    const struct json *order = json_get(json_get(said, "order"), "signed");
    int64_t poll_ms = json_integer(said, "poll_s", 60) * 1000 / haste;
    /* ±10 %, as the agent has it; what it took up it says at once. */
    sim->come_ms = clock_boot_ms() + poll_ms * (90 + sim->id * 7919 % 21) / 100;
    if (!order)
        return;
    sim->seq = json_integer(order, "seq", 0);
    sim->come_ms = clock_boot_ms();
    set_take(crowd, sim, json_get(order, "set"));
    runs_take(crowd, console, sim, json_get(order, "runs"));
}

void crowd_live(struct crowd *crowd, struct console *console, int64_t haste, int64_t ms)
{
    const struct timespec rest = {.tv_nsec = 2000000};
    int64_t now = clock_boot_ms(), until = now + ms, before = crowd->checkins;

    runs_end(crowd, console, now + ms / 2);
    for (size_t i = 0; i < crowd->count && now < until; i++) {
        struct sim *sim = &crowd->sims[crowd->at++ % crowd->count];

        if (sim->come_ms > now)
            continue;
        come(crowd, console, sim, haste);
        now = clock_boot_ms();
    }
    if (crowd->checkins == before)
        nanosleep(&rest, NULL); /* nobody's time: others may have the processor */
}

size_t crowd_runs(const struct crowd *crowd, const char *version)
{
    size_t count = 0;

    for (size_t i = 0; i < crowd->count; i++)
        count += !strcmp(crowd->sims[i].version, version);
    return count;
}

size_t crowd_returned(const struct crowd *crowd)
{
    return crowd->returned;
}

int64_t crowd_checkins(const struct crowd *crowd)
{
    return crowd->checkins;
}

void crowd_watch(struct crowd *crowd)
{
    crowd->watched = true;
    crowd->first = 0;
}

int64_t crowd_first(const struct crowd *crowd)
{
    return crowd->first;
}
