/* Names in the state folder (--state DIR, 0700). All are opened beneath the folder's descriptor. */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H

#define STATE_CONFIG "agent.conf"     /* settings when --config is not given; the owner's, never written */
#define STATE_IDENTITY "identity"     /* folder, 0700 */
#define STATE_KEY "identity/key.json" /* 0600, never leaves the device */
#define STATE_ENROLMENT                                                                                      \
    "identity/enrolment.json"            /* server, device, key id, product, hardware: written last */
#define STATE_CA "identity/ca.pem"       /* the authorities that are trusted */
#define STATE_COUNTER "identity/counter" /* session counter, raised before each use */
#define STATE_METADATA "metadata"        /* verified TUF metadata and the last order */
#define STATE_WISH "wish.json"           /* the last accepted order, verified, with what the metadata say */
#define STATE_START "start"              /* how often the agent was started in order */
#define STATE_OBJECTS                                                                                        \
    "objects" /* <sha256> 0444, <sha256>.x 0555, <sha256>.part while fetched, <sha256>.place */
#define STATE_MANIFESTS                                                                                      \
    "manifests" /* <sha256>: manifests of versions; <asset>@<version>: which one is installed */
#define STATE_VERSIONS "versions" /* <asset>/<version>/ hard links of objects */
#define STATE_SETS "sets" /* <n>/<asset> -> ../../versions/<asset>/<version>; <n>.json says what it holds */
#define STATE_CURRENT "current"                 /* -> sets/<n> */
#define STATE_JOURNAL "journal.json"            /* a swap under way; missing: none */
#define STATE_FLOORS "floors.json"              /* counters, clock, generation, bad sets */
#define STATE_OUTBOX "outbox"                   /* <number>-<id>.json: reports not yet answered */
#define STATE_RUNS "runs"                       /* <run id>.json: the worker's word on each assignment */
#define STATE_STATUS "status.json"              /* the live part of what `status` prints */
#define STATE_CONTACT "contact"                 /* empty; its time is that of the last answered check-in */
#define STATE_LOCK "agent.lock"                 /* held by the worker */
#define STATE_KEEPER "keeper"                   /* folder of the keeper's own files */
#define STATE_KEEPER_LOCK "keeper.lock"         /* held by the keeper */
#define STATE_KEEPER_SOCKET "keeper.sock"       /* worker and keeper */
#define STATE_KEEPER_LOG "keeper.log"           /* what a keeper says that was started by a worker */
#define STATE_APP_SOCKET "app.sock"             /* LOCUM_SOCKET */
#define STATE_KEEPER_RUNS "keeper/runs"         /* <run id>/{run.json,result.json,output/} */
#define STATE_KEEPER_UID "keeper/uid"           /* the uid that images ran as last */
#define STATE_KEEPER_CONSUMED "keeper/consumed" /* <run id>: it has started, never again */

#define KEEPER_WAIT_S 90 /* at most so long the worker waits for an answer beyond the settings' own times */

#endif
