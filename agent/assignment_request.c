/* What the keeper is told of a run: the order, the signed limits, and where everything lies. */
#include "agent/assignment.h"

#include "agent/state.h"

void assignment_request(const struct assignments *assignments, const struct wish_run *run,
                        const struct image_limits *limits, const struct set *set, struct json_writer *writer,
                        struct text *out)
{
    const struct order_run *order = &run->order;
    ARENA(arena);

    channel_request(writer, out, "run_start");
    json_write_object(writer, "run");
    json_write_string(writer, "id", order->id);
    json_write_integer(writer, "campaign", order->campaign);
    json_write_integer(writer, "run", order->run);
    json_write_string(writer, "image", order->image);
    json_write_string(writer, "version", order->version);
    json_write_string(writer, "mode", order->mode);
    json_write_integer(writer, "duration_s", order->duration_s);
    json_write_integer(writer, "start_after", order->start_after);
    json_write_integer(writer, "start_before", order->start_before);
    json_write_integer(writer, "not_after", order->not_after);
    json_write_integer(writer, "max_output", order->max_output);
    json_write_array(writer, "collect");
    for (const char **scope = order->collect; scope && *scope; scope++)
        json_write_string(writer, NULL, *scope);
    json_write_end(writer, ']');
    if (order->redact) {
        json_write_array(writer, "redact");
        for (const char **pattern = order->redact; *pattern; pattern++)
            json_write_string(writer, NULL, *pattern);
        json_write_end(writer, ']');
    }
    if (order->params)
        json_write_value(writer, "params", order->params);
    json_write_value(writer, "limits", limits->json);
    json_write_string(writer, "folder",
                      arena_printf(&arena, "%s/" STATE_VERSIONS "/%s/%s", assignments->state, order->image,
                                   order->version));
    json_write_string(writer, "set", set->digest);
    json_write_string(
        writer, "set_path",
        arena_printf(&arena, "%s/" STATE_SETS "/%lld", assignments->state, (long long)set->generation));
    json_write_end(writer, '}');
}
