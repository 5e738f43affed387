/* What lives as long as the server: handed to every request. Modules keep their own state behind their own
 * opaque struct. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include "base/db.h"
#include "repo/repo.h"

#include <pthread.h>

struct events;      /* console/events.h: live events to browsers */
struct fleet;       /* console/fleet.h: devices in memory: sessions, last check-in, connectivity */
struct diagnostics; /* diagnostics/diagnostics.h: campaigns of temporary diagnostic images */
struct rollouts;    /* console/delivery/rollout.h: staged moves of devices to a version */
struct deltas;      /* console/deltas.h: deltas of objects for devices */
struct hooks;       /* console/hooks.h: web addresses that are told what happens */
struct people;      /* console/people.h: sign-in limits, the set-up link */
struct pages;       /* console/pages.h: the built pages */
struct scheduler;   /* console/scheduler.h: what is done again and again */
struct server;      /* console/server.h */

struct console {
    struct db *db;
    struct repo *repo;
    struct events *events;
    struct fleet *fleet;
    struct people *people;
    struct pages *pages;
    struct scheduler *scheduler;
    struct server *server;
    struct diagnostics *diagnostics;
    struct rollouts *rollouts;
    struct deltas *deltas;     /* NULL: none */
    struct hooks *hooks;       /* NULL: nothing is sent now */
    pthread_mutex_t releasing; /* one release at a time: announced, committed, settled */
    int data_dirfd;            /* --data */
    const char *data_path;
    const char *people_url;       /* as printed at start, for URLs in answers */
    const char *device_url;       /* what claim codes and agents get: https://host:8443 */
    const char *ca_pem;           /* the devices' authority, PEM */
    char ca_fingerprint[65];      /* SHA-256 of its DER, hex */
    _Atomic int64_t object_bytes; /* bytes of objects sent to devices and people since the start */
    _Atomic int64_t
        database_well_ms; /* console/health.c: when it was last seen well, boot clock; 0: it was not */
    int64_t started_at;
    bool step_has_more; /* the scheduler's thread alone: the running step left some of its work for soon */
    bool plain_http;    /* people's listener has no TLS: cookie without Secure */
};

#endif
