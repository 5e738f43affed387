/* Products: what there is, and their settings. */
#include "console/handlers.h"

#include "base/json.h"
#include "console/console.h"
#include "console/delivery/product.h"
#include "console/fleet.h"
#include "repo/repo.h"

#include <stdlib.h>
#include <string.h>

#define PRODUCTS_MOST 1000

struct product {
    const char *name;
    int64_t assets, devices;
};
struct products {
    struct arena *arena;
    struct product *list;
    size_t count;
};

static struct product *product_of(struct products *products, const char *name)
{
    for (size_t i = products->count; i-- > 0;)
        if (strcmp(products->list[i].name, name) == 0)
            return &products->list[i];
    if (products->count == PRODUCTS_MOST)
        return NULL;
    products->list[products->count] = (struct product){.name = arena_strdup(products->arena, name)};
    return &products->list[products->count++];
}

/* Products that have devices but no asset yet are products as well. */
static void count_devices(struct fleet *fleet, struct products *products)
{
    size_t devices;

    fleet_lock(fleet);
    struct device *const *all = fleet_all(fleet, &devices);
    for (size_t i = 0; i < devices; i++) {
        if (all[i]->admission == ADMISSION_REJECTED || all[i]->admission == ADMISSION_RETIRED)
            continue;
        struct product *product = product_of(products, all[i]->product);
        if (product)
            product->devices++;
    }
    fleet_unlock(fleet);
}

static void note_product(void *context, const char *name)
{
    product_of(context, name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct product *)a)->name, ((const struct product *)b)->name);
}

static bool products_gather(struct request *request, struct db_conn *conn, struct products *products,
                            struct error *err)
{
    struct asset_row *rows;
    size_t assets;

    products->arena = request->arena;
    products->list = arena_array(request->arena, PRODUCTS_MOST, sizeof(*products->list));
    products->count = 0;
    if (!repo_assets(conn, request->arena, NULL, &rows, &assets, err))
        return false;
    for (size_t i = 0; i < assets; i++) {
        struct product *product = product_of(products, rows[i].product);
        if (product)
            product->assets++;
    }
    count_devices(request->console->fleet, products);
    if (!product_settings_each(conn, note_product, products, err))
        return false;
    qsort(products->list, products->count, sizeof(*products->list), by_name);
    return true;
}

static bool product_write(struct db_conn *conn, const struct product *product, struct json_writer *json,
                          struct error *err)
{
    json_write_object(json, NULL);
    json_write_string(json, "name", product->name);
    json_write_integer(json, "assets", product->assets);
    json_write_integer(json, "devices", product->devices);
    if (!product_settings_write(conn, product->name, json, err))
        return false;
    json_write_end(json, '}');
    return true;
}

/* `name` NULL: all of them as a list. */
static bool products_write(struct request *request, const char *name, struct text *out, struct error *err)
{
    struct products products;
    struct json_writer json;
    bool found = !name;
    DB_DONE(conn) = db_read(request->console->db, err);

    if (!conn || !products_gather(request, conn, &products, err))
        return false;
    json_write_init(&json, out);
    if (!name)
        json_write_array(&json, NULL);
    for (size_t i = 0; i < products.count; i++) {
        if (name && strcmp(name, products.list[i].name))
            continue;
        if (!product_write(conn, &products.list[i], &json, err))
            return false;
        found = true;
    }
    if (!name)
        json_write_end(&json, ']');
    return found || error_set(err, ERROR_MISSING, "there is no product \"%.64s\"", name);
}

void products_list(struct request *request)
{
    TEXT(out);
    struct error err = {0};

    if (products_write(request, NULL, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void products_show(struct request *request)
{
    const char *product = request->params[0];
    TEXT(out);
    struct error err = {0};

    if (name_check("product", product, &err) && products_write(request, product, &out, &err))
        answer_json(request, 200, &out);
    else
        answer_error(request, &err);
}

void products_set(struct request *request)
{
    static const char *const members[] = {"settings", NULL};
    const struct json *settings = NULL;
    struct error err = {0};
    const struct json *json = request_json(request, NULL, &err);

    if (!json || !json_only(json, members, &err) || !json_need_object(json, "settings", &settings, &err) ||
        !product_set(request->console, request->params[0], settings, request->operator_name,
                     request->role == ROLE_ADMIN, &err))
        answer_error(request, &err);
    else
        products_show(request);
}
