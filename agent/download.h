/* Getting a whole object: plain or packed, resumed after a cut, hashed while it comes. */
#ifndef AGENT_DOWNLOAD_H
#define AGENT_DOWNLOAD_H

#include "agent/fetch.h"
#include "agent/place.h"

/* One object on its way. */
struct download {
    struct fetch *fetch;
    const struct manifest_file *file;
    int objects, part;  /* the folder, and <sha256>.part in it: borrowed */
    int64_t held;       /* bytes of the object in the part, and those that wait */
    struct sha256 hash; /* of them */
    char *waiting;      /* what came in small pieces is written in larger ones */
    size_t waiting_size;
    bool unwritten; /* a write failed: what the part holds is to be looked at anew */

    struct http_answer answer; /* its status is known before the first byte */
    bool begun;                /* the answer's first bytes were looked at */
    bool wrong;                /* the packed bytes are no good */
    struct place place;        /* PLACE_PACKED: as it was noted last */
    struct place base;         /* PLACE_PACKED: where `unpack` began */
    struct unpack *unpack;     /* NULL: it comes as it is */
    int64_t in;                /* bytes of the packed stream that came in all */
};

/* Hashes what an earlier attempt left, and stands at its end. */
bool download_open(struct download *download, struct fetch *fetch, int objects, int part,
                   const struct manifest_file *file, struct error *err);
/* Bytes until the length is reached; goes on after cuts as long as each attempt brings some. Packed bytes
 * that are no good are told and the object is taken as it is. On failure fetch->result says why, and what
 * came is noted. */
bool download_run(struct download *download, struct error *err);
/* From the start again, as it is. */
bool download_again(struct download *download, struct error *err);
/* The hash of all that is held. */
void download_hash(struct download *download, char sha256[SHA256_HEX]);
/* Frees; the part and its note stay. */
void download_close(struct download *download);

#endif
