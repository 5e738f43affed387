/* A console of a few lines, in a process of its own, that offers one delta and cuts, lies and forgets as a
 * test asks it to. */
#ifndef TEST_AGENT_PEER_H
#define TEST_AGENT_PEER_H

#include "test/agent/disk.h"

#include "base/digest.h"

#define PEER_BLOCKS 6
#define PEER_COPY (64 << 10)   /* of each block, from the old file */
#define PEER_FRESH (200 << 10) /* of each block */
#define PEER_NEW_LENGTH (PEER_BLOCKS * (PEER_COPY + PEER_FRESH))
#define PEER_OLD_LENGTH (PEER_BLOCKS * PEER_COPY + 1000)

/* The two files, and the length of the delta between them. */
extern uint8_t peer_old[PEER_OLD_LENGTH], peer_new[PEER_NEW_LENGTH];
extern char peer_old_sha256[SHA256_HEX], peer_new_sha256[SHA256_HEX];
extern size_t peer_delta_length;

/* What it is to do, and what it saw: shared with its process. */
struct peer {
    int again;       /* answers 202 so often */
    bool unknown;    /* of before deltas */
    bool gone;       /* the delta is there when it is asked for, and then it is not */
    int64_t cut;     /* each answer ends after so many bytes of its body; 0: whole */
    int64_t damaged; /* this byte of the delta is another; 0: none */
    bool longer;     /* it offers a delta, and sends without an end */
    bool damaged_whole;

    int asked, deltas, wholes, ranges; /* ranges: of deltas that went on */
    int64_t sent;                      /* bytes of bodies */
};
extern struct peer *peer;
extern int peer_port; /* of 127.0.0.1 */

/* Around all tests of a program. */
int peer_begin(void **state);
int peer_end(void **state);

#endif
