/* A repository in a folder of its own, and things to publish in it. */
#ifndef TEST_REPO_FIXTURE_H
#define TEST_REPO_FIXTURE_H

#include "base/db.h"
#include "repo/repo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct fixture {
    char path[64]; /* the data folder */
    int dirfd;
    struct db *db;
    struct repo *repo;
};

extern const char *fixture_parent; /* where the folders are made: /tmp */
struct fixture *fixture_new(void); /* with an open repository */
void fixture_free(struct fixture *fixture);
void fixture_open(struct fixture *fixture);
bool fixture_try_open(struct fixture *fixture, struct error *err);
void fixture_close(struct fixture *fixture);
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* One file of a version to be published. */
struct content {
    const char *path;
    const void *bytes;
    size_t size;
    int mode; /* 0: 0644 */
};
/* Puts the objects and publishes "demo/<asset>" as kind data, or diagnostic when a file is called
 * diagnostic.json. */
bool publish_files(struct fixture *fixture, const char *asset, const char *version,
                   const struct content *files, size_t count, struct published *published, struct error *err);
/* One file "model.bin" with this text. */
bool publish_text(struct fixture *fixture, const char *asset, const char *version, const char *text,
                  struct published *published, struct error *err);
#define must(expression)                                                                                     \
    do {                                                                                                     \
        if (!(expression))                                                                                   \
            fail_msg("%s: %s", #expression, err.text);                                                       \
    } while (0)

/* Runs a command of sh; its exit status. */
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
