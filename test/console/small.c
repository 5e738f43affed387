#include "test/console/small.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "console/campaigns.h"
#include "console/checkin.h"
#include "console/delivery/approval.h"
#include "console/delivery/release.h"
#include "console/delivery/rollout.h"
#include "console/delivery/withdraw.h"
#include "console/devices.h"
#include "console/events.h"
#include "console/schema.h"
#include "diagnostics/diagnostics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int small_setup(void **state)
{
    struct small *small = calloc(1, sizeof *small);
    struct console *console = &small->console;
    struct error err = {0};
    char path[96];

    log_level = LOG_ERROR;
    scratch_make(&small->scratch);
    snprintf(path, sizeof path, "%s/console.db", small->scratch.path);
    console->data_dirfd = small->scratch.fd;
    console->db = db_open(path, schema_migrations, &err);
    assert_ok(console->db, err);
    console->repo = repo_open(small->scratch.fd, small->scratch.path, console->db, &err);
    assert_ok(console->repo, err);
    console->events = events_new();
    console->fleet = fleet_open(console, &err);
    assert_ok(console->fleet, err);
    console->rollouts = rollouts_open(console, &err);
    assert_ok(console->rollouts, err);
    console->diagnostics = campaigns_open(console, &err);
    assert_ok(console->diagnostics, err);
    repo_set_wanted(console->repo, release_wanted, console);
    repo_set_withheld(console->repo, withdrawn_withheld, console);
    repo_set_signatures(console->repo, approval_signatures, console);
    *state = small;
    return 0;
}

int small_teardown(void **state)
{
    struct small *small = *state;

    clock_shift(0);
    diagnostics_close(small->console.diagnostics);
    rollouts_close(small->console.rollouts);
    fleet_close(small->console.fleet);
    repo_close(small->console.repo);
    events_free(small->console.events);
    db_close(small->console.db);
    scratch_remove(&small->scratch);
    free(small);
    return 0;
}

void small_again(struct small *small)
{
    struct error err = {0};

    assert_ok(fleet_flush(&small->console, &err), err);
    fleet_close(small->console.fleet);
    small->console.fleet = fleet_open(&small->console, &err);
    assert_ok(small->console.fleet, err);
}

void small_wait(struct small *small, int64_t seconds)
{
    small->shifted += seconds;
    clock_shift(small->shifted);
}

static struct device *device_make(struct small *small, struct db_conn *conn, const char *name,
                                  const char *hardware, struct private_key *key)
{
    struct device device = {.admission = ADMISSION_ACCEPTED, .enrolled_at = clock_now(), .wish_stale = true};
    struct private_key made;
    struct error err = {0};

    private_key_make(key ? key : &made);
    device.key = key ? key->public : made.public;
    snprintf(device.name, sizeof device.name, "%s", name);
    snprintf(device.product, sizeof device.product, "demo");
    snprintf(device.hardware, sizeof device.hardware, "%s", hardware);
    assert_ok(device_insert(conn, &device, &err), err);
    fleet_lock(small->console.fleet);
    struct device *added = fleet_add(small->console.fleet, &device);
    fleet_unlock(small->console.fleet);
    return added;
}

struct device *small_device(struct small *small, const char *name, const char *hardware,
                            struct private_key *key)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    struct device *added = device_make(small, conn, name, hardware, key);
    assert_ok(db_commit(conn, &err), err);
    return added;
}

void small_many(struct small *small, int count)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);
    char name[16];

    assert_ok(conn, err);
    for (int n = 1; n <= count; n++) {
        snprintf(name, sizeof name, "d%04d", n);
        device_make(small, conn, name, "", NULL);
    }
    assert_ok(db_commit(conn, &err), err);
}

void small_publish(struct small *small, const char *asset, const char *version, const char *hardware)
{
    struct manifest_file file = {.path = "w", .length = (int64_t)strlen(version), .mode = 0644};
    const char *revisions[] = {hardware, NULL};
    struct publication publication = {.author = "ada"};
    struct published published;
    struct error err = {0};

    assert_ok(object_put(small->console.repo, version, strlen(version), file.sha256, &err), err);
    publication.manifest.kind = KIND_MODEL;
    strcpy(publication.manifest.product, "demo");
    strcpy(publication.manifest.asset, asset);
    strcpy(publication.manifest.version, version);
    publication.manifest.hardware = hardware ? revisions : NULL;
    publication.manifest.files = &file;
    publication.manifest.file_count = 1;
    assert_ok(repo_publish(small->console.repo, &publication, &published, &err), err);
}

bool small_checkin(struct small *small, struct device *device, const char *body, struct text *answer,
                   struct error *err)
{
    text_clear(answer);
    return device_checkin(&small->console, device->id, body, strlen(body), answer, err);
}
