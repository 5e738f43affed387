#include "agent/checkin.h"

#include "agent/facts.h"
#include "agent/keeper_pid.h"
#include "agent/protocol.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define POLL_MOST_S 86400
#define POLL_OTHERWISE_S 60

/* Before control has looked: nothing runs that we know of. */
static const char nothing[] = "{\"generation\":0,\"set\":\"\",\"assets\":{},\"app\":{\"state\":\"none\","
                              "\"pid\":null,\"since\":null},\"image\":null}";

void checkin_write(struct arena *arena, const struct checkin_said *said, struct text *body)
{
    struct error ignored = {0};
    const char *view = said->view ? said->view : nothing;
    const struct json *members = json_read(arena, view, strlen(view), &json_limits_large, &ignored);
    char boot[BOOT_ID_SIZE];
    struct json_writer writer;

    json_write_init(&writer, body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "boot_id", boot_id(boot));
    json_write_integer(&writer, "order_seq", said->order_seq);
    json_write_object(&writer, "metadata");
    json_write_integer(&writer, "root", said->root);
    json_write_integer(&writer, "snapshot", said->snapshot);
    json_write_integer(&writer, "targets", said->targets);
    json_write_integer(&writer, "timestamp", said->timestamp);
    json_write_end(&writer, '}');
    for (const struct json *member = members ? members->first : NULL; member; member = member->next)
        if (!said->waiting || !string_is(member->key, "waiting"))
            json_write_value(&writer, member->key, member);
    if (said->waiting)
        json_write_string(&writer, "waiting", said->waiting);
    if (said->with_facts)
        facts_write(&writer, "facts", *said->limits ? said->limits : NULL,
                    *said->diagnostics ? said->diagnostics : NULL);
    json_write_end(&writer, '}');
}

bool checkin_read(struct arena *arena, const char *body, size_t size, struct checkin_heard *heard,
                  struct error *err)
{
    const struct json *json = json_read(arena, body, size, &json_limits_large, err);

    *heard = (struct checkin_heard){.poll_s = POLL_OTHERWISE_S};
    if (!json || json->type != JSON_OBJECT)
        return json ? error_set(err, ERROR_INPUT, "the answer to a check-in is no object") : false;
    const char *time = json_string(json, "time"), *admission = json_string(json, "admission");
    if (time && !time_parse(time, &heard->time))
        heard->time = 0;
    snprintf(heard->admission, sizeof(heard->admission), "%s", admission ? admission : "");
    heard->poll_s = json_integer(json, "poll_s", POLL_OTHERWISE_S);
    if (heard->poll_s < 1 || heard->poll_s > POLL_MOST_S)
        heard->poll_s = POLL_OTHERWISE_S;
    heard->clone_suspected = json_boolean(json, "clone_suspected", false);
    heard->want_facts = json_boolean(json, "want_facts", false);
    heard->order = json_get(json, "order");
    if (heard->order && heard->order->type != JSON_OBJECT)
        heard->order = NULL;
    return true;
}
