#include "repo/git.h"

#include "base/text.h"

#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIN "refs/heads/main"

struct gitrepo {
    git_repository *repository;
};

/* Handles of libgit2 close themselves. */
#define CLEANUP(type)                                                                                        \
    static void type##_done(git_##type **handle)                                                             \
    {                                                                                                        \
        git_##type##_free(*handle);                                                                          \
    }
CLEANUP(tree)
CLEANUP(commit)
CLEANUP(signature)
CLEANUP(reference)
CLEANUP(object)
CLEANUP(blob)
CLEANUP(odb)
CLEANUP(revwalk)
CLEANUP(diff)
CLEANUP(config)
#define HANDLE(type, name) __attribute__((cleanup(type##_done))) git_##type *name = NULL

static bool failed(struct error *err, int code, const char *what)
{
    const git_error *last = git_error_last();
    enum error_kind kind = code == GIT_ENOTFOUND ? ERROR_MISSING
                           : code == GIT_EEXISTS || code == GIT_EMODIFIED || code == GIT_ELOCKED
                               ? ERROR_CONFLICT
                               : ERROR_SYSTEM;
    return error_set(err, kind, "git: %s: %.300s", what, last ? last->message : "failed");
}

void gitrepo_start(void)
{
    git_libgit2_init();
    git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0); /* the caller chose the folder, whoever owns it */
    /* Nobody's settings but the repository's own. */
    const int levels[] = {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL,
                          GIT_CONFIG_LEVEL_PROGRAMDATA};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
}

void gitrepo_stop(void)
{
    git_libgit2_shutdown();
}

/* gc beside a writer destroyed repositories, so no stock git may start one by itself. */
static bool configure(git_repository *repository, struct error *err)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"gc.auto", "0"},
        {"gc.pruneExpire", "never"},
        {"maintenance.auto", "false"},
        {"receive.autogc", "false"},
        {"receive.denyNonFastForwards", "true"},
        {"receive.denyDeletes", "true"},
        {"core.fsync", "all"},
    };
    HANDLE(config, config);
    int code = git_repository_config(&config, repository);
    for (size_t i = 0; code == 0 && i < sizeof rows / sizeof *rows; i++)
        code = git_config_set_string(config, rows[i].name, rows[i].value);
    return code == 0 || failed(err, code, "configuring the repository");
}

static bool make(git_repository **repository, const char *path, struct error *err)
{
    git_repository_init_options options;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
    options.initial_head = "main";
    options.description = "Locum's assets. Read it with a stock git and git-lfs; write with locum only.\n";
    int code = git_repository_init_ext(repository, path, &options);
    return code == 0 ? configure(*repository, err) : failed(err, code, "making the repository");
}

struct gitrepo *gitrepo_open(const char *path, struct error *err)
{
    git_repository *repository = NULL;
    int code = git_repository_open_ext(&repository, path,
                                       GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, NULL);
    if (code == GIT_ENOTFOUND) {
        if (!make(&repository, path, err)) {
            git_repository_free(repository);
            return NULL;
        }
    } else if (code != 0) {
        failed(err, code, "opening the repository");
        return NULL;
    }
    struct gitrepo *git = calloc(1, sizeof *git);
    if (!git)
        abort();
    git->repository = repository;
    return git;
}

void gitrepo_close(struct gitrepo *git)
{
    if (git)
        git_repository_free(git->repository);
    free(git);
}

bool gitrepo_head(struct gitrepo *git, char commit[GIT_ID], struct error *err)
{
    git_oid id;
    int code = git_reference_name_to_id(&id, git->repository, MAIN);
    commit[0] = 0;
    if (code == GIT_ENOTFOUND)
        return true;
    if (code != 0)
        return failed(err, code, "reading main");
    git_oid_tostr(commit, GIT_ID, &id);
    return true;
}

static bool id_read(git_oid *id, const char *hex, struct error *err)
{
    return git_oid_fromstr(id, hex) == 0 || error_set(err, ERROR_INPUT, "\"%.60s\" is no git id", hex);
}

bool gitrepo_move_main(struct gitrepo *git, const char *from, const char *to, struct error *err)
{
    git_oid before, after;
    HANDLE(reference, reference);
    if (!id_read(&after, to, err) || (*from && !id_read(&before, from, err)))
        return false;
    int code =
        *from ? git_reference_create_matching(&reference, git->repository, MAIN, &after, 1, &before, NULL)
              : git_reference_create(&reference, git->repository, MAIN, &after, 0, NULL);
    return code == 0 || failed(err, code, "moving main");
}

bool gitrepo_put_blob(struct gitrepo *git, const void *bytes, size_t size, char blob[GIT_ID],
                      struct error *err)
{
    git_oid id;
    int code = git_blob_create_from_buffer(&id, git->repository, bytes, size);
    if (code != 0)
        return failed(err, code, "writing a file");
    git_oid_tostr(blob, GIT_ID, &id);
    return true;
}

/* Puts files, and perhaps one whole folder, into a tree that may be NULL. */
static bool tree_update(struct gitrepo *git, git_tree *base, const struct gitrepo_commit_request *request,
                        git_oid *tree, struct error *err)
{
    ARENA(arena);
    size_t count = 0;
    git_tree_update *updates = arena_array(&arena, request->file_count + 1, sizeof *updates);
    for (; count < request->file_count; count++) {
        const struct gitrepo_file *file = &request->files[count];
        updates[count].action = GIT_TREE_UPDATE_UPSERT;
        updates[count].filemode = file->executable ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
        updates[count].path = file->path;
        if (!id_read(&updates[count].id, file->blob, err))
            return false;
    }
    if (request->folder) {
        updates[count].action = GIT_TREE_UPDATE_UPSERT;
        updates[count].filemode = GIT_FILEMODE_TREE;
        updates[count].path = request->folder;
        if (!id_read(&updates[count++].id, request->folder_tree, err))
            return false;
    }
    int code = git_tree_create_updated(tree, git->repository, base, count, updates);
    return code == 0 || failed(err, code, "writing a folder");
}

bool gitrepo_put_folder(struct gitrepo *git, const struct gitrepo_file *files, size_t count,
                        char tree[GIT_ID], struct error *err)
{
    struct gitrepo_commit_request request = {.files = files, .file_count = count};
    git_oid id;
    if (!tree_update(git, NULL, &request, &id, err))
        return false;
    git_oid_tostr(tree, GIT_ID, &id);
    return true;
}

/* A person's name as git takes it: no line ends, no angle brackets, never empty. */
static int signature_make(git_signature **signature, const char *author, int64_t at)
{
    char name[128], mail[160];
    size_t size = 0;
    for (; author && *author && size < sizeof name - 1; author++)
        if ((unsigned char)*author >= 0x20 && !strchr("<>\x7f", *author))
            name[size++] = *author;
    name[size] = 0;
    snprintf(mail, sizeof mail, "%s@locum.invalid", size ? name : "locum");
    return git_signature_new(signature, size ? name : "locum", mail, at, 0);
}

bool gitrepo_put_commit(struct gitrepo *git, const struct gitrepo_commit_request *request,
                        char commit[GIT_ID], struct error *err)
{
    HANDLE(commit, parent);
    HANDLE(tree, base);
    HANDLE(tree, tree);
    HANDLE(signature, signature);
    git_oid id, tree_id;
    int code = 0;
    if (*request->parent) {
        if (!id_read(&id, request->parent, err))
            return false;
        code = git_commit_lookup(&parent, git->repository, &id);
        code = code ? code : git_commit_tree(&base, parent);
    }
    if (code != 0)
        return failed(err, code, "reading the commit before");
    if (!tree_update(git, base, request, &tree_id, err))
        return false;
    const git_commit *parents[] = {parent};
    code = git_tree_lookup(&tree, git->repository, &tree_id);
    code = code ? code : signature_make(&signature, request->author, request->at);
    code = code ? code
                : git_commit_create(&id, git->repository, NULL, signature, signature, "UTF-8",
                                    request->message, tree, parent ? 1 : 0, parents);
    if (code != 0)
        return failed(err, code, "writing a commit");
    git_oid_tostr(commit, GIT_ID, &id);
    return true;
}

bool gitrepo_tagged(struct gitrepo *git, const char *name, char commit[GIT_ID], struct error *err)
{
    char ref[256];
    HANDLE(reference, reference);
    HANDLE(object, target);
    snprintf(ref, sizeof ref, "refs/tags/%s", name);
    int code = git_reference_lookup(&reference, git->repository, ref);
    code = code ? code : git_reference_peel(&target, reference, GIT_OBJECT_COMMIT);
    if (code != 0)
        return failed(err, code, "reading a tag");
    git_oid_tostr(commit, GIT_ID, git_object_id(target));
    return true;
}

bool gitrepo_tag(struct gitrepo *git, const char *name, const char *commit, const char *author, int64_t at,
                 const char *message, struct error *err)
{
    char ref[256], there[GIT_ID];
    struct error ignored = {0};
    HANDLE(object, target);
    HANDLE(signature, signature);
    HANDLE(reference, reference);
    git_oid id, tag;
    if (gitrepo_tagged(git, name, there, &ignored))
        return string_is(there, commit) ||
               error_set(err, ERROR_CONFLICT, "git: the tag %s names another commit", name);
    snprintf(ref, sizeof ref, "refs/tags/%s", name);
    if (!id_read(&id, commit, err))
        return false;
    int code = git_object_lookup(&target, git->repository, &id, GIT_OBJECT_COMMIT);
    code = code ? code : signature_make(&signature, author, at);
    code = code ? code : git_tag_annotation_create(&tag, git->repository, name, target, signature, message);
    code = code ? code : git_reference_create(&reference, git->repository, ref, &tag, 0, NULL);
    return code == 0 || failed(err, code, "writing a tag");
}

static bool blob_read(struct arena *arena, git_blob *blob, size_t limit, const char *name, char **bytes,
                      size_t *size, struct error *err)
{
    *size = (size_t)git_blob_rawsize(blob);
    if (*size > limit)
        return error_set(err, ERROR_LIMIT, "\"%s\" in git has more than %zu bytes", name, limit);
    *bytes = arena_copy(arena, git_blob_rawcontent(blob), *size);
    return true;
}

bool gitrepo_read_blob(struct gitrepo *git, struct arena *arena, const char *blob_id, size_t limit,
                       char **bytes, size_t *size, struct error *err)
{
    HANDLE(blob, blob);
    git_oid id;
    if (!id_read(&id, blob_id, err))
        return false;
    int code = git_blob_lookup(&blob, git->repository, &id);
    if (code != 0)
        return failed(err, code, "reading a file");
    return blob_read(arena, blob, limit, blob_id, bytes, size, err);
}

static int commit_tree(struct gitrepo *git, const char *commit_id, git_tree **tree)
{
    HANDLE(commit, commit);
    git_oid id;
    int code = git_oid_fromstr(&id, commit_id);
    code = code ? code : git_commit_lookup(&commit, git->repository, &id);
    return code ? code : git_commit_tree(tree, commit);
}

bool gitrepo_read(struct gitrepo *git, struct arena *arena, const char *commit, const char *path,
                  size_t limit, char **bytes, size_t *size, struct error *err)
{
    HANDLE(tree, tree);
    git_tree_entry *entry = NULL;
    char blob[GIT_ID];
    int code = commit_tree(git, commit, &tree);
    code = code ? code : git_tree_entry_bypath(&entry, tree, path);
    if (code != 0)
        return failed(err, code, path);
    bool is_file = git_tree_entry_type(entry) == GIT_OBJECT_BLOB;
    git_oid_tostr(blob, GIT_ID, git_tree_entry_id(entry));
    git_tree_entry_free(entry);
    if (!is_file)
        return error_set(err, ERROR_MISSING, "git: \"%s\" is no file", path);
    return gitrepo_read_blob(git, arena, blob, limit, bytes, size, err);
}

struct listing {
    struct arena *arena;
    struct gitrepo_entry *entries;
    size_t count, room;
};

static int list_entry(const char *root, const git_tree_entry *entry, void *context)
{
    struct listing *list = context;
    if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
        return 0;
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct gitrepo_entry *grown = arena_array(list->arena, room, sizeof *grown);
        if (list->count > 0)
            memcpy(grown, list->entries, list->count * sizeof *grown);
        list->entries = grown;
        list->room = room;
    }
    struct gitrepo_entry *one = &list->entries[list->count++];
    one->path = arena_printf(list->arena, "%s%s", root, git_tree_entry_name(entry));
    one->mode = (int)git_tree_entry_filemode_raw(entry);
    git_oid_tostr(one->blob, GIT_ID, git_tree_entry_id(entry));
    return 0;
}

bool gitrepo_list(struct gitrepo *git, struct arena *arena, const char *commit, const char *folder,
                  struct gitrepo_entry **entries, size_t *count, struct error *err)
{
    HANDLE(tree, tree);
    HANDLE(tree, below);
    git_tree_entry *entry = NULL;
    struct listing list = {.arena = arena};
    *entries = NULL;
    *count = 0;
    int code = commit_tree(git, commit, &tree);
    if (code != 0)
        return failed(err, code, "reading a commit");
    code = *folder ? git_tree_entry_bypath(&entry, tree, folder) : 0;
    if (code == GIT_ENOTFOUND || (entry && git_tree_entry_type(entry) != GIT_OBJECT_TREE)) {
        git_tree_entry_free(entry);
        return true;
    }
    if (entry)
        code = git_tree_lookup(&below, git->repository, git_tree_entry_id(entry));
    git_tree_entry_free(entry);
    code = code ? code : git_tree_walk(below ? below : tree, GIT_TREEWALK_PRE, list_entry, &list);
    if (code != 0)
        return failed(err, code, folder);
    *entries = list.entries;
    *count = list.count;
    return true;
}

static bool commit_fill(struct gitrepo *git, struct arena *arena, const git_oid *id,
                        struct gitrepo_commit *one, struct error *err)
{
    HANDLE(commit, commit);
    int code = git_commit_lookup(&commit, git->repository, id);
    if (code != 0)
        return failed(err, code, "reading a commit");
    git_oid_tostr(one->id, GIT_ID, id);
    one->parents = (int)git_commit_parentcount(commit);
    one->parent[0] = 0;
    if (one->parents > 0)
        git_oid_tostr(one->parent, GIT_ID, git_commit_parent_id(commit, 0));
    one->author = arena_strdup(arena, git_commit_author(commit)->name);
    one->message = arena_strdup(arena, git_commit_message_raw(commit));
    one->at = git_commit_author(commit)->when.time;
    return true;
}

bool gitrepo_log(struct gitrepo *git, struct arena *arena, const char *from, const char *to,
                 struct gitrepo_commit **commits, size_t *count, struct error *err)
{
    HANDLE(revwalk, walk);
    git_oid id, hidden;
    size_t room = 16;
    *count = 0;
    *commits = arena_array(arena, room, sizeof **commits);
    if (string_is(from, to))
        return true;
    if (!id_read(&id, to, err) || (*from && !id_read(&hidden, from, err)))
        return false;
    if (*from && git_graph_descendant_of(git->repository, &id, &hidden) != 1)
        return error_set(err, ERROR_CONFLICT, "git: main does not descend from what was indexed");
    int code = git_revwalk_new(&walk, git->repository);
    code = code ? code : git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
    code = code ? code : git_revwalk_push(walk, &id);
    code = code || !*from ? code : git_revwalk_hide(walk, &hidden);
    while (code == 0 && (code = git_revwalk_next(&id, walk)) == 0) {
        if (*count == room) {
            struct gitrepo_commit *grown = arena_array(arena, 2 * room, sizeof *grown);
            memcpy(grown, *commits, room * sizeof *grown);
            *commits = grown;
            room *= 2;
        }
        if (!commit_fill(git, arena, &id, &(*commits)[*count], err))
            return false;
        ++*count;
    }
    return code == GIT_ITEROVER || failed(err, code, "walking the history");
}

bool gitrepo_changed(struct gitrepo *git, struct arena *arena, const char *a, const char *b,
                     const char ***paths, size_t *count, struct error *err)
{
    HANDLE(tree, before);
    HANDLE(tree, after);
    HANDLE(diff, diff);
    git_diff_options options;
    git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    int code = *a ? commit_tree(git, a, &before) : 0;
    code = code ? code : commit_tree(git, b, &after);
    code = code ? code : git_diff_tree_to_tree(&diff, git->repository, before, after, &options);
    if (code != 0)
        return failed(err, code, "comparing two commits");
    *count = git_diff_num_deltas(diff);
    *paths = arena_array(arena, *count + 1, sizeof **paths);
    for (size_t i = 0; i < *count; i++)
        (*paths)[i] = arena_strdup(arena, git_diff_get_delta(diff, i)->new_file.path);
    return true;
}

/* --- the check
 * ------------------------------------------------------------------------------------------------------ */

struct check {
    git_odb *odb;
    const atomic_bool *stop;
    int64_t objects, bad;
    gitrepo_report *report;
    void *context;
};

static void check_bad(struct check *check, const char *what, const char *name)
{
    char line[300];
    snprintf(line, sizeof line, "%s %.200s", what, name);
    check->bad++;
    check->report(check->context, line);
}

/* Reading verifies the hash: libgit2's strict verification is on by default. */
static int check_object(const git_oid *id, void *context)
{
    struct check *check = context;
    git_odb_object *object = NULL;
    if (*check->stop)
        return GIT_EUSER;
    check->objects++;
    if (git_odb_read(&object, check->odb, id) != 0)
        check_bad(check, "git object that does not read or has another hash:", git_oid_tostr_s(id));
    git_odb_object_free(object);
    return 0;
}

/* What a commit adds to its parent must be there; what it keeps was checked with the parent. */
static int check_commit(git_repository *repository, const git_oid *id, struct check *check)
{
    HANDLE(commit, commit);
    HANDLE(commit, parent);
    HANDLE(tree, tree);
    HANDLE(tree, before);
    HANDLE(diff, diff);
    int code = git_commit_lookup(&commit, repository, id);
    code = code ? code : git_commit_tree(&tree, commit);
    if (code == 0 && git_commit_parentcount(commit) > 0) {
        code = git_commit_parent(&parent, commit, 0);
        code = code ? code : git_commit_tree(&before, parent);
    }
    code = code ? code : git_diff_tree_to_tree(&diff, repository, before, tree, NULL);
    for (size_t i = 0; code == 0 && i < git_diff_num_deltas(diff); i++) {
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        if (delta->status != GIT_DELTA_DELETED && !git_odb_exists(check->odb, &delta->new_file.id))
            check_bad(check, "git object missing:", delta->new_file.path);
    }
    return code;
}

static bool check_reach(struct gitrepo *git, struct check *check, struct error *err)
{
    HANDLE(revwalk, walk);
    git_oid id;
    int code = git_revwalk_new(&walk, git->repository);
    code = code ? code : git_revwalk_push_glob(walk, "refs/*");
    if (code != 0)
        return failed(err, code, "walking the history");
    while (!*check->stop && (code = git_revwalk_next(&id, walk)) == 0)
        if (check_commit(git->repository, &id, check) != 0)
            check_bad(check, "git commit that does not read:", git_oid_tostr_s(&id));
    if (*check->stop)
        return error_set(err, ERROR_SYSTEM, "it was stopped before its end");
    if (code != GIT_ITEROVER)
        check_bad(check,
                  "git history that cannot be walked:", git_error_last() ? git_error_last()->message : "");
    return true;
}

bool gitrepo_check(struct gitrepo *git, const atomic_bool *stop, int64_t *objects, int64_t *bad,
                   gitrepo_report *report, void *context, struct error *err)
{
    HANDLE(odb, odb);
    int code = git_repository_odb(&odb, git->repository);
    if (code != 0)
        return failed(err, code, "opening the objects");
    struct check check = {.odb = odb, .stop = stop, .report = report, .context = context};
    code = git_odb_foreach(odb, check_object, &check);
    if (*stop)
        return error_set(err, ERROR_SYSTEM, "it was stopped before its end");
    if (code != 0)
        return failed(err, code, "reading the objects");
    bool good = check_reach(git, &check, err);
    *objects = check.objects;
    *bad = check.bad;
    return good;
}
