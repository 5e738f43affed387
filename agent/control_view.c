#include "agent/control.h"

#include "agent/protocol.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define REASON_SHOWN 240

/* Is the version that runs the one that is wished for? */
static bool is_current(const struct member *member, const struct wish_version *wanted)
{
    return member && wanted && strcmp(member->entry.version, wanted->entry.version) == 0 &&
           (wanted->refused || strcmp(member->entry.manifest, wanted->entry.manifest) == 0);
}

static const char *state_of(const struct control *control, const struct wish_version *wanted)
{
    if (control->updating)
        return "updating";
    if (control->job == JOB_VERSION && !control->job_diagnostic &&
        strcmp(control->job_asset, wanted->entry.asset) == 0)
        return "downloading";
    return version_is_installed(control->worker->state_fd, &wanted->entry) ? "downloaded" : "idle";
}

/* Why the wished version does not run; NULL: it is on its way. */
static const char *reason_of(const struct control *control, const struct wish_version *wanted, int *result)
{
    const struct trouble *trouble = trouble_find(control, wanted->entry.asset);

    if (trouble)
        *result = (int)trouble->result;
    return trouble ? trouble->reason : NULL;
}

/* Why the set that is wished for is not taken; `text` NULL: it is, or will be. */
struct refusal {
    const char *text;
    int result;
};

static void asset_write(struct control *control, const char *asset, const struct member *member,
                        const struct wish_version *wanted, const struct refusal *refusal,
                        struct json_writer *writer)
{
    bool current = is_current(member, wanted) || !wanted;
    int result = member ? RESULT_SUCCESS : RESULT_INITIAL;
    const char *reason = current ? NULL : reason_of(control, wanted, &result);
    char shown[REASON_SHOWN + 1];

    if (!current && !reason && refusal->text && !control_is_held(control, wanted)) {
        reason = refusal->text;
        result = refusal->result;
    }
    json_write_object(writer, asset);
    json_write_string(writer, "version", member ? member->entry.version : NULL);
    json_write_string(writer, "sha256", member ? member->entry.manifest : NULL);
    if (control->unfinished) /* what `current` leads to is not committed */
        json_write_string(writer, "state", "updating");
    else
        json_write_string(writer, "state", current || reason ? "idle" : state_of(control, wanted));
    json_write_integer(writer, "result", result);
    if (reason) {
        size_t size = strlen(reason) < REASON_SHOWN ? strlen(reason) : REASON_SHOWN;
        memcpy(shown, reason, size);
        while (size > 0 && !utf8_is_valid(shown, size))
            size--;
        shown[size] = '\0';
        json_write_string(writer, "wanted", wanted->entry.version);
        json_write_string(writer, "reason", shown);
    }
    json_write_end(writer, '}');
}

static void app_write(const struct channel *channel, struct json_writer *writer)
{
    json_write_object(writer, "app");
    json_write_string(writer, "state", channel->app.state);
    if (channel->app.pid)
        json_write_integer(writer, "pid", channel->app.pid);
    else
        json_write_null(writer, "pid");
    json_write_time(writer, "since", channel->app.since);
    json_write_end(writer, '}');
}

/* What is in the way first, then what the order puts off. */
static const char *waiting_text(struct control *control)
{
    const char *runs = assignments_trouble(&control->assignments);

    return *control->waiting ? control->waiting : *control->held ? control->held : runs;
}

static void view_write(struct control *control, struct text *out)
{
    const struct wish *wish = control->box ? &control->box->wish : NULL;
    struct refusal refusal = {.result = RESULT_UPDATE_FAILED};
    struct json_writer writer;

    refusal.text = control_set_refusal(control, &refusal.result);
    const char *waiting = waiting_text(control);
    json_write_init(&writer, out);
    json_write_object(&writer, NULL);
    json_write_integer(&writer, "generation", control->set.generation);
    json_write_string(&writer, "set", control->set.digest);
    json_write_object(&writer, "assets");
    for (size_t i = 0; i < control->set.count; i++) {
        const struct member *member = &control->set.members[i];
        asset_write(control, member->entry.asset, member, wish_find(wish, member->entry.asset), &refusal,
                    &writer);
    }
    for (size_t i = 0; wish && i < wish->set_count; i++)
        if (!set_find(&control->set, wish->set[i].entry.asset))
            asset_write(control, wish->set[i].entry.asset, NULL, &wish->set[i], &refusal, &writer);
    json_write_end(&writer, '}');
    app_write(&control->channel, &writer);
    assignments_write(&control->assignments, &writer, "image");
    if (waiting)
        json_write_string(&writer, "waiting", waiting);
    if (*control->floors.safe)
        json_write_string(&writer, "safe", control->floors.safe);
    json_write_end(&writer, '}');
}

void control_view(struct control *control)
{
    struct worker *worker = control->worker;
    struct channel *channel = &control->channel;
    TEXT(out);

    view_write(control, &out);
    if (out.failed || out.size > VIEW_LIMIT)
        log_event(LOG_WARNING, "view", "bytes=%zu limit=%d", out.size, VIEW_LIMIT);
    worker_lock(worker);
    bool news = !worker->view || strcmp(worker->view, out.bytes) != 0;
    if (news) {
        free(worker->view);
        worker->view = out.bytes;
        out = (struct text){0};
        worker->view_number++;
    }
    if (*channel->limits && (strcmp(worker->limits, channel->limits) != 0 ||
                             strcmp(worker->diagnostics, channel->diagnostics) != 0)) {
        strcpy(worker->limits, channel->limits);
        strcpy(worker->diagnostics, channel->diagnostics);
        worker->facts_number++;
        news = true;
    }
    worker_unlock(worker);
    if (news)
        worker_wake(worker->talk_wake);
}
