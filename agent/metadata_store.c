#include "agent/metadata_store.h"

#include "agent/protocol.h"
#include "agent/state.h"
#include "base/file.h"

#include <string.h>

static bool store_load(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                       size_t *size, struct error *err)
{
    struct metadata_store *store = context;

    if (!file_read(arena, store->state_fd, arena_printf(arena, STATE_METADATA "/%s", name), limit, bytes,
                   size, err))
        return false;
    return *size > 0 || error_set(err, ERROR_MISSING, "%s is not kept", name);
}

static bool store_keep(void *context, const char *name, const void *bytes, size_t size, struct error *err)
{
    struct metadata_store *store = context;
    ARENA(arena);

    return folder_make(store->state_fd, STATE_METADATA, 0700, err) &&
           file_write(store->state_fd, arena_printf(&arena, STATE_METADATA "/%s", name), bytes, size, 0600,
                      err);
}

static bool store_fetch(void *context, struct arena *arena, const char *name, size_t limit, char **bytes,
                        size_t *size, struct error *err)
{
    struct metadata_store *store = context;
    struct http_answer answer;

    if (!store->http)
        return error_set(err, ERROR_SYSTEM, "%s: there is no connection", name);
    struct http_request request = {
        .method = "GET",
        .path = arena_printf(arena, DEVICE_PATH_METADATA "%s", url_encode(arena, name)),
        .answer_limit = limit};
    if (!session_send(store->session, store->http, &request, arena, &answer, err))
        return false;
    if (answer.status != 200) {
        http_refused(&answer, err);
        return error_add(err, "fetching %s", name);
    }
    *bytes = answer.body;
    *size = answer.size;
    return true;
}

struct metadata_io metadata_store_io(struct metadata_store *store)
{
    return (struct metadata_io){
        .load = store_load, .store = store_keep, .fetch = store_fetch, .context = store};
}
