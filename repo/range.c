#include "repo/range.h"

#include "repo/name.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPARATORS_MOST 32
#define DIGITS_MOST 15

enum operation { EQUAL, BELOW, AT_MOST, ABOVE, AT_LEAST, CARET, TILDE };
static const struct {
    const char *text;
    enum operation operation;
} operations[] = {{"<=", AT_MOST}, {">=", AT_LEAST}, {"<", BELOW}, {">", ABOVE},
                  {"=", EQUAL},    {"^", CARET},     {"~", TILDE}};

/* Only the first five operations; the others are resolved to these. */
struct comparator {
    enum operation operation;
    char version[VERSION_SIZE]; /* whole, without build metadata */
    int set;                    /* which alternative of "||" it belongs to */
};

/* The range as it is read. */
struct range {
    const char *at; /* what is still to be read */
    struct comparator comparators[COMPARATORS_MOST];
    size_t count;
    int set;
};

/* A version with parts left out. */
struct partial {
    int64_t parts[3];
    int given;                     /* how many of the parts */
    char prerelease[VERSION_SIZE]; /* with its '-'; "": none */
};

/* --- reading */

static void skip_spaces(struct range *range)
{
    range->at += strspn(range->at, " ");
}

static bool refuse(const struct range *range, const char *why, struct error *err)
{
    return error_set(err, ERROR_INPUT, "the range is not understood at \"%.40s\": %s", range->at, why);
}

static bool add(struct range *range, enum operation operation, struct error *err, const int64_t parts[3],
                const char *prerelease)
{
    if (range->count == COMPARATORS_MOST)
        return error_set(err, ERROR_LIMIT, "a range has at most %d comparators", COMPARATORS_MOST);
    struct comparator *one = &range->comparators[range->count++];
    one->operation = operation;
    one->set = range->set;
    snprintf(one->version, sizeof one->version, "%lld.%lld.%lld%s", (long long)parts[0], (long long)parts[1],
             (long long)parts[2], prerelease);
    return true;
}

/* One number or a placeholder; `*wild` when nothing more can follow but placeholders. */
static bool part_read(struct range *range, struct partial *partial, bool *wild, struct error *err)
{
    if (strchr("xX*", *range->at) && *range->at) {
        range->at++;
        *wild = true;
        return true;
    }
    size_t digits = strspn(range->at, "0123456789");
    if (digits == 0)
        return refuse(range, "a number, x or * is missing", err);
    if (digits > DIGITS_MOST || (digits > 1 && *range->at == '0'))
        return refuse(range, "a number has at most 15 digits and no leading zero", err);
    if (*wild)
        return refuse(range, "after x or * only x or * can follow", err);
    partial->parts[partial->given++] = strtoll(range->at, NULL, 10);
    range->at += digits;
    return true;
}

/* "-rc.1", and "+build", which counts for nothing. */
static bool suffix_read(struct range *range, struct partial *partial, struct error *err)
{
    char whole[VERSION_SIZE];
    size_t size = strcspn(range->at, " |");
    if (size == 0)
        return true;
    if (partial->given < 3 || (*range->at != '-' && *range->at != '+'))
        return refuse(range, "only a whole version has a pre-release or build", err);
    if (size >= sizeof whole - 5)
        return refuse(range, "a version has at most 64 bytes", err);
    snprintf(whole, sizeof whole, "0.0.0%.*s", (int)size, range->at);
    struct error ignored = {0};
    if (!version_check(whole, &ignored))
        return refuse(range, "that is no pre-release or build", err);
    size_t prerelease = strcspn(whole + 5, "+");
    snprintf(partial->prerelease, sizeof partial->prerelease, "%.*s", (int)prerelease, whole + 5);
    range->at += size;
    return true;
}

static bool partial_read(struct range *range, struct partial *partial, struct error *err)
{
    const char *begin = range->at;
    bool wild = false;
    *partial = (struct partial){0};
    for (int i = 0; i < 3; i++) {
        if (!part_read(range, partial, &wild, err))
            return false;
        if (*range->at != '.' || i == 2)
            break;
        range->at++;
    }
    if (!suffix_read(range, partial, err))
        return false;
    if ((size_t)(range->at - begin) >= VERSION_SIZE)
        return error_set(err, ERROR_INPUT, "a version in a range has at most 64 bytes");
    int64_t *parts = partial->parts;
    /* Whole versions must fit where versions are kept. */
    return snprintf(NULL, 0, "%lld.%lld.%lld%s", (long long)parts[0], (long long)parts[1],
                    (long long)parts[2], partial->prerelease) < VERSION_SIZE ||
           error_set(err, ERROR_INPUT, "a version in a range has at most 64 bytes");
}

/* --- resolving: node-semver's "Advanced Range Syntax" */

/* Below the next version of the part with this number (0: major): "<2.0.0-0" keeps pre-releases of 2.0.0 out.
 */
static bool add_below_next(struct range *range, const struct partial *partial, int part, struct error *err)
{
    int64_t next[3] = {0};
    for (int i = 0; i <= part; i++)
        next[i] = partial->parts[i] + (i == part);
    return add(range, BELOW, err, next, "-0");
}

static bool add_at_least(struct range *range, const struct partial *partial, struct error *err)
{
    return add(range, AT_LEAST, err, partial->parts, partial->prerelease);
}

static bool add_nothing(struct range *range, struct error *err)
{
    static const int64_t zero[3] = {0};
    return add(range, BELOW, err, zero, "-0");
}

/* The leftmost part that is not 0 stays. */
static bool add_caret(struct range *range, const struct partial *partial, struct error *err)
{
    int part = 0;
    while (part < partial->given - 1 && partial->parts[part] == 0)
        part++;
    if (partial->given == 0)
        return add_at_least(range, partial, err);
    return add_at_least(range, partial, err) && add_below_next(range, partial, part, err);
}

static bool add_tilde(struct range *range, const struct partial *partial, struct error *err)
{
    if (partial->given == 0)
        return add_at_least(range, partial, err);
    return add_at_least(range, partial, err) &&
           add_below_next(range, partial, partial->given > 1 ? 1 : 0, err);
}

/* A comparator whose version has parts left out. */
static bool add_wild(struct range *range, enum operation operation, const struct partial *partial,
                     struct error *err)
{
    int last = partial->given - 1;
    int64_t next[3] = {0};
    if (last < 0)
        return operation == BELOW || operation == ABOVE ? add_nothing(range, err)
                                                        : add_at_least(range, partial, err);
    for (int i = 0; i <= last; i++)
        next[i] = partial->parts[i] + (i == last);
    switch (operation) {
    case ABOVE:
        return add(range, AT_LEAST, err, next, "");
    case AT_LEAST:
        return add_at_least(range, partial, err);
    case BELOW:
        return add(range, BELOW, err, partial->parts, "-0");
    case AT_MOST:
        return add(range, BELOW, err, next, "-0");
    default:
        return add_at_least(range, partial, err) && add(range, BELOW, err, next, "-0");
    }
}

static bool add_resolved(struct range *range, enum operation operation, const struct partial *partial,
                         struct error *err)
{
    if (operation == CARET)
        return add_caret(range, partial, err);
    if (operation == TILDE)
        return add_tilde(range, partial, err);
    if (partial->given < 3)
        return add_wild(range, operation, partial, err);
    return add(range, operation, err, partial->parts, partial->prerelease);
}

/* --- the grammar */

static enum operation operation_read(struct range *range)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strncmp(range->at, operations[i].text, strlen(operations[i].text)) == 0) {
            range->at += strlen(operations[i].text);
            skip_spaces(range);
            return operations[i].operation;
        }
    return EQUAL;
}

/* One comparator, or "A - B". */
static bool comparator_read(struct range *range, struct error *err)
{
    struct partial partial, to;
    const char *begin = range->at;
    enum operation operation = operation_read(range);
    bool bare = range->at == begin;
    if (!partial_read(range, &partial, err))
        return false;
    skip_spaces(range);
    if (!bare || strncmp(range->at, "- ", 2) != 0)
        return add_resolved(range, operation, &partial, err);
    range->at++;
    skip_spaces(range);
    if (!partial_read(range, &to, err) || !add_resolved(range, AT_LEAST, &partial, err) ||
        !add_resolved(range, AT_MOST, &to, err))
        return false;
    skip_spaces(range);
    return true;
}

static bool range_read(struct range *range, const char *text, struct error *err)
{
    *range = (struct range){.at = text};
    if (!text)
        return error_set(err, ERROR_INPUT, "a range is missing");
    if (strnlen(text, RANGE_SIZE) == RANGE_SIZE)
        return error_set(err, ERROR_LIMIT, "a range has at most %d bytes", RANGE_SIZE - 1);
    for (;; range->set++) {
        skip_spaces(range);
        do {
            if (!comparator_read(range, err))
                return false;
        } while (*range->at && *range->at != '|');
        if (!*range->at)
            return true;
        if (range->at[1] != '|')
            return refuse(range, "\"or\" is written ||", err);
        range->at += 2;
    }
}

bool range_check(const char *text, struct error *err)
{
    struct range range;
    return range_read(&range, text, err);
}

/* --- asking */

static bool comparator_holds(const struct comparator *comparator, const char *version)
{
    int order = version_compare(version, comparator->version);
    switch (comparator->operation) {
    case BELOW:
        return order < 0;
    case AT_MOST:
        return order <= 0;
    case ABOVE:
        return order > 0;
    case AT_LEAST:
        return order >= 0;
    default:
        return order == 0;
    }
}

/* Does it name a pre-release of the same major.minor.patch? */
static bool asks_for(const struct comparator *comparator, const char *version)
{
    size_t core = strcspn(version, "-");
    return strncmp(comparator->version, version, core) == 0 && comparator->version[core] == '-';
}

static bool set_holds(const struct range *range, int set, const char *version)
{
    bool asked = !strchr(version, '-');
    for (size_t i = 0; i < range->count; i++) {
        const struct comparator *one = &range->comparators[i];
        if (one->set != set)
            continue;
        if (!comparator_holds(one, version))
            return false;
        asked = asked || asks_for(one, version);
    }
    return asked;
}

bool range_holds(const char *text, const char *version)
{
    struct range range;
    struct error ignored = {0};
    char plain[VERSION_SIZE];
    if (!range_read(&range, text, &ignored) || !version_check(version, &ignored))
        return false;
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(version, "+"), version);
    for (int set = 0; set <= range.set; set++)
        if (set_holds(&range, set, plain))
            return true;
    return false;
}
