/* The data folder: one process at a time has it open. */
#ifndef CONSOLE_DATA_H
#define CONSOLE_DATA_H

#include "console/console.h"

#define INSTANCE_LOCK "instance.lock"
#define DATABASE "console.db"

/* What is open of a data folder; zero is nothing. */
struct data {
    int dirfd, lock; /* -1: not open */
    char *path;      /* absolute */
    struct db *db;
    struct repo *repo;
};

/* Takes the instance lock (CONFLICT when another process has it) and opens the database; makes a missing
 * folder when `make`, else it is MISSING. On failure nothing stays open. */
bool data_open(struct data *data, const char *path, bool make, struct error *err);
/* Opens the repository as well. */
bool data_open_repo(struct data *data, struct error *err);
void data_close(struct data *data);

#endif
