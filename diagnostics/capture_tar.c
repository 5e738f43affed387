/* A run's captures as one tar stream: POSIX.1-2001, ustar headers with a pax header before each file whose
 * name or size does not fit them. No temporary file: the size is computed from the rows first. */
#include "diagnostics/capture_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define PIECE (128 << 10)
#define OCTAL_MOST ((INT64_C(1) << 33) - 1) /* eleven octal digits */

struct member {
    int64_t capture, created_at;
    const char *device;
    int64_t size; /* of all its files with their headers */
    struct member *next;
};

struct capture_tar {
    struct diagnostics *diagnostics;
    struct arena arena;
    struct member *members;
    char *piece;
};

/* One file of a member. */
struct entry {
    const char *name; /* <device>/<path> */
    int64_t n, length;
};

/* --- headers
 * ------------------------------------------------------------------------------------------------------ */

static int64_t rounded(int64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static bool needs_pax(const struct entry *entry)
{
    if (strlen(entry->name) > 100 || entry->length > OCTAL_MOST)
        return true;
    for (const char *c = entry->name; *c; c++)
        if ((unsigned char)*c >= 0x80)
            return true;
    return false;
}

/* "<length> key=value\n", where the length counts its own digits. */
static void pax_record(struct text *out, const char *key, const char *value)
{
    size_t plain = strlen(key) + strlen(value) + 3, size = plain + 1;
    char digits[24];

    while (plain + (size_t)snprintf(digits, sizeof digits, "%zu", size) != size)
        size = plain + strlen(digits);
    text_printf(out, "%zu %s=%s\n", size, key, value);
}

static void pax_body(const struct entry *entry, struct text *out)
{
    char size[24];

    pax_record(out, "path", entry->name);
    snprintf(size, sizeof size, "%lld", (long long)entry->length);
    if (entry->length > OCTAL_MOST)
        pax_record(out, "size", size);
}

static void header(char block[BLOCK], const char *name, int64_t length, int64_t at, char type)
{
    unsigned sum = 0;

    memset(block, 0, BLOCK);
    memcpy(block, name, strnlen(name, 100));
    memcpy(block + 100, "0000644", 8);
    memcpy(block + 108, "0000000", 8);
    memcpy(block + 116, "0000000", 8);
    snprintf(block + 124, 12, "%011llo", (unsigned long long)(length > OCTAL_MOST ? 0 : length));
    snprintf(block + 136, 12, "%011llo", (unsigned long long)(at > OCTAL_MOST || at < 0 ? 0 : at));
    memset(block + 148, ' ', 8);
    block[156] = type;
    memcpy(block + 257, "ustar", 6);
    memcpy(block + 263, "00", 2);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    block[155] = ' ';
}

/* Headers, bytes and padding of one file. */
static int64_t entry_size(const struct entry *entry)
{
    TEXT(pax);
    int64_t size = BLOCK + rounded(entry->length);

    if (needs_pax(entry)) {
        pax_body(entry, &pax);
        size += BLOCK + rounded((int64_t)pax.size);
    }
    return size;
}

/* --- what there is
 * ------------------------------------------------------------------------------------------------ */

static bool entries_read(struct db_conn *conn, struct arena *arena, const struct member *member,
                         struct entry entries[FILES_MOST], size_t *count, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT n, path, length FROM capture_file"
                                            " WHERE capture_id = :id AND complete = 1 ORDER BY n");

    *count = 0;
    db_bind_integer(query, ":id", member->capture);
    while (db_step(query) && *count < FILES_MOST)
        entries[(*count)++] = (struct entry){arena_printf(arena, "%s/%s", member->device, db_text(query, 1)),
                                             db_integer(query, 0), db_integer(query, 2)};
    return db_end(query, err);
}

static bool member_size(struct db_conn *conn, const struct member *member, int64_t *size, struct error *err)
{
    ARENA(arena);
    struct entry *entries = arena_array(&arena, FILES_MOST, sizeof *entries);
    size_t count;

    *size = 0;
    if (!entries_read(conn, &arena, member, entries, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        *size += entry_size(&entries[i]);
    return true;
}

/* What is still being received changes under our hands: it is left out. */
static bool members_read(struct capture_tar *tar, struct db_conn *conn, int64_t campaign, int64_t run,
                         struct error *err)
{
    struct db_query *query = db_query(
        conn, "SELECT k.id, k.created_at, d.name FROM assignment a JOIN capture k ON k.assignment_id ="
              " a.id JOIN device d ON d.id = a.device_id WHERE a.campaign_id = :campaign"
              " AND a.run_number = :run AND k.deleted_at IS NULL AND k.state <> 'uploading'"
              " AND k.file_count > 0 ORDER BY d.name");
    struct member **at = &tar->members;

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    for (; db_step(query); at = &(*at)->next) {
        *at = arena_alloc(&tar->arena, sizeof **at);
        **at = (struct member){.capture = db_integer(query, 0),
                               .created_at = db_integer(query, 1),
                               .device = db_text_copy(query, 2, &tar->arena)};
    }
    return db_end(query, err);
}

static bool run_check(struct db_conn *conn, int64_t campaign, int64_t run, struct error *err)
{
    struct db_query *query =
        db_query(conn, "SELECT 1 FROM run WHERE campaign_id = :campaign AND number = :run");
    bool found;

    db_bind_integer(query, ":campaign", campaign);
    db_bind_integer(query, ":run", run);
    found = db_step(query);
    return db_end(query, err) && (found || error_set(err, ERROR_MISSING, "campaign %lld has no run %lld",
                                                     (long long)campaign, (long long)run));
}

static bool tar_plan(struct capture_tar *tar, int64_t campaign, int64_t run, int64_t *size, struct error *err)
{
    DB_DONE(conn) = db_read(tar->diagnostics->db, err);

    if (!conn || !run_check(conn, campaign, run, err) || !members_read(tar, conn, campaign, run, err))
        return false;
    *size = 2 * BLOCK;
    for (struct member *member = tar->members; member; member = member->next) {
        if (!member_size(conn, member, &member->size, err))
            return false;
        *size += member->size;
    }
    return true;
}

struct capture_tar *capture_tar_open(struct diagnostics *diagnostics, int64_t campaign, int64_t run,
                                     int64_t *size, struct error *err)
{
    struct capture_tar *tar = calloc(1, sizeof *tar);

    if (!tar)
        abort();
    tar->diagnostics = diagnostics;
    arena_init(&tar->arena);
    tar->piece = arena_alloc(&tar->arena, PIECE);
    if (tar_plan(tar, campaign, run, size, err))
        return tar;
    capture_tar_close(tar);
    return NULL;
}

void capture_tar_close(struct capture_tar *tar)
{
    if (!tar)
        return;
    arena_end(&tar->arena);
    free(tar);
}

/* --- sending
 * ------------------------------------------------------------------------------------------------------ */

struct sending {
    struct capture_tar *tar;
    capture_tar_write *write;
    void *context;
    struct error *err;
};

static bool put(struct sending *sending, const void *bytes, size_t size)
{
    return !size || sending->write(sending->context, bytes, size) ||
           error_set(sending->err, ERROR_SYSTEM, "who reads the tar is gone");
}

static bool put_padding(struct sending *sending, int64_t size)
{
    static const char zeros[BLOCK];

    return put(sending, zeros, (size_t)(rounded(size) - size));
}

static bool put_pax(struct sending *sending, const struct entry *entry, int64_t at)
{
    char block[BLOCK];
    TEXT(pax);

    if (!needs_pax(entry))
        return true;
    pax_body(entry, &pax);
    header(block, "pax", (int64_t)pax.size, at, 'x');
    return put(sending, block, BLOCK) && put(sending, pax.bytes, pax.size) &&
           put_padding(sending, (int64_t)pax.size);
}

static bool put_bytes(struct sending *sending, int fd, int64_t length)
{
    for (int64_t from = 0; from < length;) {
        size_t room = length - from < PIECE ? (size_t)(length - from) : PIECE;
        ssize_t got = pread(fd, sending->tar->piece, room, from);

        if (got <= 0)
            return error_set(sending->err, ERROR_SYSTEM, "a captured file became shorter");
        if (!put(sending, sending->tar->piece, (size_t)got))
            return false;
        from += got;
    }
    return put_padding(sending, length);
}

static bool put_entry(struct sending *sending, const struct member *member, const struct entry *entry)
{
    char path[2 * FOLDER_SIZE], block[BLOCK];

    snprintf(path, sizeof path, "%lld/%lld", (long long)member->capture, (long long)entry->n);
    FD(fd) = file_open_beneath(sending->tar->diagnostics->captures_dirfd, path, O_RDONLY, 0, sending->err);
    if (fd < 0 || !put_pax(sending, entry, member->created_at))
        return false;
    header(block, entry->name, entry->length, member->created_at, '0');
    return put(sending, block, BLOCK) && put_bytes(sending, fd, entry->length);
}

/* The rows are read again, one capture at a time, so that a long download holds no connection. */
static bool put_member(struct sending *sending, const struct member *member)
{
    ARENA(arena);
    struct entry *entries = arena_array(&arena, FILES_MOST, sizeof *entries);
    int64_t size = 0;
    size_t count;
    struct db_conn *conn = db_read(sending->tar->diagnostics->db, sending->err);

    if (!conn)
        return false;
    bool good = entries_read(conn, &arena, member, entries, &count, sending->err);
    db_done(conn);
    for (size_t i = 0; good && i < count; i++)
        size += entry_size(&entries[i]);
    if (good && size != member->size)
        good = error_set(sending->err, ERROR_CONFLICT, "capture %lld changed meanwhile",
                         (long long)member->capture);
    for (size_t i = 0; good && i < count; i++)
        good = put_entry(sending, member, &entries[i]);
    return good;
}

bool capture_tar_send(struct capture_tar *tar, capture_tar_write *write, void *context, struct error *err)
{
    static const char end[2 * BLOCK];
    struct sending sending = {tar, write, context, err};

    for (const struct member *member = tar->members; member; member = member->next)
        if (!put_member(&sending, member))
            return false;
    return put(&sending, end, sizeof end);
}
