/* The database: SQLite with exactly one writing connection, behind a mutex, that also checkpoints, and
 * read-only ones. See traps.md: two writing connections can corrupt WAL in 3.40. Statements are prepared once
 * per connection and cached by their address, so `sql` must be a string literal. Parameters are named
 * (:name). */
#ifndef BASE_DB_H
#define BASE_DB_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;       /* the database: shared by all threads */
struct db_conn;  /* one connection: one thread at a time */
struct db_query; /* one running statement */

struct db_migration {
    int number;       /* 1, 2, … without gaps */
    const char *name; /* the file's name */
    const char *sql;
};
/* Opens (makes) the file and applies missing migrations (the table ends with a row without sql), each in one
 * transaction with the number noted in the table `migration`. Every table must be STRICT. A database that is
 * newer than the table is refused. The caller holds the instance lock. */
struct db *db_open(const char *path, const struct db_migration *migrations, struct error *err);
void db_close(struct db *db);

/* Reading: a pooled read-only connection, one consistent snapshot from db_read to db_done. */
struct db_conn *db_read(struct db *db, struct error *err);
/* Writing: waits for the one writer and begins an immediate transaction. */
struct db_conn *db_write(struct db *db, struct error *err);
/* Ends it: commit with synchronous=FULL (durable on return), or rollback. The connection goes back either
 * way. */
bool db_commit(struct db_conn *conn, struct error *err);
void db_done(struct db_conn *conn); /* rolls back a writer; gives back a reader; NULL is fine */
/* Moves the WAL into the file between commits; call it from the scheduler's thread. */
void db_checkpoint(struct db *db);

/* Starts a statement. A mistake in it is remembered and told by db_step/db_run. Never NULL. */
struct db_query *db_query(struct db_conn *conn, const char *sql);
void db_bind_text(struct db_query *query, const char *name, const char *value); /* NULL binds NULL; copied */
void db_bind_integer(struct db_query *query, const char *name, int64_t value);
void db_bind_null(struct db_query *query, const char *name);
/* true: a row is there. false: no more rows, or failure (db_end tells which). */
bool db_step(struct db_query *query);
/* Ends the statement. true when nothing failed. A violated unique or foreign key is a CONFLICT. Always call
 * it. */
bool db_end(struct db_query *query, struct error *err);
/* step + end for statements without rows; `changes` (may be NULL) is the number of rows changed. */
bool db_run(struct db_query *query, int64_t *changes, struct error *err);

/* Columns of the present row, by position. Text is valid until the next step or end; copy into the
 * arena. */
int64_t db_integer(struct db_query *query, int column);
const char *db_text(struct db_query *query, int column);                     /* NULL for NULL */
char *db_text_copy(struct db_query *query, int column, struct arena *arena); /* NULL for NULL */
bool db_is_null(struct db_query *query, int column);
int64_t db_last_id(struct db_conn *conn);

#define DB_DONE(name) __attribute__((cleanup(db_done_ptr))) struct db_conn *name
void db_done_ptr(struct db_conn **conn);

#endif
