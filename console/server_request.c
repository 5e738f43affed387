#include "console/server_parts.h"

#include "base/log.h"
#include "console/console.h"
#include "console/fleet.h"
#include "console/people.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SEGMENTS_ANY SIZE_MAX

/* --- headers
 * ------------------------------------------------------------------------------------------------------ */
const char *request_header(struct request *request, const char *name)
{
    const struct mg_request_info *info = exchange_of(request)->info;

    for (int i = 0; i < info->num_headers; i++) {
        if (strcasecmp(info->http_headers[i].name, name) == 0)
            return info->http_headers[i].value;
    }
    return NULL;
}

static int header_count(const struct mg_request_info *info, const char *name)
{
    int count = 0;

    for (int i = 0; i < info->num_headers; i++)
        count += strcasecmp(info->http_headers[i].name, name) == 0;
    return count;
}

/* RFC 9110, 5.6.2. A name with a space or a control character is how two readers are made to disagree. */
static bool is_token(const char *name)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    if (!*name)
        return false;
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

        if (!letter && !strchr(marks, *c))
            return false;
    }
    return true;
}

static bool is_field_value(const char *value)
{
    for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    }
    return true;
}

/* Civetweb cuts the header lines where they lie, putting NULs over the colon and the line's end, and is
 * lenient: it takes spaces before the colon and bare line feeds, and ends the headers at a folded line,
 * dropping what follows, Content-Length among it. What it overwrote still tells: RFC 9112, 5.1 and 5.2, wants
 * all three refused. */
static bool line_is_strict(const struct mg_header *header, bool last)
{
    const char *colon = header->name + strlen(header->name);
    const char *end = header->value + strlen(header->value);

    if (colon + 1 < header->value && colon[1] == '\0')
        return false;
    if (end[1] != '\0')
        return false;
    return !last || (end[2] == '\r' && end[3] == '\0');
}

static bool headers_are_clean(const struct mg_request_info *info)
{
    for (int i = 0; i < info->num_headers; i++) {
        const struct mg_header *header = &info->http_headers[i];

        if (!header->name || !header->value || !is_token(header->name) || !is_field_value(header->value) ||
            !line_is_strict(header, i + 1 == info->num_headers))
            return false;
    }
    return true;
}

static bool refuse(struct exchange *exchange, int status, const char *sentence)
{
    enum error_kind kind = status == 431 || status == 413 ? ERROR_LIMIT : ERROR_INPUT;

    answer_and_close(exchange, status, kind, sentence);
    return false;
}

static bool check_length(struct exchange *exchange)
{
    const struct mg_request_info *info = exchange->info;
    const char *length = request_header(&exchange->request, "Content-Length");
    int64_t value;

    if (header_count(info, "Content-Length") > 1)
        return refuse(exchange, 400, "There is more than one Content-Length");
    if (header_count(info, "Transfer-Encoding") > 0)
        return length
                   ? refuse(exchange, 400, "Content-Length and Transfer-Encoding exclude each other")
                   : refuse(exchange, 411, "A body needs a Content-Length; Transfer-Encoding is not taken");
    if (!length)
        return true;
    if (!int64_parse(length, 0, INT64_MAX / 2, &value))
        return refuse(exchange, 400, "Content-Length is no number");
    exchange->request.content_length = value;
    return true;
}

bool request_check_headers(struct exchange *exchange)
{
    const struct mg_request_info *info = exchange->info;
    const char *expect = request_header(&exchange->request, "Expect");
    const char *connection = request_header(&exchange->request, "Connection");

    /* Civetweb drops what comes after the 64th without a word, Content-Length among them. */
    if (info->num_headers >= MG_MAX_HEADERS)
        return refuse(exchange, 431, "A request has at most 63 headers");
    if (!headers_are_clean(info))
        return refuse(exchange, 400, "A header is malformed");
    if (header_count(info, "Host") > 1 ||
        (string_is(info->http_version, "1.1") && header_count(info, "Host") != 1))
        return refuse(exchange, 400, "A request has exactly one Host");
    if (!check_length(exchange))
        return false;
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return refuse(exchange, 417, "Only \"Expect: 100-continue\" is understood");
    exchange->expects_continue = expect && exchange->request.content_length > 0;
    if (connection && strcasestr(connection, "close"))
        exchange->closes = true;
    return true;
}

/* --- path and query
 * ----------------------------------------------------------------------------------------------- */
static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *percent_decode(struct arena *arena, const char *text, size_t size)
{
    char *out = arena_alloc(arena, size + 1);
    size_t at = 0;

    for (size_t i = 0; i < size; i++) {
        int value = (unsigned char)text[i];

        if (text[i] == '%') {
            if (i + 2 >= size || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
                return NULL;
            value = hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]);
            i += 2;
        }
        if (value < 0x20 || value == 0x7f)
            return NULL;
        out[at++] = (char)value;
    }
    return utf8_is_valid(out, at) ? out : NULL;
}

struct path {
    char *segments[SEGMENTS_MOST];
    size_t count;
};

static bool path_split(struct exchange *exchange, struct path *path)
{
    const char *at = exchange->info->local_uri_raw;

    path->count = 0;
    if (!at || *at != '/')
        return false;
    while (*at == '/') {
        size_t size = strcspn(++at, "/");

        if (path->count == SEGMENTS_MOST)
            return false;
        char *segment = percent_decode(&exchange->arena, at, size);
        if (!segment || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
            return false;
        path->segments[path->count++] = segment;
        at += size;
    }
    return *at == '\0';
}

static char *path_rest(struct exchange *exchange, const struct path *path, size_t from)
{
    TEXT(out);

    for (size_t i = from; i < path->count; i++)
        text_printf(&out, "%s%s", i > from ? "/" : "", path->segments[i]);
    return arena_strdup(&exchange->arena, text_string(&out));
}

static bool row_matches(struct exchange *exchange, const struct route *route, const struct path *path,
                        const char **params)
{
    const char *at = route->path;
    size_t segment = 0, param = 0;

    for (; *at == '/'; segment++) {
        size_t size = strcspn(++at, "/");

        if (size == 3 && strncmp(at, "{*}", 3) == 0) {
            if (segment >= path->count)
                return false;
            params[param] = path_rest(exchange, path, segment);
            return true;
        }
        if (segment >= path->count)
            return false;
        if (*at == '{' && param < ROUTE_PARAMS) {
            if (!*path->segments[segment])
                return false;
            params[param++] = path->segments[segment];
        } else if (strlen(path->segments[segment]) != size ||
                   strncmp(at, path->segments[segment], size) != 0) {
            return false;
        }
        at += size;
    }
    return segment == path->count;
}

/* The row that takes what is left is for pages: a wrong path of an interface is no page. */
static bool is_interface(const struct path *path)
{
    return strcmp(path->segments[0], "api") == 0 || strcmp(path->segments[0], "device") == 0;
}

static bool method_fits(const struct exchange *exchange, const struct route *route)
{
    return strcmp(route->method, exchange->request.method) == 0 ||
           (exchange->head && strcmp(route->method, "GET") == 0);
}

/* How many segments a row's path has; "{*}" as the last takes any number. */
static size_t row_segments(const struct route *route)
{
    size_t count = 0;

    for (const char *c = route->path; *c; c++)
        count += *c == '/';
    return string_is(strrchr(route->path, '/'), "/{*}") ? SEGMENTS_ANY : count;
}

#define ROUTES_MOST 256
static size_t segments_of[ROUTES_MOST]; /* of the rows of routes[], counted once */
static pthread_once_t segments_once = PTHREAD_ONCE_INIT;

static void segments_count(void)
{
    for (size_t i = 0; routes[i].method; i++) {
        if (i == ROUTES_MOST) {
            log_event(LOG_ERROR, "routes", "text=There are more than %d rows", ROUTES_MOST);
            abort();
        }
        segments_of[i] = row_segments(&routes[i]);
    }
}

void request_prepare(void)
{
    pthread_once(&segments_once, segments_count);
}

/* Most rows are no match by their number of segments already. */
static bool row_may_match(const struct exchange *exchange, const struct route *route, const struct path *path)
{
    size_t segments = segments_of[route - routes];

    return (route->listeners & exchange->request.listener) &&
           (segments == path->count || segments == SEGMENTS_ANY);
}

bool request_route(struct exchange *exchange)
{
    struct path path;
    char allow[64] = "";

    if (!path_split(exchange, &path))
        return refuse(exchange, 400, "The path is malformed");
    for (const struct route *route = routes; route->method; route++) {
        const char *params[ROUTE_PARAMS] = {NULL};

        if (!row_may_match(exchange, route, &path) ||
            (strcmp(route->path, "/{*}") == 0 && is_interface(&path)) ||
            !row_matches(exchange, route, &path, params))
            continue;
        if (method_fits(exchange, route) && route->role != ROLE_NONE) {
            exchange->request.route = route;
            memcpy(exchange->request.params, params, sizeof(params));
            return true;
        }
        if (strlen(allow) + strlen(route->method) + 3 < sizeof(allow))
            snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s", *allow ? ", " : "",
                     route->method);
    }
    if (*allow) {
        answer_header(&exchange->request, "Allow", allow);
        return refuse(exchange, 405, "This path has no such method");
    }
    answer_and_close(exchange, 404, ERROR_MISSING, "There is nothing at this path");
    return false;
}

/* The value of the n-th parameter called `name`; NULL when there is none, "" with *bad when it is malformed.
 */
static const char *query_find(struct exchange *exchange, const char *name, int n)
{
    const char *at = exchange->info->query_string;

    while (at && *at) {
        size_t size = strcspn(at, "&"), key = strcspn(at, "=&");
        char *decoded = percent_decode(&exchange->arena, at, key);

        if (decoded && strcmp(decoded, name) == 0 && n-- == 0) {
            const char *value = key < size ? at + key + 1 : at + key;
            char *copy = arena_copy(&exchange->arena, value, size - (size_t)(value - at));

            for (char *c = copy; *c; c++)
                *c = *c == '+' ? ' ' : *c;
            return percent_decode(&exchange->arena, copy, strlen(copy));
        }
        at += size + (at[size] == '&');
    }
    return NULL;
}

const char *request_query(struct request *request, const char *name)
{
    return query_find(exchange_of(request), name, 0);
}

bool request_query_only(struct request *request, const char *const *allowed, struct error *err)
{
    struct exchange *exchange = exchange_of(request);
    const char *at = exchange->info->query_string;

    while (at && *at) {
        size_t size = strcspn(at, "&"), key = strcspn(at, "=&");
        char *name = percent_decode(request->arena, at, key);
        const char *const *row = allowed;

        while (name && *row && strcmp(*row, name) != 0)
            row++;
        if (!name || !*row)
            return error_set(err, ERROR_INPUT, "There is no query parameter \"%s\" here", name ? name : "?");
        if (query_find(exchange, name, 1))
            return error_set(err, ERROR_INPUT, "The query parameter \"%s\" is there twice", name);
        if (!query_find(exchange, name, 0))
            return error_set(err, ERROR_INPUT, "The query parameter \"%s\" is malformed", name);
        at += size + (at[size] == '&');
    }
    return true;
}

/* --- who asks
 * ----------------------------------------------------------------------------------------------------- */
static const char *bearer(struct request *request)
{
    const char *value = request_header(request, "Authorization");

    return value && strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : NULL;
}

static const char *cookie(struct request *request)
{
    static const char name[] = "locum_session=";
    const char *at = request_header(request, "Cookie");

    while (at && *at) {
        size_t size = strcspn(at, ";");

        if (strncmp(at, name, sizeof(name) - 1) == 0)
            return arena_copy(request->arena, at + sizeof(name) - 1, size - (sizeof(name) - 1));
        at += size + (at[size] == ';');
        at += strspn(at, " ");
    }
    return NULL;
}

static bool is_change(const struct request *request)
{
    return strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0;
}

/* A page elsewhere can make a browser send our cookie (RFC 6454): a change must come from our own origin. A
 * front may end TLS, so https of our own host is ours as well. */
static bool origin_is_ours(struct request *request, bool needed)
{
    const char *origin = request_header(request, "Origin");
    const char *host = request_header(request, "Host");
    const char *site = request_header(request, "Sec-Fetch-Site");

    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return false;
    if (!origin)
        return !needed;
    if (!host)
        return false;
    return (request->console->plain_http &&
            string_is(origin, arena_printf(request->arena, "http://%s", host))) ||
           string_is(origin, arena_printf(request->arena, "https://%s", host));
}

static bool deny(struct exchange *exchange, int status, const char *sentence, const char *hint)
{
    struct error err;

    error_set(&err, ERROR_DENIED, "%s", sentence);
    if (status == 401)
        answer_header(&exchange->request, "WWW-Authenticate", "Bearer");
    answer_status_error(&exchange->request, status, &err, hint);
    return false;
}

static bool device_allowed(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    struct error err = {0};

    if (fleet_session_check(request->console, bearer(request), &request->device_id, &request->device_name,
                            request->arena, &err))
        return true;
    if (err.kind != ERROR_DENIED) {
        answer_error(request, &err);
        return false;
    }
    return deny(exchange, 401, err.text, NULL);
}

static bool person_allowed(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    const char *token = bearer(request), *session = token ? NULL : cookie(request);
    enum role least = request->route->role;
    struct person person = {0};
    struct error err = {0};

    if (least == ROLE_ANYBODY) {
        /* Signing in and setting up: a cross-site page must not do it for the browser. */
        if (is_change(request) && !origin_is_ours(request, false))
            return deny(exchange, 403, "The request comes from a page of another origin", NULL);
        return true;
    }
    if (!people_identify(request->console, request->arena, token, session, &person, &err)) {
        if (err.kind == ERROR_DENIED)
            return deny(exchange, 401, err.text, "Sign in, or send a valid API token");
        answer_error(request, &err);
        return false;
    }
    request->operator_id = person.id;
    request->operator_name = person.name;
    request->role = person.role;
    request->right_ends_at = person.expires_at;
    if (session && is_change(request) && !origin_is_ours(request, true))
        return deny(exchange, 403, "A change needs the Origin of the console's own pages", NULL);
    if (person.role < least)
        return deny(exchange, 403,
                    arena_printf(request->arena, "This needs the role \"%s\"; %s has \"%s\"",
                                 role_name(least), person.name, role_name(person.role)),
                    "An administrator can grant the role");
    return true;
}

bool request_allowed(struct exchange *exchange)
{
    if (exchange->request.route->role == ROLE_DEVICE)
        return device_allowed(exchange);
    return exchange->request.listener == LISTENER_PEOPLE || exchange->request.route->role != ROLE_ANYBODY
               ? person_allowed(exchange)
               : true;
}

/* --- body
 * ---------------------------------------------------------------------------------------------------------
 */
static bool send_continue(struct exchange *exchange)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (!exchange->expects_continue)
        return true;
    exchange->expects_continue = false;
    return mg_write(exchange->request.connection, line, sizeof(line) - 1) == (int)(sizeof(line) - 1);
}

/* Reads without setting a deadline. mg_read waits until all that it was asked for is there. */
static long body_piece(struct exchange *exchange, void *bytes, size_t room)
{
    int64_t rest = exchange->request.content_length - exchange->body_read;

    if (rest <= 0)
        return 0;
    if (room > BODY_PIECE)
        room = BODY_PIECE;
    if (!send_continue(exchange))
        return -1;
    int got = mg_read(exchange->request.connection, bytes, rest < (int64_t)room ? (size_t)rest : room);
    if (got <= 0)
        return -1;
    exchange->body_read += got;
    exchange->port->server->bytes_in += got;
    return got;
}

long request_read(struct request *request, void *bytes, size_t room)
{
    struct exchange *exchange = exchange_of(request);

    watch_deadline(exchange->watched, BODY_PIECE_MS);
    long got = body_piece(exchange, bytes, room);
    watch_deadline(exchange->watched, 0);
    return got;
}

static bool read_whole(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    size_t size = (size_t)request->content_length, at = 0;
    char *bytes = arena_alloc(&exchange->arena, size + 1);
    long got = 0;

    watch_deadline(exchange->watched, BODY_WHOLE_MS + (int64_t)size / BODY_BYTES_PER_MS);
    while (at < size && (got = body_piece(exchange, bytes + at, size - at)) > 0)
        at += (size_t)got;
    watch_deadline(exchange->watched, 0);
    if (at < size)
        return refuse(exchange, 408, "The body did not arrive in time");
    request->body = bytes;
    request->body_size = size;
    return true;
}

bool request_take_body(struct exchange *exchange)
{
    const struct route *route = exchange->request.route;
    int64_t length = exchange->request.content_length;

    if (length > route->body_limit) {
        exchange->closes = true;
        return refuse(exchange, 413,
                      route->body_limit ? arena_printf(&exchange->arena, "A body here has at most %lld bytes",
                                                       (long long)route->body_limit)
                                        : "This request takes no body");
    }
    exchange->request.body = "";
    if (route->streams || length <= 0)
        return true;
    return read_whole(exchange);
}

bool request_may_drain(const struct exchange *exchange)
{
    int64_t rest = exchange->request.content_length - exchange->body_read;

    return rest <= 0 || (!exchange->closes && !exchange->expects_continue && rest <= DRAIN_MOST);
}

const struct json *request_json(struct request *request, const struct json_limits *limits, struct error *err)
{
    const struct json *json;

    if (request->body_size == 0) {
        error_set(err, ERROR_INPUT, "The request needs a JSON body");
        return NULL;
    }
    json = json_read(request->arena, request->body, request->body_size, limits ? limits : &json_limits_small,
                     err);
    if (!json) {
        error_add(err, "The body");
        return NULL;
    }
    if (json->type != JSON_OBJECT) {
        error_set(err, ERROR_INPUT, "The body must be a JSON object");
        return NULL;
    }
    return json;
}
