/* The dry run of a rollout: what would happen, and nothing does. */
#include "console/delivery/rollout_assignment.h"
#include "console/delivery/rollout_making.h"
#include "diagnostics/diagnostics.h"

#include <string.h>

#define MOVE_S 30 /* what a device takes, for the expected end */
#define SAMPLES 5
#define WHYS_MOST 32  /* different reasons in a dry run; more are counted as "other" */
#define FROMS_MOST 16 /* versions whose files are compared */
#define ZONES_MOST 40 /* time zones that are looked at for the expected end */

/* Devices with the same fate. */
struct why {
    const char *code, *text;
    int64_t devices, samples[SAMPLES];
};
struct whys {
    struct why list[WHYS_MOST];
    size_t count;
};
struct from {
    char version[VERSION_SIZE];
    int64_t bytes; /* that a device with this version fetches */
};
/* Where devices that move are; of a rollout with a window. */
struct place {
    char zone[ZONE_NAME_SIZE];
    uint32_t stages; /* bit n: stage n has some there */
};
struct dry {
    struct making *making;
    struct db_conn *conn;
    struct whys incompatible, conflict;
    int64_t already, pinned, development, offline, bytes, moves;
    int64_t stage_moves[ROLLOUT_STAGES_MOST];
    struct from froms[FROMS_MOST];
    struct place places[ZONES_MOST];
    size_t from_count, place_count;
};

static void why_add(struct arena *arena, struct whys *whys, const char *code, const char *text,
                    int64_t device_id)
{
    size_t i = 0;

    while (i < whys->count && strcmp(whys->list[i].text, text) != 0)
        i++;
    if (i == WHYS_MOST) {
        i--;
        whys->list[i].code = "other";
        whys->list[i].text = "other reasons";
    }
    struct why *why = &whys->list[i];
    if (i == whys->count) {
        *why = (struct why){.code = code, .text = arena_strdup(arena, text)};
        whys->count++;
    }
    if (why->devices < SAMPLES)
        why->samples[why->devices] = device_id;
    why->devices++;
}

/* Bytes of the files that a device with that version lacks. */
static int64_t bytes_from(struct dry *dry, const char *version)
{
    struct making *making = dry->making;
    struct manifest before = {0};
    char sha256[SHA256_HEX];
    struct error none = {0};
    int64_t bytes = 0;
    size_t i = 0;

    while (i < dry->from_count && strcmp(dry->froms[i].version, version) != 0)
        i++;
    if (i < dry->from_count)
        return dry->froms[i].bytes;
    bool known =
        version[0] && repo_manifest(making->console->repo, dry->conn, making->arena, making->rollout.product,
                                    making->rollout.asset, version, &before, sha256, &none);
    for (size_t f = 0; f < making->manifest.file_count; f++) {
        bool has = false;

        for (size_t b = 0; known && !has && b < before.file_count; b++)
            has = !strcmp(before.files[b].sha256, making->manifest.files[f].sha256);
        bytes += has ? 0 : making->manifest.files[f].length;
    }
    if (dry->from_count < FROMS_MOST) {
        strcpy(dry->froms[dry->from_count].version, version);
        dry->froms[dry->from_count++].bytes = bytes;
    }
    return bytes;
}

static void place_add(struct dry *dry, const struct ranked *member)
{
    char zone[ZONE_NAME_SIZE];
    size_t i = 0;

    diagnostics_zone(dry->making->console->diagnostics, member->device_id, zone);
    while (i < dry->place_count && strcmp(dry->places[i].zone, zone) != 0)
        i++;
    if (i == ZONES_MOST)
        return;
    if (i == dry->place_count)
        strcpy(dry->places[dry->place_count++].zone, zone);
    dry->places[i].stages |= UINT32_C(1) << member->stage;
}

static bool dry_one(struct dry *dry, const struct json *hardware, const struct json *requires,
                    const struct ranked *member, struct error *err)
{
    struct making *making = dry->making;
    struct rollout_verdict verdict;

    if (!rollout_judge(making->console, dry->conn, &making->rollout, hardware, requires, member->device_id,
                       &verdict, err))
        return false;
    dry->offline += verdict.offline;
    if (verdict.to == RA_ALREADY_CURRENT) {
        dry->already++;
    } else if (verdict.to == RA_OFFERED) {
        dry->moves++;
        dry->stage_moves[member->stage - 1]++;
        dry->bytes += bytes_from(dry, verdict.from);
        if (making->rollout.window)
            place_add(dry, member);
    } else if (!strcmp(verdict.code, "pinned")) {
        dry->pinned++;
    } else if (!strcmp(verdict.code, "development")) {
        dry->development++;
    } else {
        why_add(making->arena, &dry->incompatible, verdict.code, verdict.text, member->device_id);
    }
    return true;
}

static void conflict_add(void *context, int64_t other, int64_t device_id)
{
    struct dry *dry = context;

    why_add(dry->making->arena, &dry->conflict, "conflict",
            arena_printf(dry->making->arena, "rollout %lld of the same asset is not over", (long long)other),
            device_id);
}

static bool dry_conflicts(struct dry *dry, struct error *err)
{
    struct making *making = dry->making;
    int64_t *ids = rollout_members_sorted(making->arena, making->members, making->count), *others;
    size_t count;

    if (!rollout_others_read(dry->conn, making->arena, &making->rollout, &others, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!rollout_shared_find(dry->conn, others[i], ids, making->count, conflict_add, dry, err))
            return false;
    return true;
}

static void samples_write(struct fleet *fleet, const int64_t *ids, int64_t count, struct json_writer *writer)
{
    json_write_array(writer, "samples");
    fleet_lock(fleet);
    for (int64_t i = 0; i < count && i < SAMPLES; i++) {
        const struct device *device = fleet_by_id(fleet, ids[i]);

        if (device)
            json_write_string(writer, NULL, device->name);
    }
    fleet_unlock(fleet);
    json_write_end(writer, ']');
}

static void whys_write(const struct dry *dry, const char *key, const struct whys *whys,
                       struct json_writer *writer)
{
    json_write_array(writer, key);
    for (size_t i = 0; i < whys->count; i++) {
        const struct why *why = &whys->list[i];

        json_write_object(writer, NULL);
        json_write_string(writer, "code", why->code);
        json_write_string(writer, "why", why->text);
        json_write_integer(writer, "devices", why->devices);
        samples_write(dry->making->console->fleet, why->samples, why->devices, writer);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

/* When the window is open, or has been, everywhere in the stage. */
static int64_t opens_everywhere(const struct dry *dry, int64_t stage, int64_t from)
{
    int64_t last = from;

    for (size_t i = 0; i < dry->place_count; i++)
        if (dry->places[i].stages & UINT32_C(1) << stage) {
            const char *facts =
                arena_printf(dry->making->arena, "{\"timezone\":\"%s\"}", dry->places[i].zone);
            int64_t opens = rollout_window_opens(dry->making->rollout.window, facts, from);

            last = opens > last ? opens : last;
        }
    return last;
}

/* When the last stage would be over; 0: a person decides that. */
static int64_t expected_end(const struct dry *dry)
{
    const struct rollout *rollout = &dry->making->rollout;
    int64_t end = rollout->at ? rollout->at : dry->making->now;

    if (rollout->approval || dry->making->plan->draft)
        return 0;
    for (int64_t i = 0; i < rollout->stages; i++) {
        int64_t moves = dry->stage_moves[i];
        int64_t rounds = !moves ? 0 : rollout->parallel ? (moves - 1) / rollout->parallel + 1 : 1;

        end = opens_everywhere(dry, i + 1, end) + rounds * MOVE_S + (moves ? rollout->soak_s : 0);
    }
    return end;
}

static void dry_write(const struct dry *dry, struct json_writer *writer)
{
    const struct making *making = dry->making;
    int64_t from = 0;

    json_write_object(writer, NULL);
    json_write_integer(writer, "matches", (int64_t)making->plan->device_count);
    json_write_integer(writer, "already", dry->already);
    json_write_integer(writer, "pinned", dry->pinned);
    json_write_integer(writer, "development", dry->development);
    whys_write(dry, "incompatible", &dry->incompatible, writer);
    whys_write(dry, "conflict", &dry->conflict, writer);
    json_write_integer(writer, "offline", dry->offline);
    json_write_integer(writer, "bytes", dry->bytes);
    json_write_integer(writer, "moves", dry->moves);
    json_write_array(writer, "stages");
    for (size_t i = 0; i < making->plan->share_count; i++) {
        int64_t ids[SAMPLES], devices = making->upto[i] - from;

        for (int64_t s = 0; s < SAMPLES && s < devices; s++)
            ids[s] = making->members[from + s].device_id;
        json_write_object(writer, NULL);
        json_write_integer(writer, "number", (int64_t)i + 1);
        json_write_string(writer, "share", making->plan->shares[i]);
        json_write_integer(writer, "devices", devices);
        json_write_integer(writer, "moves", dry->stage_moves[i]);
        samples_write(making->console->fleet, ids, devices, writer);
        json_write_end(writer, '}');
        from = making->upto[i];
    }
    json_write_end(writer, ']');
    json_write_time(writer, "expected_end", expected_end(dry));
    json_write_end(writer, '}');
}

bool rollout_dry_run(struct console *console, const struct rollout_plan *plan, struct json_writer *writer,
                     struct error *err)
{
    ARENA(arena);
    struct making making = {.console = console, .plan = plan, .arena = &arena};
    DB_DONE(conn) = db_read(console->db, err);

    if (!conn || !rollout_making_read(&making, conn, err))
        return false;
    struct dry *dry = arena_alloc(&arena, sizeof *dry);
    dry->making = &making;
    dry->conn = conn;
    struct error none = {0};
    const struct json *hardware = json_read(&arena, making.rollout.hardware, strlen(making.rollout.hardware),
                                            &json_limits_small, &none);
    const struct json *requires = json_read(&arena, making.rollout.requires, strlen(making.rollout.requires),
                                            &json_limits_small, &none);
    for (size_t i = 0; i < making.count; i++)
        if (!dry_one(dry, hardware, requires, &making.members[i], err))
            return false;
    if (!dry_conflicts(dry, err))
        return false;
    dry_write(dry, writer);
    return true;
}
