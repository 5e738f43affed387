/* "Why does this device not get X?": the same thinking, written down. */
#include "console/delivery/wish_parts.h"

#include "base/clock.h"

#include <string.h>

static const char *const sources[] = {
    [SOURCE_PIN] = "pin",     [SOURCE_DEVELOPMENT] = "development", [SOURCE_ROLLOUT] = "rollout",
    [SOURCE_GROUP] = "group", [SOURCE_PRODUCT] = "product",         [SOURCE_REQUIRES] = "requires"};

static void candidates_write(const struct wish_choice *choice, struct json_writer *writer)
{
    json_write_array(writer, "candidates");
    for (size_t i = 0; i < choice->candidate_count; i++) {
        const struct wish_candidate *candidate = &choice->candidates[i];

        json_write_object(writer, NULL);
        json_write_string(writer, "source", sources[candidate->source]);
        json_write_string(writer, "name", candidate->name);
        json_write_string(writer, "version", candidate->version);
        json_write_boolean(writer, "wins", candidate->wins);
        json_write_string(writer, "text", candidate->text);
        json_write_end(writer, '}');
    }
    json_write_end(writer, ']');
}

static const struct set_entry *running_find(const struct wish_device *device, const char *asset,
                                            size_t *place)
{
    for (*place = 0; *place < device->running_count; ++*place)
        if (!strcmp(device->running[*place].asset, asset) && device->running[*place].version[0])
            return &device->running[*place];
    return NULL;
}

/* What the order itself puts off; NULL: nothing. */
static const char *put_off(struct arena *arena, const struct apply *apply)
{
    char when[TIME_TEXT];

    if (apply->on_start)
        return "it is taken up when the device's agent starts the next time";
    if (apply->after > clock_now()) {
        time_text(apply->after, when);
        return arena_printf(arena, "it is taken up from %s on", when);
    }
    if (apply->window[0])
        return arena_printf(arena, "it is taken up between %s in the device's local time", apply->window);
    return NULL;
}

static const char *refusal(const struct wish_device *device, const char *asset)
{
    for (size_t i = 0; device->refusals && i < device->running_count; i++)
        if (!strcmp(device->running[i].asset, asset))
            return device->refusals[i];
    return NULL;
}

static const char *waits(struct wish_thought *thought, const struct wish_choice *choice, const char *running)
{
    const char *wanted = choice->chosen ? choice->chosen->version : NULL, *why;

    if (choice->waits)
        return choice->waits;
    if (!wanted || (running && !strcmp(wanted, running)))
        return NULL;
    if ((why = refusal(thought->device, choice->asset)) ||
        (why = put_off(thought->batch->arena, &choice->apply)))
        return why;
    return thought->device->waiting;
}

static void choice_write(struct wish_thought *thought, const struct wish_choice *choice,
                         struct json_writer *writer)
{
    size_t place;
    const struct set_entry *running = running_find(thought->device, choice->asset, &place);
    const char *runs = running ? running->version : NULL;

    json_write_object(writer, NULL);
    json_write_string(writer, "asset", choice->asset);
    json_write_string(writer, "wanted", choice->chosen ? choice->chosen->version : NULL);
    json_write_string(writer, "running", runs);
    json_write_string(writer, "source", choice->chosen ? sources[choice->source] : NULL);
    json_write_string(writer, "text",
                      choice->chosen && choice->text ? choice->text
                                                     : "it is to run no version of this asset");
    json_write_string(writer, "waits", waits(thought, choice, runs));
    candidates_write(choice, writer);
    json_write_end(writer, '}');
}

/* What it runs and nothing asks for: the next order takes it away. */
static void unasked_write(const struct set_entry *entry, struct json_writer *writer)
{
    json_write_object(writer, NULL);
    json_write_string(writer, "asset", entry->asset);
    json_write_null(writer, "wanted");
    json_write_string(writer, "running", entry->version);
    json_write_null(writer, "source");
    json_write_string(writer, "text", "nothing asks for it: the device's next order leaves it out");
    json_write_null(writer, "waits");
    json_write_array(writer, "candidates");
    json_write_end(writer, ']');
    json_write_end(writer, '}');
}

bool wish_write_why(struct db_conn *conn, const struct wish_device *device, struct json_writer *writer,
                    struct error *err)
{
    ARENA(arena);
    struct wish_thought thought = {.batch = wish_batch(conn, &arena), .device = device};

    if (!wish_think(&thought, err))
        return false;
    for (size_t i = 0; i < thought.count; i++)
        choice_write(&thought, &thought.choices[i], writer);
    for (size_t i = 0; i < device->running_count; i++)
        if (device->running[i].version[0] && !wish_choice_find(&thought, device->running[i].asset))
            unasked_write(&device->running[i], writer);
    return true;
}
