/* A device as JSON: the shape of API.md, from memory. */
#include "console/devices.h"

#include <string.h>

static void image_write(struct json_writer *writer, const struct device_image *image)
{
    if (!image->run_id[0]) {
        json_write_null(writer, "image");
        return;
    }
    json_write_object(writer, "image");
    json_write_integer(writer, "campaign", image->campaign);
    json_write_integer(writer, "run", image->run ? image->run : 1);
    json_write_string(writer, "image", image->image);
    json_write_string(writer, "version", image->version);
    json_write_string(writer, "state", image->state);
    json_write_time(writer, "ends_at", image->ends_at);
    json_write_end(writer, '}');
}

static void running_write(struct json_writer *writer, const struct device *device)
{
    json_write_object(writer, "running");
    for (size_t i = 0; i < device->running_count; i++) {
        const struct running_asset *running = &device->running[i];

        json_write_object(writer, running->asset);
        json_write_string(writer, "version", *running->version ? running->version : NULL);
        json_write_string(writer, "sha256", *running->sha256 ? running->sha256 : NULL);
        json_write_string(writer, "state", running->state);
        json_write_integer(writer, "result", running->result);
        if (running->wanted)
            json_write_string(writer, "wanted", running->wanted);
        if (running->reason)
            json_write_string(writer, "reason", running->reason);
        json_write_end(writer, '}');
    }
    json_write_end(writer, '}');
}

static void app_write(struct json_writer *writer, const struct device *device)
{
    if (!device->app_state[0]) {
        json_write_null(writer, "app");
        return;
    }
    json_write_object(writer, "app");
    json_write_string(writer, "state", device->app_state);
    json_write_integer(writer, "pid", device->app_pid);
    json_write_time(writer, "since", device->app_since);
    json_write_end(writer, '}');
}

void device_write_open(struct json_writer *writer, const struct fleet *fleet, const struct device *device,
                       int64_t now)
{
    const char *facts = device->facts ? device->facts : "{}";

    json_write_object(writer, NULL);
    json_write_string(writer, "name", device->name);
    json_write_string(writer, "product", device->product);
    json_write_string(writer, "hardware", device->hardware[0] ? device->hardware : NULL);
    json_write_string(writer, "admission", admission_name(device->admission));
    json_write_string(writer, "connectivity", connectivity_name(device_connectivity(fleet, device, now)));
    image_write(writer, &device->image);
    running_write(writer, device);
    json_write_raw(writer, "facts", facts, strlen(facts));
    json_write_array(writer, "tags");
    for (char **tag = device->tags; tag && *tag; tag++)
        json_write_string(writer, NULL, *tag);
    json_write_end(writer, ']');
    json_write_time(writer, "last_seen", device->last_seen);
    json_write_time(writer, "enrolled_at", device->enrolled_at);
    json_write_boolean(writer, "clone_suspected", device->clone_suspected);
    app_write(writer, device);
    json_write_string(writer, "waiting", device->waiting);
    json_write_boolean(writer, "overdue", device->overdue);
    json_write_string(writer, "safe_mode", device->safe);
    json_write_boolean(writer, "development", device->development);
}

void device_write(struct json_writer *writer, const struct fleet *fleet, const struct device *device,
                  int64_t now)
{
    device_write_open(writer, fleet, device, now);
    json_write_end(writer, '}');
}
