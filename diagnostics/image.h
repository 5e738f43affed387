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

#endif
