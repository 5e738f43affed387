/* A repository's metadata in memory, signed with keys that a test chooses, and the client that reads them. */
#ifndef TEST_REPO_WORLD_H
#define TEST_REPO_WORLD_H

#include "repo/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define NOW 1795230000
#define DAY 86400
#define FILES 128
#define DEVICE "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

struct shelf {
    struct {
        char name[64];
        char *bytes;
        size_t size;
    } files[FILES];
    int count;
    int fetched; /* "<n>.targets.json" and the like, not roots and timestamps */
};

/* Keys by number, the same in every test. */
enum {
    ROOT_A,
    ROOT_B,
    ROOT_C,
    TARGETS_A,
    TARGETS_B,
    SNAPSHOT,
    TIMESTAMP,
    ASSETS,
    DIAGNOSTICS,
    DIRECTOR,
    STRANGER,
    OTHER,
    APPROVER,
    KEYS
};

struct world {
    struct private_key keys[KEYS];
    struct shelf server, kept;
    struct metadata_io io;
    /* What the next documents say. */
    int root_version, timestamp_version, snapshot_version, targets_version, assets_version;
    int timestamp_key, snapshot_key;
    int64_t expires;
    bool two_sign; /* the role of diagnostic images needs the approver's key as well */
    const char *product;
    struct arena arena;
    struct error err;
};

/* Copies the bytes in; a file of that name is replaced. */
void shelf_put(struct shelf *shelf, const char *name, const char *bytes, size_t size);
bool shelf_get(struct shelf *shelf, struct arena *arena, const char *name, char **bytes, size_t *size,
               struct error *err);
/* Each signs the document of world's versions anew and puts it onto the server's shelf; "with": by these
 * keys. */
void world_make_root(struct world *world);
void world_make_targets_with(struct world *world, const char *assets_pattern, const int *signers,
                             size_t count);
void world_make_assets(struct world *world, const char *kind, int signer);
void world_make_diagnostics_with(struct world *world, const int *signers, size_t count);
void world_make_timestamp(struct world *world);
void world_make_targets(struct world *world);
void world_make_lists(struct world *world);
/* The next version of everything below root, as a publication does. */
void world_make_news(struct world *world);
/* A good repository, of which the client has the first root. */
int world_setup(void **state);
int world_teardown(void **state);
/* A client that opens, or the test fails; one that goes through, too; one that does not, for a reason with
 * this word in it. */
struct metadata_client *world_client(struct world *world);
struct metadata_client *world_accepts(struct world *world);
void world_refuses_at(struct world *world, int64_t now, const char *word);
void world_refuses(struct world *world, const char *word);
/* Writes the server's file with `to` in place of `from`. */
void world_flip(struct world *world, const char *name, const char *from, const char *to);

#endif
