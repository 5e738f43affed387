#include "repo/name.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define PATH_LIMIT 1024
#define PART_LIMIT 255
#define DEPTH_LIMIT 32

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && memcmp(text + size - length, end, length) == 0;
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool name_is_valid(const char *name)
{
    if (!name || !is_lower_or_digit(name[0]))
        return false;
    size_t size = strnlen(name, NAME_SIZE);
    if (size >= NAME_SIZE)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_lower_or_digit(name[i]) && !strchr("._-", name[i]))
            return false;
    /* The rest is what git refuses in the name of a ref. */
    return !strstr(name, "..") && name[size - 1] != '.' && !ends_with(name, size, ".lock");
}

bool name_check(const char *what, const char *name, struct error *err)
{
    if (!name_is_valid(name))
        return error_set(err, ERROR_INPUT,
                         "%s \"%.80s\" is no valid name: 1 to 64 of a-z 0-9 . _ -, a letter or digit first, "
                         "without \"..\", a \".\" or \".lock\" at the end",
                         what, name ? name : "");
    /* The folder of the signed files stands beside the products' folders. */
    if (string_is(what, "product") && string_is(name, "metadata"))
        return error_set(err, ERROR_INPUT, "the product name \"metadata\" is reserved");
    return true;
}

static bool part_check(const char *part, size_t size, struct error *err)
{
    if (size == 0)
        return error_set(err, ERROR_INPUT, "a file path must not have an empty part");
    if (size > PART_LIMIT)
        return error_set(err, ERROR_INPUT, "a part of the file path is longer than %d bytes", PART_LIMIT);
    if ((size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
        return error_set(err, ERROR_INPUT, "a file path must not have a part \".\" or \"..\"");
    /* "git~1" is what NTFS calls ".git"; a stock git refuses to check either out. */
    if (size >= 4 && (strncasecmp(part, ".git", 4) == 0 || strncasecmp(part, "git~", 4) == 0))
        return error_set(err, ERROR_INPUT, "a file path must not have a part that begins with \"%.4s\"",
                         part);
    return true;
}

static bool bytes_check(const char *path, size_t size, struct error *err)
{
    if (size == 0)
        return error_set(err, ERROR_INPUT, "a file path must not be empty");
    if (size > PATH_LIMIT)
        return error_set(err, ERROR_INPUT, "a file path is longer than %d bytes", PATH_LIMIT);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f || path[i] == '\\')
            return error_set(err, ERROR_INPUT, "a file path must not hold a control character or backslash");
    if (!utf8_is_valid(path, size))
        return error_set(err, ERROR_INPUT, "a file path is not valid UTF-8");
    /* U+0080 to U+009F are control characters too: C2 80 to C2 9F. */
    for (size_t i = 0; i + 1 < size; i++)
        if ((unsigned char)path[i] == 0xc2 && (unsigned char)path[i + 1] < 0xa0)
            return error_set(err, ERROR_INPUT, "a file path must not hold a control character or backslash");
    return true;
}

bool asset_path_check(const char *path, size_t size, struct error *err)
{
    if (!bytes_check(path, size, err))
        return false;
    int depth = 0;
    for (size_t start = 0; start <= size; depth++) {
        const char *slash = memchr(path + start, '/', size - start);
        size_t end = slash ? (size_t)(slash - path) : size;
        if (!part_check(path + start, end - start, err))
            return error_add(err, "\"%.*s\"", (int)(size > 200 ? 200 : size), path);
        start = end + 1;
    }
    if (depth > DEPTH_LIMIT)
        return error_set(err, ERROR_INPUT, "a file path is more than %d folders deep", DEPTH_LIMIT);
    return true;
}

static bool copy_part(char out[NAME_SIZE], const char *start, size_t size)
{
    if (size >= NAME_SIZE)
        return false;
    memcpy(out, start, size);
    out[size] = 0;
    return true;
}

bool asset_name_split(const char *text, char product[NAME_SIZE], char asset[NAME_SIZE],
                      char version[VERSION_SIZE], struct error *err)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    const char *at = text ? strchr(text, '@') : NULL;
    if (!slash || (at && at < slash) || (version != NULL) != (at != NULL))
        return error_set(err, ERROR_INPUT, "\"%.120s\" must be written as %s", text ? text : "",
                         version ? "PRODUCT/ASSET@VERSION" : "PRODUCT/ASSET");
    size_t rest = at ? (size_t)(at - slash - 1) : strlen(slash + 1);
    if (!copy_part(product, text, (size_t)(slash - text)) || !copy_part(asset, slash + 1, rest) ||
        (version && !copy_part(version, at + 1, strlen(at + 1))))
        return error_set(err, ERROR_INPUT, "a name in \"%.200s\" is longer than 64 bytes", text);
    return name_check("product", product, err) && name_check("asset", asset, err) &&
           (!version || version_check(version, err));
}

/* One dot-separated identifier of a version. Its size; 0 when it is malformed. */
static size_t identifier_size(const char *text, bool no_leading_zero)
{
    size_t size = 0;
    bool numeric = true;
    for (; is_digit(text[size]) || (text[size] >= 'a' && text[size] <= 'z') ||
           (text[size] >= 'A' && text[size] <= 'Z') || text[size] == '-';
         size++)
        numeric = numeric && is_digit(text[size]);
    return no_leading_zero && numeric && size > 1 && text[0] == '0' ? 0 : size;
}

/* Dot-separated identifiers after '-' or '+'; NULL when malformed, else the end. */
static const char *identifiers_end(const char *text, bool no_leading_zero)
{
    for (;;) {
        size_t size = identifier_size(text, no_leading_zero);
        if (size == 0)
            return NULL;
        text += size;
        if (*text != '.')
            return text;
        text++;
    }
}

static bool version_is_valid(const char *version)
{
    if (!version || strnlen(version, VERSION_SIZE) >= VERSION_SIZE)
        return false;
    const char *at = version;
    for (int i = 0; i < 3; i++) {
        size_t size = strspn(at, "0123456789");
        if (size == 0 || (size > 1 && at[0] == '0') || (i < 2 && at[size] != '.'))
            return false;
        at += size + (i < 2);
    }
    if (*at == '-')
        at = identifiers_end(at + 1, true);
    if (at && *at == '+')
        at = identifiers_end(at + 1, false);
    /* A tag carries the version's name, and git refuses a ref that ends in ".lock". */
    return at && *at == 0 && !ends_with(version, strlen(version), ".lock");
}

bool version_check(const char *version, struct error *err)
{
    if (version_is_valid(version))
        return true;
    return error_set(
        err, ERROR_INPUT,
        "\"%.80s\" is no semantic version of at most 64 bytes, as 1.2.3, 1.2.3-rc.1 or 1.2.3+build",
        version ? version : "");
}

static int sign_of(int64_t value)
{
    return value < 0 ? -1 : value > 0;
}

/* Decimal numbers without leading zeros, of any length. */
static int number_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return sign_of(memcmp(a, b, a_size));
}

static int identifier_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    bool a_numeric = strspn(a, "0123456789") >= a_size, b_numeric = strspn(b, "0123456789") >= b_size;
    if (a_numeric && b_numeric)
        return number_compare(a, a_size, b, b_size);
    if (a_numeric != b_numeric)
        return a_numeric ? -1 : 1;
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? sign_of(order) : sign_of((int64_t)a_size - (int64_t)b_size);
}

/* Pre-release identifiers from behind the '-'; a longer list wins when all before are equal. */
static int prerelease_compare(const char *a, const char *b)
{
    for (;;) {
        size_t a_size = strcspn(a, ".+"), b_size = strcspn(b, ".+");
        int order = identifier_compare(a, a_size, b, b_size);
        bool a_more = a[a_size] == '.', b_more = b[b_size] == '.';
        if (order || !a_more || !b_more)
            return order ? order : sign_of(a_more - b_more);
        a += a_size + 1;
        b += b_size + 1;
    }
}

int version_compare(const char *a, const char *b)
{
    const char *whole_a = a, *whole_b = b;
    for (int i = 0; i < 3; i++) {
        size_t a_size = strspn(a, "0123456789"), b_size = strspn(b, "0123456789");
        int order = number_compare(a, a_size, b, b_size);
        if (order)
            return order;
        a += a_size + (i < 2);
        b += b_size + (i < 2);
    }
    if ((*a == '-') != (*b == '-'))
        return *a == '-' ? -1 : 1;
    int order = *a == '-' ? prerelease_compare(a + 1, b + 1) : 0;
    return order ? order : sign_of(strcmp(whole_a, whole_b));
}
