/* A diagnostic image: an asset of kind diagnostic with the limits that its signers gave it. */
#ifndef DIAGNOSTICS_IMAGE_H
#define DIAGNOSTICS_IMAGE_H

#include "diagnostics/diagnostics.h"
#include "repo/manifest.h"

struct image {
    struct manifest manifest; /* has_limits is true */
    char sha256[SHA256_HEX];  /* of the manifest */
    bool listed;              /* the signed metadata list it: devices find it */
};
/* The image of a version; NULL: the newest. MISSING, or INPUT when the asset is no diagnostic image. Lives in
 * the arena. */
bool image_find(struct repo *repo, struct db_conn *conn, struct arena *arena, const char *product,
                const char *name, const char *version, struct image *image, struct error *err);
/* May it run so long, with these parameters? INPUT with the limit in the sentence. */
bool image_allows(const struct image *image, int64_t duration_s, const struct json *params,
                  struct error *err);

/* How devices came back from an image, over all its versions. Each number counts assignments. */
struct image_returns {
    int64_t begun;    /* that started it */
    int64_t returned; /* back, with a proof that the device's key signed */
    int64_t running;  /* still on it, within their deadline */
};
bool image_returns(struct db_conn *conn, const char *product, const char *name, struct image_returns *returns,
                   struct error *err);

#endif
