#include "console/server_parts.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "console/console.h"
#include "console/events.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define PEOPLE_THREADS 64
#define DEVICE_THREADS 256
#define QUEUE 20 /* accepted connections that wait for a thread, of each port */
#define FILES_NEEDED                                                                                         \
    1024 /* both ports' connections and queues, the database, objects: see raise_file_limit */

struct exchange *exchange_of(struct request *request)
{
    return (struct exchange *)request;
}

struct server *request_server(struct request *request)
{
    return exchange_of(request)->port->server;
}

/* --- numbers of requests
 * ------------------------------------------------------------------------------------------ */
static uint64_t id_start; /* by chance, so that no two runs of the console name a request the same */
static pthread_once_t id_once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t id_count;

static void id_begin(void)
{
    random_bytes(&id_start, sizeof(id_start));
}

/* A request's name, in the log and for whoever asks about it; no secret, so it costs no system call. The
 * steps of SplitMix64 (Steele and others, OOPSLA 2014) meet each number once. */
static void request_id(char id[17])
{
    pthread_once(&id_once, id_begin);
    uint64_t x = id_start + ++id_count * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    hex_encode(id, &x, sizeof(x));
}

/* --- one request
 * -------------------------------------------------------------------------------------------------- */
static void exchange_init(struct exchange *exchange, struct mg_connection *connection)
{
    static const struct mg_request_info unread = {.request_method = "-"};
    const struct mg_request_info *info =
        mg_get_request_info(connection); /* NULL before a request could be read */
    struct port *port = mg_get_user_data(mg_get_context(connection));
    struct request *request = &exchange->request;
    exchange->port = port;
    info = info ? info : &unread;
    exchange->info = info;
    exchange->watched = mg_get_user_connection_data(connection);
    exchange->started_ms = clock_boot_ms();
    text_init(&exchange->headers, 16 << 10);
    request_id(request->id);
    request->console = port->server->console;
    request->arena = &exchange->arena;
    request->connection = connection;
    request->listener = port->listener;
    request->method = info->request_method ? info->request_method : "-";
    request->address = info->remote_addr;
    request->content_length = -1;
    exchange->head = strcmp(request->method, "HEAD") == 0;
    exchange->closes = !string_is(info->http_version, "1.1");
}

static void exchange_log(const struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    enum log_level level = exchange->status >= 500 ? LOG_WARNING : LOG_DEBUG;
    char path[160], who[80];

    if (level > log_level)
        return;
    log_event(
        level, "request", "id=%s method=%s path=%s status=%d ms=%lld who=%s", request->id, request->method,
        log_quote(path, sizeof(path), exchange->info->local_uri_raw ? exchange->info->local_uri_raw : "-"),
        exchange->status, (long long)(clock_boot_ms() - exchange->started_ms),
        log_quote(who, sizeof(who),
                  request->operator_name ? request->operator_name
                  : request->device_name ? request->device_name
                                         : "-"));
}

/* A change by a person stands in the audit: whoever looks at that page is told, after the commit. */
static void tell_audit(const struct exchange *exchange)
{
    const struct request *request = &exchange->request;

    if (request->operator_name && request->console->events && exchange->status < 300 &&
        strcmp(request->method, "GET") != 0 && !exchange->head)
        events_send(request->console->events, "audit", "{}");
}

/* What the peer still sends is read for two seconds, so that it sees our answer instead of a reset. True when
 * nothing is left. */
static bool linger(struct exchange *exchange)
{
    int64_t rest = exchange->request.content_length - exchange->body_read;
    char *bytes;

    if (rest <= 0 || exchange->expects_continue)
        return rest <= 0;
    bytes = arena_alloc(&exchange->arena, BODY_PIECE);
    watch_deadline(exchange->watched, LINGER_MS);
    while (rest > 0) {
        int got = mg_read(exchange->request.connection, bytes, rest < BODY_PIECE ? (size_t)rest : BODY_PIECE);

        if (got <= 0)
            break;
        rest -= got;
    }
    watch_deadline(exchange->watched, 0);
    return rest <= 0;
}

static void exchange_end(struct exchange *exchange)
{
    struct port *port = exchange->port;

    if (!exchange->status) {
        struct error err;

        error_set(&err, ERROR_SYSTEM, "The handler gave no answer");
        answer_error(&exchange->request, &err);
    }
    if (!linger(exchange) || exchange->closes || watch_late(exchange->watched))
        mg_disable_connection_keep_alive(exchange->request.connection);
    watch_deadline(exchange->watched, 0);
    port->requests++;
    if (exchange->status >= 500)
        port->errors++;
    tell_audit(exchange);
    exchange_log(exchange);
    if (exchange->streams)
        port->server->streams--;
    else
        port->in_flight--;
    text_end(&exchange->headers);
    arena_end(&exchange->arena);
}

static void exchange_run(struct exchange *exchange)
{
    if (!request_check_headers(exchange))
        return;
    if (exchange->port->server->draining) {
        answer_header(&exchange->request, "Retry-After", "5");
        answer_and_close(exchange, 503, ERROR_SYSTEM, "The console is stopping");
        return;
    }
    if (request_route(exchange) && request_allowed(exchange) && request_take_body(exchange))
        exchange->request.route->handler(&exchange->request);
}

static int begin_request(struct mg_connection *connection)
{
    struct exchange exchange = {0};

    exchange_init(&exchange, connection);
    exchange.port->in_flight++;
    watch_request(exchange.port, exchange.watched, connection);
    exchange_run(&exchange);
    int status = exchange.status ? exchange.status : 500;
    exchange_end(&exchange);
    return status;
}

static void end_request(const struct mg_connection *connection, int status)
{
    const struct mg_request_info *info = mg_get_request_info(connection);

    (void)status;
    watch_idle(info->conn_data);
}

/* --- connections
 * -------------------------------------------------------------------------------------------------- */
static int init_connection(const struct mg_connection *connection, void **data)
{
    *data = watch_add(mg_get_user_data(mg_get_context(connection)));
    return 0;
}

static void connection_close(const struct mg_connection *connection)
{
    struct port *port = mg_get_user_data(mg_get_context(connection));

    watch_remove(port, mg_get_user_connection_data(connection));
}

/* Civetweb found the request itself malformed: our words, our headers, and the end of the connection. */
static int http_error(struct mg_connection *connection, int status, const char *message)
{
    struct exchange exchange = {0};

    exchange_init(&exchange, connection);
    answer_and_close(&exchange, status, status < 500 ? ERROR_INPUT : ERROR_SYSTEM,
                     message ? message : "The request is malformed");
    mg_disable_connection_keep_alive(connection);
    exchange.port->requests++;
    text_end(&exchange.headers);
    arena_end(&exchange.arena);
    return 0;
}

static int log_message(const struct mg_connection *connection, const char *message)
{
    char quoted[240];

    (void)connection;
    log_event(LOG_DEBUG, "http", "text=%s", log_quote(quoted, sizeof(quoted), message));
    return 1;
}

static int external_ssl_context(void **context, void *user_data)
{
    struct port *port = user_data;

    *context = port->tls;
    return 1;
}

/* --- start and stop
 * ----------------------------------------------------------------------------------------------- */
/* accept() that fails with EMFILE makes civetweb's loop spin. It cannot happen when the limit is above all
 * that the fixed number of threads can hold open. */
static bool raise_file_limit(struct error *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_errno(err, "The limit of open files cannot be read");
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    if (limit.rlim_cur < FILES_NEEDED || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_set(err, ERROR_LIMIT,
                         "At least %d open files must be allowed (ulimit -n), here it is %llu", FILES_NEEDED,
                         (unsigned long long)limit.rlim_max);
    return true;
}

static bool port_start(struct port *port, const char *listen, struct error *err)
{
    const struct mg_callbacks callbacks = {.begin_request = begin_request,
                                           .end_request = end_request,
                                           .log_message = log_message,
                                           .external_ssl_ctx = port->tls ? external_ssl_context : NULL,
                                           .connection_close = connection_close,
                                           .init_connection = init_connection,
                                           .http_error = http_error};
    char where[128], threads[16], queue[16];
    const char *options[] = {"listening_ports",
                             where,
                             "num_threads",
                             threads,
                             "connection_queue",
                             queue,
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             "30000",
                             "request_timeout_ms",
                             "10000",
                             "decode_url",
                             "no",
                             "decode_query_string",
                             "no",
                             "tcp_nodelay",
                             "1",
                             "enable_directory_listing",
                             "no",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "access_control_allow_headers",
                             "",
                             "linger_timeout_ms",
                             "1000",
                             "max_request_size",
                             "16384",
                             "enable_auth_domain_check",
                             "no",
                             NULL};
    struct mg_error_data problem = {0};
    char reason[256] = "";
    struct mg_server_port actual;

    problem.text = reason;
    problem.text_buffer_size = sizeof(reason);
    if (strlen(listen) > 100 || strpbrk(listen, ",sr"))
        return error_set(err, ERROR_INPUT, "\"%s\" is no address to listen on, ADDRESS:PORT is", listen);
    snprintf(where, sizeof(where), "%s%s", listen, port->tls ? "s" : "");
    snprintf(threads, sizeof(threads), "%d", port->threads);
    snprintf(queue, sizeof(queue), "%d", QUEUE);
    struct mg_init_data init = {.callbacks = &callbacks, .user_data = port, .configuration_options = options};
    port->context = mg_start2(&init, &problem);
    if (!port->context)
        return error_set(err, ERROR_SYSTEM, "Nothing can be listened to at %s: %s", listen,
                         reason[0] ? reason : "is the port taken?");
    if (mg_get_server_ports(port->context, 1, &actual) == 1)
        port->number = actual.port;
    return true;
}

static bool ports_start(struct server *server, const struct server_options *options, struct error *err)
{
    struct port *people = &server->ports[0], *devices = &server->ports[1];

    if (!(mg_init_library(MG_FEATURES_TLS) & MG_FEATURES_TLS))
        return error_set(
            err, ERROR_SYSTEM,
            "The HTTP library finds no TLS: libssl.so and libcrypto.so of this program are missing");
    if (options->people_chain &&
        !(people->tls = tls_context_new(options->people_chain, options->people_key, err)))
        return false;
    if (!(devices->tls = tls_context_new(options->device_chain, options->device_key, err)))
        return false;
    return port_start(devices, options->device_listen, err) &&
           port_start(people, options->people_listen, err);
}

struct server *server_start(struct console *console, const struct server_options *options, struct error *err)
{
    struct server *server = calloc(1, sizeof(*server));

    if (!server)
        abort();
    request_prepare();
    server->console = console;
    server->ports[0] =
        (struct port){.server = server, .listener = LISTENER_PEOPLE, .threads = PEOPLE_THREADS};
    server->ports[1] =
        (struct port){.server = server, .listener = LISTENER_DEVICES, .threads = DEVICE_THREADS};
    if (!raise_file_limit(err)) {
        free(server);
        return NULL;
    }
    if (!watch_start(server, err) || !ports_start(server, options, err)) {
        server_stop(server, 0);
        return NULL;
    }
    return server;
}

int server_port(const struct server *server, enum listener listener)
{
    return server->ports[listener == LISTENER_DEVICES].number;
}

static bool is_quiet(struct server *server)
{
    return server->ports[0].in_flight == 0 && server->ports[1].in_flight == 0 && server->streams == 0;
}

static void wait_quiet(struct server *server, int64_t most_ms)
{
    const struct timespec step = {.tv_nsec = 10 * 1000000L};
    int64_t until = clock_boot_ms() + most_ms;

    while (!is_quiet(server) && clock_boot_ms() < until)
        nanosleep(&step, NULL);
}

struct stopping {
    struct mg_context *context; /* NULL: nothing to stop */
    pthread_t thread;
    atomic_bool over;
};

static void *context_stop(void *context)
{
    struct stopping *stopping = context;

    mg_stop(stopping->context);
    stopping->over = true;
    return NULL;
}

/* A connection to a port of ours that brings nothing. Where the port is not reached from here, nothing is
 * lost but time. */
static void port_wake(int number)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)number),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    FD(fd) = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return; /* it is closed already, or in progress: both are fine */
}

/* Civetweb's accept loop looks at its stop flag every two seconds only, or when somebody connects. */
static void ports_stop(struct server *server)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000L};
    struct stopping stopping[2] = {{.context = server->ports[0].context},
                                   {.context = server->ports[1].context}};

    for (int i = 0; i < 2; i++) {
        if (!stopping[i].context)
            stopping[i].over = true;
        else if (pthread_create(&stopping[i].thread, NULL, context_stop, &stopping[i]) != 0)
            abort();
    }
    for (int i = 0; i < 2; i++) {
        while (!stopping[i].over) {
            port_wake(server->ports[i].number);
            nanosleep(&pause, NULL);
        }
        if (stopping[i].context)
            pthread_join(stopping[i].thread, NULL);
    }
}

void server_stop(struct server *server, int64_t drain_ms)
{
    if (!server)
        return;
    server->draining = true;
    wait_quiet(server, drain_ms);
    /* Idle connections would hold their threads, and so mg_stop, for seconds. */
    watch_shut(server, true);
    ports_stop(server);
    for (int i = 0; i < 2; i++)
        tls_context_free(server->ports[i].tls);
    mg_exit_library();
    watch_end(server);
    free(server);
}

void server_figures(struct server *server, struct server_figures *figures)
{
    *figures = (struct server_figures){
        .streams = server->streams, .bytes_in = server->bytes_in, .bytes_out = server->bytes_out};
    for (int i = 0; i < 2; i++) {
        figures->requests[i] = server->ports[i].requests;
        figures->errors[i] = server->ports[i].errors;
    }
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < 2; i++)
        figures->connections[i] = server->ports[i].connection_count;
    pthread_mutex_unlock(&server->lock);
}
