#include "console/pages.h"

#include "base/arena.h"
#include "base/digest.h"
#include "base/file.h"
#include "console/console.h"
#include "console/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_MOST (8 << 20) /* bytes of one file */
#define PAGES_MOST 1000

struct page {
    const char *path;         /* "assets/app.js" */
    const char *bytes, *gzip; /* gzip NULL: none */
    size_t size, gzip_size;
    char etag[17];
};

struct pages {
    struct arena arena;
    struct page *rows;
    unsigned count;
};

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".map", "application/json"},
};

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), tail = strlen(ending);

    return size >= tail && strcmp(text + size - tail, ending) == 0;
}

static const char *type_of(const char *path)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (ends_with(path, types[i].ending))
            return types[i].type;
    }
    return "application/octet-stream";
}

static bool load(void *context, const char *path, int fd, int64_t size, mode_t mode, struct error *err)
{
    struct pages *pages = context;
    char hash[SHA256_HEX];

    (void)mode;
    if (size > PAGE_MOST || pages->count == PAGES_MOST)
        return error_set(err, ERROR_LIMIT, "The page %s is too large, or there are too many", path);
    char *bytes = arena_alloc(&pages->arena, (size_t)size + 1);
    for (int64_t at = 0; at < size;) {
        ssize_t got = pread(fd, bytes + at, (size_t)(size - at), at);

        if (got <= 0)
            return error_errno(err, "The page %s cannot be read", path);
        at += got;
    }
    struct page *page = &pages->rows[pages->count++];
    *page = (struct page){.path = arena_strdup(&pages->arena, path), .bytes = bytes, .size = (size_t)size};
    sha256_hex(bytes, page->size, hash);
    memcpy(page->etag, hash, sizeof(page->etag) - 1);
    return true;
}

static struct page *page_find(const struct pages *pages, const char *path)
{
    for (unsigned i = 0; i < pages->count; i++) {
        if (strcmp(pages->rows[i].path, path) == 0)
            return &pages->rows[i];
    }
    return NULL;
}

static void join_gzip(struct pages *pages)
{
    for (unsigned i = 0; i < pages->count; i++) {
        ARENA(arena);
        struct page *page = &pages->rows[i];
        struct page *packed = page_find(pages, arena_printf(&arena, "%s.gz", page->path));

        if (packed) {
            page->gzip = packed->bytes;
            page->gzip_size = packed->size;
        }
    }
}

static const char *find_folder(struct arena *arena)
{
    static const char *const places[] = {"www", "../share/locum/www"};
    char program[4096];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (size <= 0)
        return NULL;
    program[size] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < 2; i++) {
        const char *folder = arena_printf(arena, "%s/%s", program, places[i]);

        if (access(arena_printf(arena, "%s/index.html", folder), R_OK) == 0)
            return folder;
    }
    return NULL;
}

struct pages *pages_open(const char *folder, struct error *err)
{
    struct pages *pages = calloc(1, sizeof(*pages));

    if (!pages)
        abort();
    pages->rows = arena_array(&pages->arena, PAGES_MOST, sizeof(*pages->rows));
    if (!folder && !(folder = find_folder(&pages->arena)))
        return pages;
    FD(dirfd) = folder_open(folder, err);
    if (dirfd < 0 || !folder_walk(dirfd, load, pages, err)) {
        error_add(err, "The pages in %s", folder);
        pages_close(pages);
        return NULL;
    }
    join_gzip(pages);
    return pages;
}

void pages_close(struct pages *pages)
{
    if (!pages)
        return;
    arena_end(&pages->arena);
    free(pages);
}

unsigned pages_count(const struct pages *pages)
{
    return pages->count;
}

/* A name with a hash in it ("app-3f2a9c1b.js") never changes its bytes. */
static bool has_hash(const char *path)
{
    const char *dash = strrchr(path, '-'), *dot = dash ? strchr(dash, '.') : NULL;

    return dot && dot - dash == 9 && (int)strspn(dash + 1, "0123456789abcdefABCDEFGHIJKLMNOPQRSTUVWXYZ") >= 8;
}

static bool takes_gzip(struct request *request)
{
    const char *encodings = request_header(request, "Accept-Encoding");
    const char *gzip = encodings ? strstr(encodings, "gzip") : NULL;

    return gzip && strncmp(gzip, "gzip;q=0", 8) != 0;
}

static void answer_page(struct request *request, const struct page *page)
{
    const char *known = request_header(request, "If-None-Match");
    bool packed = page->gzip && takes_gzip(request);
    const char *etag = arena_printf(request->arena, "\"%s%s\"", page->etag, packed ? "-gz" : "");

    answer_header(request, "ETag", etag);
    answer_header(request, "Cache-Control",
                  has_hash(page->path) ? "public, max-age=31536000, immutable" : "no-cache");
    if (page->gzip)
        answer_header(request, "Vary", "Accept-Encoding");
    if (known && strstr(known, etag)) {
        answer_empty(request, 304);
        return;
    }
    if (packed)
        answer_header(request, "Content-Encoding", "gzip");
    answer_bytes(request, 200, type_of(page->path), packed ? page->gzip : page->bytes,
                 packed ? page->gzip_size : page->size);
}

/* A path that is no file is a place inside the pages, unless its last part looks like a file of the build. */
static bool is_place(const char *path)
{
    return !ends_with(path, ".js") && !ends_with(path, ".css") && !ends_with(path, ".map") &&
           !ends_with(path, ".gz");
}

void pages_get(struct request *request)
{
    const struct pages *pages = request->console->pages;
    const char *path = request->params[0];
    const struct page *page = *path && !ends_with(path, ".gz") ? page_find(pages, path) : NULL;
    struct error err;

    if (!page && is_place(path))
        page = page_find(pages, "index.html");
    if (page) {
        answer_page(request, page);
    } else if (pages->count == 0) {
        error_set(&err, ERROR_MISSING,
                  "The pages are not built: `make www` builds them, or name their folder with --www");
        answer_status_error(request, 503, &err, NULL);
    } else {
        error_set(&err, ERROR_MISSING, "There is nothing at this path");
        answer_error(request, &err);
    }
}
