#include "console/filter.h"

#include "base/clock.h"
#include "base/text.h"
#include "console/fleet_parts.h"

#include <string.h>

enum node_kind { NODE_ALL, NODE_AND, NODE_OR, NODE_NOT, NODE_TERM };
enum comparison { EQUAL, LESS, LESS_OR_EQUAL, MORE, MORE_OR_EQUAL, CONTAINS };

struct filter {
    enum node_kind kind;
    const struct filter *left, *right; /* right NULL for NODE_NOT */
    const struct field *field;         /* NODE_TERM */
    enum comparison comparison;
    const char *name; /* of the field as it was written: an asset */
    const char *value;
    int64_t seconds; /* `seen` */
};

struct looking {
    const struct fleet *fleet;
    const struct device *device;
    int64_t now;
};
typedef bool matches(const struct filter *term, const struct looking *at);
typedef bool checks(struct filter *term, struct error *err);

struct field {
    const char *name; /* NULL: any asset */
    unsigned allowed; /* comparisons, 1 << … or'ed */
    checks *check;    /* of the value; NULL: any text */
    matches *match;
    bool passing; /* changes by itself, without a person's hand */
};

/* --- fields
 * ------------------------------------------------------------------------------------------------------- */

static bool text_matches(const struct filter *term, const char *text)
{
    return term->comparison == CONTAINS ? strstr(text, term->value) != NULL : !strcmp(text, term->value);
}

static bool match_name(const struct filter *term, const struct looking *at)
{
    return text_matches(term, at->device->name);
}

static bool match_product(const struct filter *term, const struct looking *at)
{
    return text_matches(term, at->device->product);
}

static bool match_hardware(const struct filter *term, const struct looking *at)
{
    return text_matches(term, at->device->hardware[0] ? at->device->hardware : "none");
}

static bool match_connectivity(const struct filter *term, const struct looking *at)
{
    return text_matches(term, connectivity_name(device_connectivity(at->fleet, at->device, at->now)));
}

static bool check_connectivity(struct filter *term, struct error *err)
{
    for (int i = NEVER_SEEN; i <= OFFLINE; i++)
        if (!strcmp(connectivity_name((enum connectivity)i), term->value))
            return true;
    return error_set(err, ERROR_INPUT, "connectivity is never_seen, online, late or offline, not \"%.40s\"",
                     term->value);
}

static bool match_admission(const struct filter *term, const struct looking *at)
{
    return text_matches(term, admission_name(at->device->admission));
}

static bool check_admission(struct filter *term, struct error *err)
{
    enum admission admission;

    return admission_from_name(term->value, &admission) ||
           error_set(err, ERROR_INPUT, "admission is pending, accepted, rejected or retired, not \"%.40s\"",
                     term->value);
}

static bool match_tag(const struct filter *term, const struct looking *at)
{
    for (char **tag = at->device->tags; tag && *tag; tag++)
        if (text_matches(term, *tag))
            return true;
    return false;
}

static bool match_group(const struct filter *term, const struct looking *at)
{
    for (size_t i = 0; i < at->device->group_count; i++)
        if (text_matches(term, at->device->groups[i]->name))
            return true;
    return !at->device->group_count && text_matches(term, "none");
}

static bool match_image(const struct filter *term, const struct looking *at)
{
    return text_matches(term, at->device->image.run_id[0] ? at->device->image.image : "none");
}

static bool compared(enum comparison comparison, int order)
{
    switch (comparison) {
    case LESS:
        return order < 0;
    case LESS_OR_EQUAL:
        return order <= 0;
    case MORE:
        return order > 0;
    case MORE_OR_EQUAL:
        return order >= 0;
    default:
        return order == 0;
    }
}

static bool match_seen(const struct filter *term, const struct looking *at)
{
    int64_t ago = at->now - at->device->last_seen;

    return at->device->last_seen && compared(term->comparison, (ago > term->seconds) - (ago < term->seconds));
}

static bool check_seen(struct filter *term, struct error *err)
{
    return duration_parse(term->value, &term->seconds) ||
           error_set(err, ERROR_INPUT, "seen takes a time such as 90s, 5m, 2h or 1d, not \"%.40s\"",
                     term->value);
}

static bool match_asset(const struct filter *term, const struct looking *at)
{
    for (size_t i = 0; i < at->device->running_count; i++) {
        const struct running_asset *running = &at->device->running[i];

        if (strcmp(running->asset, term->name) || !*running->version)
            continue;
        if (term->comparison == CONTAINS)
            return strstr(running->version, term->value) != NULL;
        if (term->comparison == EQUAL) /* versions are equal when their words are */
            return !strcmp(running->version, term->value);
        return compared(term->comparison, version_compare(running->version, term->value));
    }
    return false;
}

static bool check_asset(struct filter *term, struct error *err)
{
    struct error ignored = {0};

    if (!name_is_valid(term->name))
        return error_set(err, ERROR_INPUT, "there is no field \"%.64s\"", term->name);
    return term->comparison == CONTAINS || version_check(term->value, &ignored) ||
           error_set(err, ERROR_INPUT,
                     "%.64s is no field, and as an asset it takes a version such as 1.2.0, not \"%.40s\"",
                     term->name, term->value);
}

#define ONE(comparison) (1u << (comparison))
#define WORDS (ONE(EQUAL) | ONE(CONTAINS))
#define ORDERED (ONE(EQUAL) | ONE(LESS) | ONE(LESS_OR_EQUAL) | ONE(MORE) | ONE(MORE_OR_EQUAL))

static const struct field fields[] = {
    {"name", WORDS, NULL, match_name, false},
    {"product", WORDS, NULL, match_product, false},
    {"hardware", WORDS, NULL, match_hardware, false},
    {"connectivity", ONE(EQUAL), check_connectivity, match_connectivity, true},
    {"admission", ONE(EQUAL), check_admission, match_admission, false},
    {"tag", WORDS, NULL, match_tag, false},
    {"group", WORDS, NULL, match_group, false},
    {"seen", ORDERED & ~ONE(EQUAL), check_seen, match_seen, true},
    {"image", WORDS, NULL, match_image, true},
    {NULL, ORDERED | ONE(CONTAINS), check_asset, match_asset, true},
};

static const struct field *field_find(const char *name)
{
    const struct field *field = fields;

    while (field->name && strcmp(field->name, name))
        field++;
    return field;
}

/* --- parsing
 * ------------------------------------------------------------------------------------------------------ */

struct parser {
    struct arena *arena;
    const char *text, *at;
    int terms, depth;
    struct error *err;
};

static const struct filter *parse_or(struct parser *parser);

static const struct filter *fail(struct parser *parser, const char *at, const char *why)
{
    error_set(parser->err, ERROR_INPUT, "the filter is wrong at character %d: %s",
              (int)(at - parser->text) + 1, why);
    return NULL;
}

static void skip_spaces(struct parser *parser)
{
    while (*parser->at == ' ')
        parser->at++;
}

static struct filter *node(struct parser *parser, enum node_kind kind, const struct filter *left,
                           const struct filter *right)
{
    struct filter *made = arena_alloc(parser->arena, sizeof *made);

    *made = (struct filter){.kind = kind, .left = left, .right = right};
    return made;
}

/* A word up to what ends one, or what stands in double quotes. NULL and an error. */
static const char *take_value(struct parser *parser, const char *ends)
{
    const char *from = parser->at;

    if (*from == '"') {
        const char *end = strchr(from + 1, '"');

        if (!end)
            return fail(parser, from, "the quote is not closed"), NULL;
        parser->at = end + 1;
        return arena_copy(parser->arena, from + 1, (size_t)(end - from - 1));
    }
    size_t size = strcspn(from, ends);
    if (!size)
        return fail(parser, from, *from ? "a word is missing here" : "a word is missing at the end"), NULL;
    parser->at += size;
    return arena_copy(parser->arena, from, size);
}

static enum comparison take_comparison(struct parser *parser)
{
    static const struct {
        const char *sign;
        enum comparison comparison;
    } signs[] = {{"<=", LESS_OR_EQUAL}, {">=", MORE_OR_EQUAL}, {"<", LESS}, {">", MORE}};

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (string_starts(parser->at, signs[i].sign)) {
            parser->at += strlen(signs[i].sign);
            return signs[i].comparison;
        }
    return EQUAL;
}

static bool term_check(struct parser *parser, const char *from, struct filter *term)
{
    struct error why = {0};

    term->field = field_find(term->name);
    if (term->field->check && !term->field->check(term, &why))
        return fail(parser, from, why.text), false;
    if (!(term->field->allowed & ONE(term->comparison)))
        return fail(parser, from,
                    term->field->match == match_seen
                        ? "seen is compared: seen:<5m or seen:>1h"
                        : arena_printf(parser->arena, "%s cannot be compared in this way", term->name)),
               false;
    return true;
}

static const struct filter *parse_term(struct parser *parser)
{
    const char *from = parser->at;
    struct filter *term = node(parser, NODE_TERM, NULL, NULL);
    bool quoted = *from == '"';
    const char *word = take_value(parser, " ():~\"");

    if (!word)
        return NULL;
    if (++parser->terms > FILTER_TERMS)
        return fail(parser, from, "a filter has at most 64 terms");
    term->name = "name";
    term->value = word;
    term->comparison = CONTAINS; /* a bare word */
    if (!quoted && (*parser->at == ':' || *parser->at == '~')) {
        bool contains = *parser->at++ == '~';

        term->name = word;
        term->comparison = contains ? CONTAINS : take_comparison(parser);
        if (!(term->value = take_value(parser, " ()\"")))
            return NULL;
    }
    return term_check(parser, from, term) ? term : NULL;
}

static const struct filter *parse_not(struct parser *parser)
{
    const struct filter *inner;
    const char *from = parser->at;

    if (*from == '-') {
        parser->at++;
        if (*parser->at == '-')
            return fail(parser, parser->at, "one \"-\" is enough");
        inner = parse_not(parser);
        return inner ? node(parser, NODE_NOT, inner, NULL) : NULL;
    }
    if (*from != '(')
        return parse_term(parser);
    if (++parser->depth > FILTER_DEPTH)
        return fail(parser, from, "parentheses are at most 16 deep");
    parser->at++;
    if (!(inner = parse_or(parser)))
        return NULL;
    if (*parser->at != ')')
        return fail(parser, from, "the parenthesis is not closed");
    parser->at++;
    parser->depth--;
    return inner;
}

static bool at_or(const struct parser *parser)
{
    return !strncmp(parser->at, "or", 2) && (parser->at[2] == ' ' || parser->at[2] == '(' || !parser->at[2]);
}

static const struct filter *parse_and(struct parser *parser)
{
    const struct filter *left, *right;

    skip_spaces(parser);
    if (at_or(parser))
        return fail(parser, parser->at, "\"or\" stands between two terms");
    if (!(left = parse_not(parser)))
        return NULL;
    for (skip_spaces(parser); *parser->at && *parser->at != ')' && !at_or(parser); skip_spaces(parser)) {
        if (!(right = parse_not(parser)))
            return NULL;
        left = node(parser, NODE_AND, left, right);
    }
    return left;
}

static const struct filter *parse_or(struct parser *parser)
{
    const struct filter *left = parse_and(parser), *right;

    while (left && at_or(parser)) {
        parser->at += 2;
        if (!(right = parse_and(parser)))
            return NULL;
        left = node(parser, NODE_OR, left, right);
    }
    return left;
}

const struct filter *filter_compile(struct arena *arena, const char *text, struct error *err)
{
    struct parser parser = {.arena = arena, .text = text, .at = text, .err = err};

    if (strlen(text) > FILTER_BYTES) {
        error_set(err, ERROR_INPUT, "a filter has at most %d bytes", FILTER_BYTES);
        return NULL;
    }
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return fail(&parser, at, "a control character");
    skip_spaces(&parser);
    if (!*parser.at)
        return node(&parser, NODE_ALL, NULL, NULL);
    const struct filter *filter = parse_or(&parser);
    if (filter && *parser.at)
        return fail(&parser, parser.at, "there is nothing to close here");
    return filter;
}

/* --- matching
 * ----------------------------------------------------------------------------------------------------- */

/* Bounded by FILTER_TERMS and FILTER_DEPTH. */
static bool node_matches(const struct filter *filter, const struct looking *at)
{
    switch (filter->kind) {
    case NODE_AND:
        return node_matches(filter->left, at) && node_matches(filter->right, at);
    case NODE_OR:
        return node_matches(filter->left, at) || node_matches(filter->right, at);
    case NODE_NOT:
        return !node_matches(filter->left, at);
    case NODE_TERM:
        return filter->field->match(filter, at);
    default:
        return true;
    }
}

const char *filter_passing(const struct filter *filter)
{
    if (filter->kind == NODE_TERM)
        return filter->field->passing ? filter->name : NULL;
    const char *left = filter->left ? filter_passing(filter->left) : NULL;
    return left || !filter->right ? left : filter_passing(filter->right);
}

static bool asks(const struct filter *filter, matches *match)
{
    if (filter->kind == NODE_TERM)
        return filter->field->match == match;
    return (filter->left && asks(filter->left, match)) || (filter->right && asks(filter->right, match));
}

bool filter_asks_group(const struct filter *filter)
{
    return asks(filter, match_group);
}

bool filter_asks_asset(const struct filter *filter)
{
    return asks(filter, match_asset);
}

bool filter_matches(const struct filter *filter, const struct fleet *fleet, const struct device *device,
                    int64_t now)
{
    struct looking at = {.fleet = fleet, .device = device, .now = now};

    return node_matches(filter, &at);
}

/* Each needs the one before, so they are asked for from far to near. */
void filter_look_ahead(struct device *const *devices, size_t count, size_t at)
{
    enum { FAR = 24, HALFWAY = 16, SOON = 8 };

    if (at + FAR < count) {
        __builtin_prefetch(devices[at + FAR]);
        __builtin_prefetch(&devices[at + FAR]->running);
    }
    if (at + HALFWAY < count)
        __builtin_prefetch(devices[at + HALFWAY]->running);
    if (at + SOON < count && devices[at + SOON]->running_count) {
        __builtin_prefetch(devices[at + SOON]->running->asset);
        __builtin_prefetch(devices[at + SOON]->running->version);
    }
}

int64_t *filter_choose(const struct filter *filter, struct fleet *fleet, struct arena *arena, bool all,
                       size_t *count)
{
    int64_t now = clock_now();
    bool ahead = filter_asks_asset(filter);
    size_t total;

    *count = 0;
    fleet_lock(fleet);
    struct device *const *devices = fleet_all(fleet, &total);
    int64_t *ids = arena_array(arena, total, sizeof *ids);
    for (size_t i = 0; i < total; i++) {
        if (ahead)
            filter_look_ahead(devices, total, i);
        bool gone = devices[i]->admission == ADMISSION_REJECTED || devices[i]->admission == ADMISSION_RETIRED;

        if ((all || !gone) && filter_matches(filter, fleet, devices[i], now))
            ids[(*count)++] = devices[i]->id;
    }
    fleet_unlock(fleet);
    return ids;
}
