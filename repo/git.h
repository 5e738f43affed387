/* The git side of the asset repository: the only home of libgit2. Writing needs a thread with a stack of 1
 * MiB or more. A handle is for one thread at a time. */
#ifndef REPO_GIT_H
#define REPO_GIT_H

#include "base/arena.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdint.h>

#define GIT_ID 41 /* with NUL: an object's id in hex */

void gitrepo_start(void); /* the library, once per git_stop; durable writes on */
void gitrepo_stop(void);

struct gitrepo;
/* Opens the bare repository at `path`, or makes it with the branch main. NULL and `err` on failure. */
struct gitrepo *gitrepo_open(const char *path, struct error *err);
void gitrepo_close(struct gitrepo *git); /* NULL is fine */

/* The commit of main; "" when there is none yet. */
bool gitrepo_head(struct gitrepo *git, char commit[GIT_ID], struct error *err);
/* Moves main from `from` ("": from nothing) to `to`, durably, or fails with CONFLICT when it stands
 * elsewhere. */
bool gitrepo_move_main(struct gitrepo *git, const char *from, const char *to, struct error *err);

/* A file of a tree to be made. */
struct gitrepo_file {
    const char *path;
    char blob[GIT_ID];
    bool executable;
};
bool gitrepo_put_blob(struct gitrepo *git, const void *bytes, size_t size, char blob[GIT_ID],
                      struct error *err);
/* A folder with exactly these files. */
bool gitrepo_put_folder(struct gitrepo *git, const struct gitrepo_file *files, size_t count,
                        char tree[GIT_ID], struct error *err);

struct gitrepo_commit_request {
    const char *parent; /* "": the first commit */
    const char *folder; /* path whose tree is replaced; NULL: none */
    const char *folder_tree;
    const struct gitrepo_file *files; /* single files put besides */
    size_t file_count;
    const char *author, *message;
    int64_t at; /* Unix seconds */
};
/* Writes trees and the commit; no ref is moved. */
bool gitrepo_put_commit(struct gitrepo *git, const struct gitrepo_commit_request *request,
                        char commit[GIT_ID], struct error *err);
/* An annotated tag. Fine when it is there for the same commit, CONFLICT when for another. */
bool gitrepo_tag(struct gitrepo *git, const char *name, const char *commit, const char *author, int64_t at,
                 const char *message, struct error *err);
/* The commit that a tag names; MISSING. */
bool gitrepo_tagged(struct gitrepo *git, const char *name, char commit[GIT_ID], struct error *err);

/* A file at a commit, NUL added. MISSING, or LIMIT above `limit` bytes. */
bool gitrepo_read(struct gitrepo *git, struct arena *arena, const char *commit, const char *path,
                  size_t limit, char **bytes, size_t *size, struct error *err);
bool gitrepo_read_blob(struct gitrepo *git, struct arena *arena, const char *blob, size_t limit, char **bytes,
                       size_t *size, struct error *err);

struct gitrepo_entry {
    const char *path; /* below the folder asked for */
    char blob[GIT_ID];
    int mode; /* as git writes it: 0100644, 0100755, … */
};
/* Every file below a folder of a commit; nothing when the folder is not there. */
bool gitrepo_list(struct gitrepo *git, struct arena *arena, const char *commit, const char *folder,
                  struct gitrepo_entry **entries, size_t *count, struct error *err);

struct gitrepo_commit {
    char id[GIT_ID], parent[GIT_ID]; /* parent "" at the first */
    int parents;
    const char *author, *message;
    int64_t at;
};
/* The commits of main after `from` ("": all) up to `to`, oldest first. CONFLICT when `from` is no ancestor.
 */
bool gitrepo_log(struct gitrepo *git, struct arena *arena, const char *from, const char *to,
                 struct gitrepo_commit **commits, size_t *count, struct error *err);
/* Paths in which two commits differ ("" as `a`: all of `b`), files only. */
bool gitrepo_changed(struct gitrepo *git, struct arena *arena, const char *a, const char *b,
                     const char ***paths, size_t *count, struct error *err);

/* Reads every object in the database, checking its hash, and that all that the refs reach is there. Counts
 * objects; gives the first `*bad` sentences to `report`. False only when the check itself could not be made,
 * or when `*stop`, looked at between objects, became true. */
typedef void gitrepo_report(void *context, const char *line);
bool gitrepo_check(struct gitrepo *git, const atomic_bool *stop, int64_t *objects, int64_t *bad,
                   gitrepo_report *report, void *context, struct error *err);

#endif
