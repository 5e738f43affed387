/* libFuzzer's entry for the JSON reader. Two things must hold for any bytes:
 * what we accept, SQLite accepts, and writing it again and reading that gives the same canonical or written
 * form; what SQLite accepts and we refuse, we refuse for one of the reasons in which we are stricter on
 * purpose.
 *
 * clang -fsanitize=fuzzer,address -std=c11 -D_GNU_SOURCE -I. test/fuzz/json_fuzz.c base/…json, text, arena,
 * error, clock -lsqlite3 Its findings are kept in test/fuzz/json and run with test/base/json_test.c. */
#include "base/json.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void disagree(const char *what, const uint8_t *bytes, size_t size)
{
    fprintf(stderr, "%s: \"%.*s\"\n", what, (int)size, (const char *)bytes);
    abort();
}

static bool sqlite_accepts(const uint8_t *bytes, size_t size)
{
    static sqlite3_stmt *stmt;
    static sqlite3 *db;

    if (!stmt &&
        (sqlite3_open(":memory:", &db) || sqlite3_prepare_v2(db, "SELECT json_valid(?1)", -1, &stmt, NULL)))
        abort();
    sqlite3_bind_text(stmt, 1, (const char *)bytes, (int)size, SQLITE_STATIC);
    bool valid = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) == 1;
    sqlite3_reset(stmt);
    return valid;
}

/* Where RFC 8259 leaves the choice, or SQLite takes more than it allows, we take less. */
static bool is_stricter_on_purpose(const struct error *err, const uint8_t *bytes, size_t size)
{
    /* "a string is missing": SQLite 3.40 looks only at the last string within a name, so that {[""]:1} is
     * valid to it. */
    static const char *const reasons[] = {"bad UTF-8", "surrogate", "U+0000",    "stands twice",
                                          "too large", "deep",      "more than", "a string is missing"};

    /* SQLite's text ends at a NUL. */
    if (memchr(bytes, '\0', size))
        return true;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strstr(err->text, reasons[i]))
            return true;
    return false;
}

static void check_round_trip(const struct json *value, const uint8_t *bytes, size_t size)
{
    ARENA(arena);
    TEXT(first);
    TEXT(second);
    struct error err = {0};
    struct json_writer writer;

    json_write_init(&writer, &first);
    json_write_value(&writer, NULL, value);
    const struct json *again = json_read(&arena, first.bytes, first.size, &json_limits_large, &err);
    if (!again)
        disagree(err.text, bytes, size);
    json_write_init(&writer, &second);
    json_write_value(&writer, NULL, again);
    if (first.size != second.size || memcmp(first.bytes, second.bytes, first.size) != 0)
        disagree("written and read again, it differs", bytes, size);
}

/* The canonical form, where there is one and it is JSON, is its own canonical form. */
static void check_canonical(const struct json *value, const uint8_t *bytes, size_t size)
{
    ARENA(arena);
    TEXT(canonical);
    struct error err = {0};

    if (!json_canonical(value, &canonical, &err))
        return;
    for (size_t i = 0; i < canonical.size; i++)
        if ((unsigned char)canonical.bytes[i] < 0x20)
            return;
    if (!json_read_canonical(&arena, canonical.bytes, canonical.size, &json_limits_large, &err))
        disagree(err.text, bytes, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    ARENA(arena);
    struct error err = {0};
    const struct json *value = json_read(&arena, bytes, size, &json_limits_large, &err);
    bool valid = sqlite_accepts(bytes, size);

    if (value && !valid)
        disagree("accepted by us alone", bytes, size);
    if (!value && valid && !is_stricter_on_purpose(&err, bytes, size))
        disagree(err.text, bytes, size);
    if (!value && err.kind != ERROR_INPUT && err.kind != ERROR_LIMIT)
        disagree("refused without a reason", bytes, size);
    if (value) {
        check_round_trip(value, bytes, size);
        check_canonical(value, bytes, size);
    }
    return 0;
}
