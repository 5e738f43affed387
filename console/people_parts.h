/* What the files of people share. */
#ifndef CONSOLE_PEOPLE_PARTS_H
#define CONSOLE_PEOPLE_PARTS_H

#include "console/people.h"

#include <pthread.h>
#include <stdatomic.h>

#define ATTEMPTS_KEPT 1024
#define CHECKS_AT_ONCE 2

struct attempt {
    char key[SHA256_HEX]; /* of name and address */
    int64_t since;        /* Unix seconds of the first failure; 0: free */
    int failures;
};

struct people {
    pthread_mutex_t lock;
    pthread_cond_t check_ends;
    int checks; /* passwords being checked */
    struct attempt attempts[ATTEMPTS_KEPT];
    char setup[SHA256_HEX];          /* hash of the set-up link's token; empty: none */
    char nobody[PASSWORD_HASH_SIZE]; /* what unknown names are compared with */
    _Atomic int64_t changes;
};

void secret_make(const char *prefix, char secret[SECRET_SIZE]);
void secret_hash(const char *secret, char hash[SHA256_HEX]);
/* Commits and empties the handle, so that the end of the scope leaves it alone. */
bool commit(struct db_conn **conn, struct error *err);

#endif
