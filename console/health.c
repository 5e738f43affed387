/* /healthz for load balancers and people, /metrics for Prometheus (text format 0.0.4). */
#include "base/clock.h"
#include "base/file.h"
#include "console/console.h"
#include "console/deltas.h"
#include "console/events.h"
#include "console/fleet.h"
#include "console/handlers.h"
#include "console/scheduler.h"
#include "console/version.h"

#define HUNG_S 600 /* a scheduler that has not begun a round for so long hangs */

/* A database that answered within the last second is well: whoever asks more often shall not cost it more. */
static bool database_is_well(struct console *console, struct error *err)
{
    int64_t now = clock_boot_ms(), well_ms = console->database_well_ms;

    if (well_ms && now - well_ms < 1000)
        return true;
    DB_DONE(conn) = db_read(console->db, err);
    console->database_well_ms = conn ? now : 0;
    return conn != NULL;
}

void health_show(struct request *request)
{
    struct console *console = request->console;
    struct error err;

    if (!database_is_well(console, &err)) {
        answer_status_error(request, 503, &err, NULL);
        return;
    }
    if (console->scheduler && scheduler_age_s(console->scheduler) > HUNG_S) {
        error_set(&err, ERROR_SYSTEM, "The scheduler hangs");
        answer_status_error(request, 503, &err, NULL);
        return;
    }
    answer_bytes(request, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

static void metric(struct text *out, const char *name, const char *type, const char *help)
{
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct text *out, const char *name, const char *type, const char *help, int64_t value)
{
    metric(out, name, type, help);
    text_printf(out, "%s %lld\n", name, (long long)value);
}

static void put_listeners(struct text *out, const char *name, const char *type, const char *help,
                          const int64_t *values)
{
    static const char *const listeners[] = {"people", "devices"};

    metric(out, name, type, help);
    for (int i = 0; i < 2; i++)
        text_printf(out, "%s{listener=\"%s\"} %lld\n", name, listeners[i], (long long)values[i]);
}

static void put_devices(struct text *out, struct fleet *fleet)
{
    struct fleet_counts counts;

    fleet_counts(fleet, &counts);
    metric(out, "locum_devices", "gauge", "Devices by connectivity.");
    text_printf(out, "locum_devices{connectivity=\"online\"} %lld\n", (long long)counts.online);
    text_printf(out, "locum_devices{connectivity=\"late\"} %lld\n", (long long)counts.late);
    text_printf(out, "locum_devices{connectivity=\"offline\"} %lld\n", (long long)counts.offline);
    text_printf(out, "locum_devices{connectivity=\"never_seen\"} %lld\n", (long long)counts.never_seen);
    put_one(out, "locum_devices_on_image", "gauge", "Devices on a diagnostic image now.", counts.on_image);
    put_one(out, "locum_devices_overdue", "gauge", "Devices whose return is overdue.", counts.overdue);
    put_one(out, "locum_devices_pending", "gauge", "Devices that wait to be accepted.", counts.pending);
}

static void put_deltas(struct text *out, struct deltas *deltas)
{
    struct deltas_figures figures;

    deltas_figures(deltas, &figures);
    put_one(out, "locum_deltas_made_total", "counter", "Pairs tried, worth a delta or not.", figures.made);
    put_one(out, "locum_objects_packed_total", "counter", "Objects tried to pack.", figures.packed);
    put_one(out, "locum_deltas_served_total", "counter", "Deltas begun to be sent.", figures.served);
    put_one(out, "locum_delta_bytes_total", "counter", "Bytes of deltas sent.", figures.sent_bytes);
    put_one(out, "locum_delta_saved_bytes_total", "counter",
            "Bytes that deltas and packed objects did not need to send.", figures.saved_bytes);
    put_one(out, "locum_deltas_doubted_total", "counter",
            "Deltas that gave a device wrong bytes, by its word.", figures.doubted);
    put_one(out, "locum_deltas_damaged_total", "counter", "Of those, bad ones.", figures.damaged);
    put_one(out, "locum_deltas_waiting", "gauge", "Deltas and packed objects to be made.", figures.waiting);
    put_one(out, "locum_deltas", "gauge", "Pairs kept.", figures.pairs);
    put_one(out, "locum_delta_store_bytes", "gauge", "Deltas, packed objects and tables, of the quota.",
            figures.bytes);
}

void metrics_show(struct request *request)
{
    struct console *console = request->console;
    struct server_figures figures;
    TEXT(out);

    server_figures(request_server(request), &figures);
    metric(&out, "locum_info", "gauge", "The version that runs.");
    text_printf(&out, "locum_info{version=\"%s\"} 1\n", LOCUM_VERSION);
    put_one(&out, "locum_start_time_seconds", "gauge", "When it started, Unix seconds.", console->started_at);
    put_listeners(&out, "locum_requests_total", "counter", "Requests answered.", figures.requests);
    put_listeners(&out, "locum_request_errors_total", "counter", "Answers of 500 and above.", figures.errors);
    put_listeners(&out, "locum_connections", "gauge", "Open connections.", figures.connections);
    put_one(&out, "locum_streams", "gauge", "Open event streams.", figures.streams);
    put_one(&out, "locum_body_bytes_in_total", "counter", "Bytes of request bodies.", figures.bytes_in);
    put_one(&out, "locum_body_bytes_out_total", "counter", "Bytes of answer bodies.", figures.bytes_out);
    put_one(&out, "locum_object_bytes_total", "counter", "Bytes of objects sent.", console->object_bytes);
    put_one(&out, "locum_data_free_bytes", "gauge", "Free space where the data lie.",
            file_space(console->data_dirfd));
    if (console->scheduler)
        put_one(&out, "locum_scheduler_age_seconds", "gauge", "Since the scheduler began a round.",
                scheduler_age_s(console->scheduler));
    put_devices(&out, console->fleet);
    put_deltas(&out, console->deltas);
    answer_bytes(request, 200, "text/plain; version=0.0.4; charset=utf-8", text_string(&out), out.size);
}
