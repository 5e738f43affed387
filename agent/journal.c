#include "agent/journal.h"

#include "agent/state.h"
#include "base/file.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define JOURNAL_LIMIT (64 << 10)

bool journal_save(int state_fd, const struct journal *journal, struct error *err)
{
    struct json_writer writer;
    TEXT(out);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "from", journal->from);
    json_write_integer(&writer, "to", journal->to);
    json_write_boolean(&writer, "back", journal->back);
    json_write_boolean(&writer, "restart", journal->restart);
    json_write_integer(&writer, "attempts", journal->attempts);
    json_write_string(&writer, "boot", journal->boot);
    json_write_string(&writer, "report", journal->report);
    json_write_integer(&writer, "bytes", journal->bytes);
    json_write_integer(&writer, "whole", journal->whole);
    json_write_integer(&writer, "began_ms", journal->began_ms);
    json_write_string(&writer, "failed", journal->failed);
    json_write_string(&writer, "reason", journal->reason);
    json_write_array(&writer, "changed");
    for (const char **asset = journal->changed; asset && *asset; asset++)
        json_write_string(&writer, NULL, *asset);
    json_write_end(&writer, ']');
    json_write_end(&writer, '}');
    return file_write(state_fd, STATE_JOURNAL, out.bytes, out.size, 0600, err);
}

static void take(const struct json *json, const char *name, char *into, size_t room)
{
    const char *text = json_string(json, name);

    snprintf(into, room, "%s", text ? text : "");
}

bool journal_load(struct arena *arena, int state_fd, struct journal *journal, struct error *err)
{
    const struct json *changed;
    int64_t attempts;
    char *bytes;
    size_t size, count = 0;

    *journal = (struct journal){0};
    if (!file_read(arena, state_fd, STATE_JOURNAL, JOURNAL_LIMIT, &bytes, &size, err))
        return false;
    const struct json *json = json_read(arena, bytes, size, &json_limits_small, err);
    if (!json || !json_need_integer(json, "from", 0, INT64_MAX - 2, &journal->from, err) ||
        !json_need_integer(json, "to", 1, INT64_MAX - 2, &journal->to, err) ||
        !json_need_integer(json, "attempts", 0, 1000, &attempts, err) ||
        !json_need_array(json, "changed", &changed, err))
        return error_add(err, STATE_JOURNAL);
    journal->attempts = (int)attempts;
    journal->back = json_boolean(json, "back", false);
    journal->restart = json_boolean(json, "restart", false);
    journal->bytes = json_integer(json, "bytes", 0);
    journal->whole = json_integer(json, "whole", 0);
    journal->began_ms = json_integer(json, "began_ms", 0);
    take(json, "boot", journal->boot, sizeof(journal->boot));
    take(json, "report", journal->report, sizeof(journal->report));
    take(json, "failed", journal->failed, sizeof(journal->failed));
    take(json, "reason", journal->reason, sizeof(journal->reason));
    journal->changed = arena_array(arena, changed->size + 1, sizeof(*journal->changed));
    for (const struct json *one = changed->first; one; one = one->next)
        if (one->type == JSON_STRING)
            journal->changed[count++] = one->string;
    return true;
}

bool journal_remove(int state_fd, struct error *err)
{
    return tree_remove(state_fd, STATE_JOURNAL, err) && folder_sync(state_fd, err);
}
