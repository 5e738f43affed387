#include "repo/marker.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_HEAD "(#)locum:1:" /* after an '@': apart, so that this program does not carry the whole */
#define TEXT_MOST (2 * NAME_SIZE + VERSION_SIZE + 32)
#define PIECE (256 << 10)
#define NOTES_MOST (64 << 10) /* bytes of one note area */
#define HEADERS_MOST 1024     /* program or section headers that are looked at */
#define NOTE_NAME "Locum"
#define NOTE_TYPE 1

bool kind_has_marker(enum asset_kind kind)
{
    return kind == KIND_APP || kind == KIND_MODULE || kind == KIND_BOOTLOADER || kind == KIND_MCU;
}

/* --- the text --------------------------------------------------------------------------------------------
 */

/* Copies up to `end`; false when it is not there in time. */
static bool word_take(const char **at, const char *limit, char end, char *word, size_t room)
{
    size_t left = (size_t)(limit - *at);
    const char *stop = memchr(*at, end, left < room ? left : room);

    if (!stop || stop == *at)
        return false;
    memcpy(word, *at, (size_t)(stop - *at));
    word[stop - *at] = '\0';
    *at = stop + 1;
    return true;
}

/* "@(#)locum:1:<product>/<asset>:<version>\n" at the beginning of `text`. */
static bool text_read(const char *text, size_t size, struct marker *marker)
{
    struct error ignored = {0};
    const char *at = text + 1 + strlen(TEXT_HEAD), *limit = text + size;

    return size > 1 + strlen(TEXT_HEAD) && text[0] == '@' &&
           memcmp(text + 1, TEXT_HEAD, strlen(TEXT_HEAD)) == 0 &&
           word_take(&at, limit, '/', marker->product, sizeof(marker->product)) &&
           word_take(&at, limit, ':', marker->asset, sizeof(marker->asset)) &&
           word_take(&at, limit, '\n', marker->version, sizeof(marker->version)) &&
           name_is_valid(marker->product) && name_is_valid(marker->asset) &&
           version_check(marker->version, &ignored);
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

struct source {
    int fd;
    int64_t *left;
    marker_each *each;
    void *context;
};

/* As many bytes as there are and may be read; -1 on a failure. */
static ssize_t bytes_read(struct source *source, void *bytes, size_t size, int64_t offset)
{
    size_t got = 0;

    if ((int64_t)size > *source->left)
        size = (size_t)*source->left;
    while (got < size) {
        ssize_t more = pread(source->fd, (char *)bytes + got, size - got, (off_t)(offset + (int64_t)got));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        got += (size_t)more;
    }
    *source->left -= (int64_t)got;
    return (ssize_t)got;
}

/* --- any file --------------------------------------------------------------------------------------------
 */

static void piece_search(struct source *source, const char *bytes, size_t size, size_t begin_before)
{
    char head[sizeof(TEXT_HEAD) + 1] = "@";
    struct marker marker;

    strcat(head, TEXT_HEAD);
    for (const char *at = bytes; (at = memmem(at, size - (size_t)(at - bytes), head, strlen(head))); at++)
        if ((size_t)(at - bytes) < begin_before && text_read(at, size - (size_t)(at - bytes), &marker))
            source->each(source->context, &marker);
}

/* Pieces overlap by the longest marker; one is told by the piece in whose first part it begins. */
static bool raw_search(struct source *source, struct error *err)
{
    char *piece = malloc(PIECE + TEXT_MOST);
    size_t held = 0;
    bool good = true;

    if (!piece)
        abort();
    for (int64_t offset = 0; good;) {
        ssize_t got = bytes_read(source, piece + held, PIECE + TEXT_MOST - held, offset);
        if (got < 0) {
            good = error_errno(err, "looking for a marker");
            break;
        }
        offset += got;
        held += (size_t)got;
        bool last = held < PIECE + TEXT_MOST;
        piece_search(source, piece, held, last ? held : PIECE);
        if (last)
            break;
        memmove(piece, piece + PIECE, TEXT_MOST);
        held = TEXT_MOST;
    }
    free(piece);
    return good;
}

/* --- ELF -------------------------------------------------------------------------------------------------
 */

struct elf {
    struct source *source;
    bool wide, big; /* 64 bit; most significant byte first */
};

static uint64_t number(const struct elf *elf, const uint8_t *at, int size)
{
    uint64_t value = 0;

    for (int i = 0; i < size; i++)
        value = value << 8 | at[elf->big ? i : size - 1 - i];
    return value;
}

static bool area_search(struct elf *elf, uint64_t offset, uint64_t size, struct error *err)
{
    uint8_t *area = malloc(NOTES_MOST);
    struct marker marker;

    if (!area)
        abort();
    ssize_t got = offset > INT64_MAX / 2
                      ? 0
                      : bytes_read(elf->source, area, size < NOTES_MOST ? size : NOTES_MOST, (int64_t)offset);
    for (size_t at = 0; got > 0 && at + 12 <= (size_t)got;) {
        uint64_t name = number(elf, area + at, 4), words = number(elf, area + at + 4, 4);
        uint64_t type = number(elf, area + at + 8, 4), words_at = at + 12 + ((name + 3) & ~UINT64_C(3));
        if (words_at + words > (size_t)got)
            break;
        if (type == NOTE_TYPE && name == sizeof(NOTE_NAME) &&
            memcmp(area + at + 12, NOTE_NAME, sizeof(NOTE_NAME)) == 0 &&
            text_read((const char *)area + words_at, (size_t)words, &marker))
            elf->source->each(elf->source->context, &marker);
        at = (size_t)(words_at + ((words + 3) & ~UINT64_C(3)));
    }
    free(area);
    return got >= 0 || error_errno(err, "looking for a marker");
}

/* Where a table of headers has what we want to know. */
struct table {
    uint64_t offset, entry, count;
    int type_at;
    uint64_t type;
    int place_at, size_at;
};

static bool table_search(struct elf *elf, const struct table *table, bool *any, struct error *err)
{
    uint8_t header[sizeof(Elf64_Shdr)];
    size_t least = (size_t)table->size_at + (elf->wide ? 8 : 4);

    if (table->offset == 0 || table->offset > INT64_MAX / 2 || table->entry < least)
        return true;
    for (uint64_t i = 0; i < table->count && i < HEADERS_MOST; i++) {
        ssize_t got = bytes_read(elf->source, header, least, (int64_t)(table->offset + i * table->entry));
        if (got < 0)
            return error_errno(err, "looking for a marker");
        if ((size_t)got < least)
            break;
        if (number(elf, header + table->type_at, 4) != table->type)
            continue;
        *any = true;
        if (!area_search(elf, number(elf, header + table->place_at, elf->wide ? 8 : 4),
                         number(elf, header + table->size_at, elf->wide ? 8 : 4), err))
            return false;
    }
    return true;
}

/* What is loaded has its notes in segments; objects and kernel modules have sections alone. */
static bool elf_search(struct source *source, const uint8_t *head, struct error *err)
{
    struct elf elf = {
        .source = source, .wide = head[EI_CLASS] == ELFCLASS64, .big = head[EI_DATA] == ELFDATA2MSB};
    bool wide = elf.wide, any = false;
    struct table segments = {.offset = number(&elf, head + (wide ? 32 : 28), wide ? 8 : 4),
                             .entry = number(&elf, head + (wide ? 54 : 42), 2),
                             .count = number(&elf, head + (wide ? 56 : 44), 2),
                             .type_at = 0,
                             .type = PT_NOTE,
                             .place_at = wide ? 8 : 4,
                             .size_at = wide ? 32 : 16};
    struct table sections = {.offset = number(&elf, head + (wide ? 40 : 32), wide ? 8 : 4),
                             .entry = number(&elf, head + (wide ? 58 : 46), 2),
                             .count = number(&elf, head + (wide ? 60 : 48), 2),
                             .type_at = 4,
                             .type = SHT_NOTE,
                             .place_at = wide ? 24 : 16,
                             .size_at = wide ? 32 : 20};

    return table_search(&elf, &segments, &any, err) && (any || table_search(&elf, &sections, &any, err));
}

bool marker_find(int fd, int64_t *bytes, marker_each *each, void *context, struct error *err)
{
    struct source source = {.fd = fd, .left = bytes, .each = each, .context = context};
    uint8_t head[sizeof(Elf64_Ehdr)] = {0};
    ssize_t got = bytes_read(&source, head, sizeof(head), 0);

    if (got < 0)
        return error_errno(err, "looking for a marker");
    bool is_elf = got >= (ssize_t)sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0 &&
                  (head[EI_CLASS] == ELFCLASS32 || head[EI_CLASS] == ELFCLASS64);
    return is_elf ? elf_search(&source, head, err) : raw_search(&source, err);
}

/* --- a version -------------------------------------------------------------------------------------------
 */

void marker_check_init(struct marker_check *check, const struct manifest *manifest)
{
    *check = (struct marker_check){.manifest = manifest, .left = MARKER_BYTES};
}

static bool is_of_asset(const struct marker *marker, const struct manifest *manifest)
{
    return strcmp(marker->product, manifest->product) == 0 && strcmp(marker->asset, manifest->asset) == 0;
}

static void note(void *context, const struct marker *marker)
{
    struct marker_check *check = context;
    bool ours = is_of_asset(marker, check->manifest);

    if (ours && strcmp(marker->version, check->manifest->version) == 0) {
        check->marked = true;
    } else if (!check->has_other || (ours && !is_of_asset(&check->other, check->manifest))) {
        check->has_other = true;
        check->other = *marker;
    }
}

bool marker_check_file(struct marker_check *check, int fd, struct error *err)
{
    return check->left <= 0 || marker_find(fd, &check->left, note, check, err);
}

bool marker_check_end(const struct marker_check *check, bool required, struct error *err)
{
    const struct manifest *manifest = check->manifest;
    const struct marker *other = &check->other;

    /* A library of another asset may lie beside what is ours. */
    if (check->has_other && (!check->marked || is_of_asset(other, manifest)))
        return error_set(err, ERROR_INPUT, "the binary says that it is %s/%s %s, not %s/%s %s",
                         other->product, other->asset, other->version, manifest->product, manifest->asset,
                         manifest->version);
    return check->marked || !required ||
           error_set(err, ERROR_INPUT,
                     "no file carries a marker, and the product %s asks for one: build it with "
                     "LOCUM_MARKER(\"%s\", "
                     "\"%s\", \"%s\") of locum_marker.h",
                     manifest->product, manifest->product, manifest->asset, manifest->version);
}
