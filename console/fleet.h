/* The fleet in memory: who is enrolled, sessions, what each device last said, whether it is connected.
 *
 * A check-in is answered from here without the database. What must survive a restart is written sorted, every
 * few seconds, by fleet_flush; identity and admission are written by devices.c before they change here. One
 * mutex guards all devices; nothing is done under it but memory: no database, no file, no signature. Order of
 * locks: database writer, then the fleet. */
#ifndef CONSOLE_FLEET_H
#define CONSOLE_FLEET_H

#include "base/arena.h"
#include "base/error.h"
#include "base/signature.h"
#include "console/console.h"
#include "repo/name.h"

#include <stdbool.h>
#include <stdint.h>

#define BOOT_ID_SIZE 65
#define RUN_ID_SIZE 33
#define TAG_SIZE 65
#define TAGS_MOST 32

enum admission { ADMISSION_PENDING, ADMISSION_ACCEPTED, ADMISSION_REJECTED, ADMISSION_RETIRED };
enum connectivity { NEVER_SEEN, ONLINE, LATE, OFFLINE };
const char *admission_name(enum admission admission);
bool admission_from_name(const char *name, enum admission *admission);
const char *connectivity_name(enum connectivity connectivity);

/* An asset as the device runs it. */
struct running_asset {
    char *asset, *version, *sha256; /* sha256 of the manifest */
    char *wanted, *reason;          /* a wanted version that failed, and why; NULL: none */
    const char *state;              /* "idle", "downloading", "downloaded", "updating" */
    int result;                     /* LwM2M 0-11 */
};

/* The diagnostic image that a device is on, by its own words. */
struct device_image {
    char run_id[RUN_ID_SIZE]; /* "": none */
    int64_t campaign, run;    /* run: its number in the campaign, 0 when not known */
    char image[NAME_SIZE], version[VERSION_SIZE];
    const char *state;           /* "running", "reverting", … */
    int64_t started_at, ends_at; /* Unix seconds, 0: not known */
};

struct fleet_group; /* console/fleet_parts.h */

struct device {
    int64_t id;                                                    /* row id */
    char name[NAME_SIZE], product[NAME_SIZE], hardware[NAME_SIZE]; /* hardware "": none */
    struct public_key key;
    enum admission admission;
    int64_t enrolled_at;
    bool clone_suspected;
    char **tags;                 /* NULL-terminated, sorted; owned; NULL: none */
    struct fleet_group **groups; /* that it is in; the array is owned, the groups are the fleet's */
    size_t group_count;

    /* Session. */
    uint8_t token[SHA256_SIZE];     /* SHA-256 of the token */
    int64_t token_expires_at;       /* 0: no session */
    int64_t session_counter;        /* highest seen; flushed */
    char session_nonce[SHA256_HEX]; /* the nonce that went with it */

    /* Last check-in. */
    int64_t last_seen;         /* Unix seconds, 0: never; flushed */
    int64_t heard_at;          /* Unix seconds, of its last request of any kind; 0: none since the start */
    int64_t excused_s;         /* of the silence since then: the console itself was away */
    int poll_s;                /* the interval that was answered */
    uint8_t said[SHA256_SIZE]; /* SHA-256 of the body, to see that nothing changed */
    int64_t generation, order_seen; /* order_seen: the seq that the device holds */
    char boot_id[BOOT_ID_SIZE], set[SHA256_HEX];
    struct running_asset *running; /* owned, sorted by asset */
    size_t running_count;
    char app_state[12]; /* "": not said yet */
    int64_t app_pid, app_since;
    struct device_image image;
    char *facts;   /* JSON object, owned; NULL: not said yet */
    char *waiting; /* why it waits, owned; NULL: nothing */
    char *safe;    /* safe mode: why the agent runs without the app, owned; NULL: it does not */

    /* What it should be. */
    bool development; /* takes no release and no rollout: console/delivery/pin.h */
    char *order;      /* signed document, owned; NULL: none yet */
    int64_t order_seq, order_expires_at;
    char order_wish[SHA256_HEX]; /* digest of what the order says */
    bool wish_stale;             /* a release, run or decision may have changed the wish */
    bool wish_taken;             /* somebody is thinking it over right now */
    int64_t work_from;           /* Unix seconds when its work on a diagnostic run begins or began; 0: none */
    bool offers;                 /* the order holds a run that was not given to the device yet */
    bool overdue;                /* an assignment's alarm: overdue, lost or revert_failed */

    /* Rollouts: console/fleet_rollout.c. */
    int rollout_level;  /* 2: it moves; 1: it may fall back; 0: nobody watches it */
    bool rollout_news;  /* it said something since rollouts looked at it */
    int64_t warm_until; /* Unix seconds: a rollout or campaign asks it soon, and it comes often until then */

    int64_t looked_until; /* Unix seconds: an operator looks at it, and it comes often until then */

    enum connectivity told;        /* what the browsers were told last */
    bool seen_dirty, report_dirty; /* to be flushed */
};

struct fleet;

/* Loads every device. `console` is borrowed and must have its database; sets nothing in it. */
struct fleet *fleet_open(struct console *console, struct error *err);
void fleet_close(struct fleet *fleet); /* writes nothing: call fleet_flush before; NULL is fine */

/* The row id of a name, looked up without the lock being held; 0 and MISSING. */
int64_t fleet_id_of(struct fleet *fleet, const char *name, struct error *err);

void fleet_lock(struct fleet *fleet);
void fleet_unlock(struct fleet *fleet);
/* All below need the lock. NULL when there is none. A device is never freed while the fleet is open. */
struct device *fleet_by_id(struct fleet *fleet, int64_t id);
struct device *fleet_by_name(struct fleet *fleet, const char *name);
struct device *fleet_by_key(struct fleet *fleet, const char *key_id);
/* All devices by name; *count of them. Valid while locked. */
struct device *const *fleet_all(struct fleet *fleet, size_t *count);
/* Takes a zeroed device with id, name, product, hardware, key, admission and enrolled_at set (copied) into
 * the fleet. */
struct device *fleet_add(struct fleet *fleet, const struct device *device);
enum connectivity device_connectivity(const struct fleet *fleet, const struct device *device, int64_t now);
/* Says that the console is awake. The time that it was not (the machine paused, the process stopped or
 * starved) is no device's silence: nobody could be heard. For whoever hears devices or judges silence. */
void fleet_keep_watch(struct fleet *fleet);
/* A request of its own came, whichever: it is not silent. */
void fleet_heard(struct fleet *fleet, struct device *device);
/* Seconds since it was heard; the time that the console itself was away does not count against a device. */
int64_t device_silence(const struct fleet *fleet, const struct device *device, int64_t now);
/* What of it this process has listened to: how long it was silent before a restart is known roughly, to a
 * flush. */
int64_t device_silence_witnessed(const struct fleet *fleet, const struct device *device, int64_t now);
/* Not heard since the console is back: from its start, or from having stood still. */
bool device_missed(const struct fleet *fleet, const struct device *device);
/* Marks a device's wish as to be thought over: its next check-in or the next orders_step does. */
void device_wish_changed(struct device *device);

/* Rollouts watch a device (2: it moves, 1: it may fall back, 0: not). */
void fleet_rollout_level(struct fleet *fleet, struct device *device, int level);
/* It said something new: one that is watched is looked at by the next step of rollouts. NULL is fine. */
void fleet_rollout_note(struct fleet *fleet, struct device *device);
/* Takes and gives the lock itself: at most `most` of those, which are no news any more. */
size_t fleet_rollout_take(struct fleet *fleet, int64_t *ids, size_t most);

/* Takes and gives the lock itself: the wish of all devices of a product may have changed. Returns how many.
 */
int64_t fleet_product_wish_changed(struct fleet *fleet, const char *product);
/* Numbers for pages and metrics, counted under the lock. */
struct fleet_counts {
    int64_t total, online, late, offline, never_seen, pending, on_image,
        overdue; /* retired and rejected are not counted */
};
void fleet_counts(struct fleet *fleet, struct fleet_counts *counts);
/* How a version of an asset is spread. */
struct adoption {
    const char *version; /* the caller's */
    int64_t devices;     /* that run it now */
    int64_t proven; /* accepted ones among them whose swap succeeded and whose app (if any) runs with it */
};
/* Fills the figures of the versions named in `adoptions`, in one look at the fleet. */
void fleet_adoption(struct fleet *fleet, const char *product, const char *asset, struct adoption *adoptions,
                    size_t count);
int64_t fleet_proven(struct fleet *fleet, const char *product, const char *asset, const char *version);
/* Does it run this version now? Needs the lock. */
bool device_runs(const struct device *device, const char *asset, const char *version);
int64_t fleet_of_product(struct fleet *fleet, const char *product); /* pending and accepted ones */

/* Who sends this session token ("Authorization: Bearer …" without the prefix)? DENIED with a sentence when it
 * is no session of ours, has ended, or the device was rejected or retired. `name` lives in the arena. From
 * memory. */
bool fleet_session_check(struct console *console, const char *bearer, int64_t *device_id, const char **name,
                         struct arena *arena, struct error *err);

/* A session: a nonce for a key id that is valid for 60 s and binds nothing in memory. */
void fleet_nonce(struct fleet *fleet, const char *key_id, char nonce[SHA256_HEX]);
struct session_opened {
    char token[SHA256_HEX + 24];
    int64_t expires_at;
    int64_t device_id;
    bool clone_found; /* this opening showed that the counter forked: the caller writes it down */
};
/* Opens a session for the holder of the key. MISSING: no such device; DENIED: rejected, retired, wrong
 * signature or nonce. */
bool fleet_session_open(struct fleet *fleet, const char *key_id, const char *nonce, int64_t counter,
                        const char *signature_hex, struct session_opened *opened, struct error *err);

/* Scheduler steps, each for one thread at a time.
 * Writes what changed since the last flush, sorted by device, in transactions of 1,000 devices: a device's
 * own words are never torn. Every 3 seconds one after the other, with room for others in between. */
bool fleet_flush_step(struct console *console, struct error *err);
/* The same at once: at the end. */
bool fleet_flush(struct console *console, struct error *err);
/* Tells browsers whose connectivity changed, and the counts. Every second. */
bool fleet_watch(struct console *console, struct error *err);

/* The idle interval of a fleet so large: clamp(devices / 50, 5, 60) seconds. */
int fleet_idle_interval(int64_t devices);
/* An operator looks at this device: it comes every 2 s for some minutes, however large the fleet is. The 64
 * that were looked at last, so that a script that looks at all does not make all of them come. Needs the
 * lock. */
void fleet_look(struct fleet *fleet, struct device *device);
/* What a device is told now. Needs the lock. */
int fleet_poll_interval(struct fleet *fleet, const struct device *device, int watchers);

#endif
