/* What the files of the wish share. */
#ifndef CONSOLE_DELIVERY_WISH_PARTS_H
#define CONSOLE_DELIVERY_WISH_PARTS_H

#include "console/delivery/wish.h"

#define WISH_ASSETS_MOST 256 /* in a set, as FORMAT.md has it */

/* --- wish_catalog.c: what there is, read once a batch */
struct wish_need {
    const char *asset, *range;
};
struct wish_version {
    const char *version;
    int64_t counter, released; /* released: number of its newest release to the whole product, 0: never */
    bool listed, withdrawn;
    const char *const *hardware; /* NULL-terminated; empty: all */
    const struct wish_need *needs;
    size_t need_count;
};
struct wish_asset {
    const char *name;
    struct wish_version *versions; /* highest first */
    size_t count;
    bool counters_differ;
};
/* A release to the product (group_id 0) or to a group. */
struct wish_release {
    int64_t group_id, at;
    const char *group, *asset, *version, *by;
};
struct wish_product {
    const char *name;
    const struct wish_release *releases; /* to the product: by asset */
    size_t release_count;
    const struct wish_release *group_releases; /* newest first */
    size_t group_release_count;
    struct wish_asset **assets; /* as they were asked for */
    size_t asset_count, asset_room;
    struct wish_shared *shared; /* wish.c */
    struct wish_product *next;
};
struct wish_batch {
    struct db_conn *conn;
    struct arena *arena;
    struct wish_product *products;
};
/* NULL: failed, `err` is set. */
struct wish_product *wish_product(struct wish_batch *batch, const char *name, struct error *err);
/* All versions of an asset; one without any when there is no such asset. NULL: failed. */
struct wish_asset *wish_asset(struct wish_batch *batch, struct wish_product *product, const char *name,
                              struct error *err);
/* NULL: not known. */
const struct wish_version *wish_version(const struct wish_asset *asset, const char *version);
bool wish_fits_hardware(const struct wish_version *version, const char *hardware);

/* --- wish.c: who wants what */
enum wish_source {
    SOURCE_NONE,
    SOURCE_PIN,
    SOURCE_DEVELOPMENT,
    SOURCE_ROLLOUT,
    SOURCE_GROUP,
    SOURCE_PRODUCT,
    SOURCE_REQUIRES
};
struct wish_candidate {
    enum wish_source source;
    const char *name; /* group, or the rollout's number; NULL */
    const char *version, *text;
    struct apply apply;
    int64_t at;
    bool wins;
};
/* One asset of the device. */
struct wish_choice {
    const char *asset;
    const struct wish_asset *known;
    const struct wish_version *chosen; /* NULL: none */
    const struct wish_version *asked;  /* that somebody asks for; NULL: none */
    enum wish_source source;
    struct apply apply;
    const char *text;  /* why it is to run the chosen one */
    const char *waits; /* why it does not get what is asked for; NULL: it does */
    struct wish_candidate *candidates;
    size_t candidate_count;
    const struct wish_version *running; /* wish_running, once looked */
    bool looked;
    bool *banned; /* wish_fit.c: versions that it left, as long as known->versions, and one for an unknown one
                   */
    bool dropped; /* wish_fit.c: left out, nothing fits */
};
struct wish_thought {
    struct wish_batch *batch;
    struct wish_product *product;
    const struct wish_device *device;
    struct wish_choice *choices; /* sorted by asset */
    size_t count, room;
    bool looked; /* at what the device runs: the result is for this device alone */
};
/* The version that the device says it runs; NULL. An unknown one is made up: it fits and needs nothing. */
const struct wish_version *wish_running(struct wish_thought *thought, struct wish_choice *choice);
/* Adds behind those that are there. */
void wish_candidate_add(struct wish_thought *thought, struct wish_choice *choice,
                        const struct wish_candidate *candidate);
struct wish_choice *wish_choice_find(struct wish_thought *thought, const char *asset);
/* Adds one where it belongs; NULL with LIMIT or another failure. Pointers to choices move. */
struct wish_choice *wish_choice_add(struct wish_thought *thought, const char *asset, struct error *err);
bool wish_think(struct wish_thought *thought, struct error *err);

/* --- wish_fit.c: sets that fit */
bool wish_fit(struct wish_thought *thought, struct error *err);

#endif
