/* The tables of 002-repo.sql, made from git: the one writer of them. */
#include "repo/store.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* What a commit says that it is: "<product>/<asset> <version>" or "<product>: <reason>". */
struct deed {
    enum { DEED_OTHER, DEED_PUBLISH, DEED_RELEASE, DEED_GROUP_RELEASE, DEED_WITHDRAW, DEED_LIST } what;
    char product[NAME_SIZE], asset[NAME_SIZE], version[VERSION_SIZE]; /* "": none */
    const char *title, *notes;                                        /* of a publication; NULL: none */
};

bool index_head(struct repo *repo, char commit[GIT_ID], struct error *err)
{
    DB_DONE(conn) = db_read(repo->db, err);
    commit[0] = 0;
    if (!conn)
        return false;
    struct db_query *query = db_query(conn, "SELECT commit_id FROM repo_head WHERE id = 1");
    if (db_step(query))
        snprintf(commit, GIT_ID, "%s", db_text(query, 0));
    return db_end(query, err);
}

static void body_read(struct arena *arena, const char *body, struct deed *deed)
{
    static const char head[] = "Title: ";
    if (strncmp(body, head, strlen(head)) == 0) {
        body += strlen(head);
        size_t size = strcspn(body, "\n");
        deed->title = size ? arena_copy(arena, body, size) : NULL;
        body += size;
        body += string_starts(body, "\n\n") ? 2 : strlen(body);
    }
    deed->notes = *body ? arena_strdup(arena, body) : NULL;
}

/* Which asset a word of ours is about: "<asset>" or "<product>/<asset>"; "" in the deed when it is none. */
static void asset_read(const char *word, size_t size, bool alone, struct deed *deed)
{
    char name[2 * NAME_SIZE];
    size_t product = strlen(deed->product);
    if (size >= sizeof name)
        return;
    memcpy(name, word, size);
    name[size] = 0;
    bool full = strncmp(name, deed->product, product) == 0 && name[product] == '/';
    const char *asset = full ? name + product + 1 : name;
    if ((full || alone) && name_is_valid(asset))
        memcpy(deed->asset, asset, strlen(asset) + 1);
}

/* "release <asset> <version>" (or "<product>/<asset>") is a release, with " to group <name>" after it one to
 * a group, "withdraw <asset> <version>" a withdrawal; "<product>/<asset>: …" is about that asset, any other
 * reason about all of the product. */
static void reason_read(const char *reason, struct deed *deed)
{
    struct error ignored = {0};
    bool withdraw = string_starts(reason, "withdraw ");
    if (!withdraw && !string_starts(reason, "release ")) {
        size_t size = strcspn(reason, ": \n");
        if (reason[size] == ':')
            asset_read(reason, size, false, deed);
        return;
    }
    const char *asset = reason + strlen(withdraw ? "withdraw " : "release "),
               *version = asset + strcspn(asset, " \n");
    asset_read(asset, (size_t)(version - asset), true, deed);
    version += *version == ' ';
    size_t size = strcspn(version, " \n");
    if (!*deed->asset || size >= sizeof deed->version)
        return;
    memcpy(deed->version, version, size);
    deed->version[size] = 0;
    if (version_check(deed->version, &ignored))
        deed->what = withdraw                                      ? DEED_WITHDRAW
                     : string_starts(version + size, " to group ") ? DEED_GROUP_RELEASE
                                                                   : DEED_RELEASE;
    else
        deed->version[0] = 0;
}

static void deed_read(struct arena *arena, const char *message, struct deed *deed)
{
    size_t line_size = strcspn(message, "\n");
    char *line = arena_copy(arena, message, line_size);
    char *space = strchr(line, ' ');
    struct error ignored = {0};
    *deed = (struct deed){.what = DEED_OTHER};
    if (!space)
        return;
    *space = 0;
    if (space > line && space[-1] == ':') {
        space[-1] = 0;
        if (!name_is_valid(line))
            return;
        deed->what = DEED_LIST;
        snprintf(deed->product, sizeof deed->product, "%s", line);
        reason_read(message + (space + 1 - line), deed);
    } else if (asset_name_split(line, deed->product, deed->asset, NULL, &ignored) &&
               version_check(space + 1, &ignored)) {
        deed->what = DEED_PUBLISH;
        snprintf(deed->version, sizeof deed->version, "%s", space + 1);
        const char *body = message + line_size;
        if (string_starts(body, "\n\n"))
            body_read(arena, body + 2, deed);
    }
}

static const char *hardware_json(struct arena *arena, const char **hardware)
{
    TEXT(out);
    struct json_writer writer;
    json_write_init(&writer, &out);
    json_write_array(&writer, NULL);
    for (; hardware && *hardware; hardware++)
        json_write_string(&writer, NULL, *hardware);
    json_write_end(&writer, ']');
    return arena_strdup(arena, text_string(&out));
}

static const char *requires_json(struct arena *arena, const struct json *requires)
{
    TEXT(out);
    struct json_writer writer;
    json_write_init(&writer, &out);
    json_write_value(&writer, NULL, requires);
    return arena_strdup(arena, text_string(&out));
}

static bool asset_upsert(struct db_conn *conn, const struct manifest *manifest, int64_t at, struct error *err)
{
    struct db_query *query = db_query(
        conn, "INSERT INTO assets (product, name, kind, newest, versions, published_at) "
              "VALUES (:product, :asset, :kind, :version, 1, :at) ON CONFLICT (product, name) DO UPDATE SET "
              "newest = excluded.newest, versions = versions + 1, published_at = excluded.published_at");
    db_bind_text(query, ":product", manifest->product);
    db_bind_text(query, ":asset", manifest->asset);
    db_bind_text(query, ":kind", kind_name(manifest->kind));
    db_bind_text(query, ":version", manifest->version);
    db_bind_integer(query, ":at", at);
    return db_run(query, NULL, err);
}

static bool version_insert(struct db_conn *conn, struct arena *arena, const struct gitrepo_commit *commit,
                           int64_t number, const struct deed *deed, const struct manifest *manifest,
                           const char *sha256, const char *marker, struct error *err)
{
    struct db_query *query = db_query(
        conn,
        "INSERT INTO versions (number, product, asset, version, manifest, commit_id, activation, counter, "
        "published_at, files, length, author, title, notes, hardware, requires, marker) VALUES (:number, "
        ":product, "
        ":asset, "
        ":version, :manifest, :commit, :activation, :counter, :at, :files, :length, :author, :title, :notes, "
        ":hardware, :requires, :marker)");
    db_bind_integer(query, ":number", number);
    db_bind_text(query, ":product", manifest->product);
    db_bind_text(query, ":asset", manifest->asset);
    db_bind_text(query, ":version", manifest->version);
    db_bind_text(query, ":manifest", sha256);
    db_bind_text(query, ":commit", commit->id);
    db_bind_text(query, ":activation", activation_name(manifest->activation));
    db_bind_integer(query, ":counter", manifest->counter);
    db_bind_integer(query, ":at", commit->at);
    db_bind_integer(query, ":files", (int64_t)manifest->file_count);
    db_bind_integer(query, ":length", manifest->total);
    db_bind_text(query, ":author", commit->author);
    db_bind_text(query, ":title", deed->title);
    db_bind_text(query, ":notes", deed->notes);
    db_bind_text(query, ":hardware", hardware_json(arena, manifest->hardware));
    db_bind_text(query, ":requires", requires_json(arena, manifest->requires));
    db_bind_text(query, ":marker", marker);
    return db_run(query, NULL, err);
}

static bool history_insert(struct db_conn *conn, const struct gitrepo_commit *commit, int64_t number,
                           const struct deed *deed, struct error *err)
{
    static const char *const words[] = {[DEED_PUBLISH] = "publish",
                                        [DEED_RELEASE] = "release",
                                        [DEED_GROUP_RELEASE] = "group_release",
                                        [DEED_WITHDRAW] = "withdraw",
                                        [DEED_LIST] = "list"};
    bool publish = deed->what == DEED_PUBLISH;
    struct db_query *query = db_query(
        conn, "INSERT INTO history (number, commit_id, product, asset, what, version, author, message, at) "
              "VALUES (:number, :commit, :product, :asset, :what, :version, :author, :message, :at)");
    db_bind_integer(query, ":number", number);
    db_bind_text(query, ":commit", commit->id);
    db_bind_text(query, ":product", deed->product);
    db_bind_text(query, ":asset", deed->asset);
    db_bind_text(query, ":what", words[deed->what]);
    db_bind_text(query, ":version", *deed->version ? deed->version : NULL);
    db_bind_text(query, ":author", commit->author);
    db_bind_text(query, ":message", publish ? commit->message : commit->message + strlen(deed->product) + 2);
    db_bind_integer(query, ":at", commit->at);
    return db_run(query, NULL, err);
}

/* The manifest that a publication brought, by git; it must be the one that the message names. */
static bool manifest_of(struct repo *repo, struct arena *arena, const struct gitrepo_commit *commit,
                        const struct deed *deed, struct manifest *manifest, char sha256[SHA256_HEX],
                        struct error *err)
{
    char path[2 * NAME_SIZE + 32], *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s/%s/manifest.json", deed->product, deed->asset);
    if (!gitrepo_read(repo->git, arena, commit->id, path, MANIFEST_BYTES_LIMIT, &bytes, &size, err) ||
        !manifest_read(arena, bytes, size, manifest, err))
        return false;
    sha256_hex(bytes, size, sha256);
    return (string_is(manifest->product, deed->product) && string_is(manifest->asset, deed->asset) &&
            string_is(manifest->version, deed->version)) ||
           error_set(err, ERROR_CONFLICT, "its manifest is of %s/%s %s", manifest->product, manifest->asset,
                     manifest->version);
}

/* Column "marker": read again from the files, which are what the version is. */
static const char *marker_word(struct repo *repo, const struct manifest *manifest)
{
    struct marker_check check;
    struct error ignored = {0};

    if (!kind_has_marker(manifest->kind) || !markers_read(repo, manifest, &check, &ignored))
        return NULL;
    return check.marked ? "marked" : "unmarked";
}

static bool commit_index(struct repo *repo, struct db_conn *conn, const struct gitrepo_commit *commit,
                         int64_t number, struct error *err)
{
    ARENA(arena);
    struct deed deed;
    struct manifest manifest;
    char sha256[SHA256_HEX];
    struct error wrong = {0};
    deed_read(&arena, commit->message, &deed);
    if (deed.what == DEED_OTHER)
        return true;
    if (deed.what != DEED_PUBLISH)
        return history_insert(conn, commit, number, &deed, err);
    if (!manifest_of(repo, &arena, commit, &deed, &manifest, sha256, &wrong)) {
        log_event(LOG_WARNING, "commit_left_out", "commit=%s", commit->id);
        return true; /* a commit that is not ours must not stop the others */
    }
    return asset_upsert(conn, &manifest, commit->at, err) &&
           version_insert(conn, &arena, commit, number, &deed, &manifest, sha256,
                          marker_word(repo, &manifest), err) &&
           history_insert(conn, commit, number, &deed, err);
}

static bool head_write(struct db_conn *conn, const char *commit, int64_t number, struct error *err)
{
    struct db_query *query =
        db_query(conn, "INSERT INTO repo_head (id, commit_id, number) VALUES (1, :commit, "
                       ":number) ON CONFLICT (id) DO UPDATE SET commit_id = "
                       "excluded.commit_id, number = excluded.number");
    db_bind_text(query, ":commit", commit);
    db_bind_integer(query, ":number", number);
    return db_run(query, NULL, err);
}

static bool head_number(struct db_conn *conn, int64_t *number, struct error *err)
{
    struct db_query *query = db_query(conn, "SELECT number FROM repo_head WHERE id = 1");
    *number = db_step(query) ? db_integer(query, 0) : 0;
    return db_end(query, err);
}

static bool tables_empty(struct db_conn *conn, struct error *err)
{
    return db_run(db_query(conn, "DELETE FROM history"), NULL, err) &&
           db_run(db_query(conn, "DELETE FROM versions"), NULL, err) &&
           db_run(db_query(conn, "DELETE FROM assets"), NULL, err) &&
           db_run(db_query(conn, "DELETE FROM image_signers"), NULL, err) &&
           db_run(db_query(conn, "DELETE FROM repo_head"), NULL, err);
}

static bool target_mark(struct db_conn *conn, const char *path, struct error *err)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", path);
    char *save, *role = strtok_r(copy, "/", &save), *product = strtok_r(NULL, "/", &save),
                *asset = strtok_r(NULL, "/", &save), *version = strtok_r(NULL, "", &save);
    if (!role || !version)
        return true;
    struct db_query *query =
        db_query(conn, "UPDATE versions SET listed = 1 WHERE product = :product AND asset = "
                       ":asset AND version = :version");
    db_bind_text(query, ":product", product);
    db_bind_text(query, ":asset", asset);
    db_bind_text(query, ":version", version);
    return db_run(query, NULL, err);
}

/* Column "listed" of one delegated file's product. */
static bool listed_follow(struct repo *repo, struct db_conn *conn, const char *commit, const char *name,
                          struct error *err)
{
    ARENA(arena);
    const struct json *part, *targets;
    const char *dash = strchr(name, '-');
    if (!dash)
        return true;
    struct db_query *query =
        db_query(conn, "UPDATE versions SET listed = 0 WHERE product = :product AND listed = 1 AND asset IN "
                       "(SELECT name FROM "
                       "assets WHERE product = :product AND (kind = 'diagnostic') = :diagnostic)");
    char *product = arena_copy(&arena, dash + 1, strlen(dash + 1) - strlen(".json"));
    db_bind_text(query, ":product", product);
    db_bind_integer(query, ":diagnostic", string_starts(name, "diagnostics-"));
    if (!db_run(query, NULL, err) || !signed_part_read(repo, &arena, commit, name, &part, err))
        return false;
    targets = json_get(part, "targets");
    for (const struct json *one = targets ? targets->first : NULL; one; one = one->next)
        if (!target_mark(conn, one->key, err))
            return false;
    return true;
}

/* Table "image_signers", from the targets of a commit. */
static bool signers_follow(struct repo *repo, struct db_conn *conn, const char *commit, struct error *err)
{
    static const char prefix[] = "diagnostics-";
    ARENA(arena);
    const struct json *targets;
    if (!signed_part_read(repo, &arena, commit, "targets.json", &targets, err) ||
        !db_run(db_query(conn, "DELETE FROM image_signers"), NULL, err))
        return false;
    const struct json *roles = json_get(json_get(targets, "delegations"), "roles");
    for (const struct json *one = roles ? roles->first : NULL; one; one = one->next) {
        const char *name = json_string(one, "name");
        if (!name || strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        struct db_query *query = db_query(conn, "INSERT INTO image_signers (product, signatures)"
                                                " VALUES (:product, :signatures)");
        db_bind_text(query, ":product", name + strlen(prefix));
        db_bind_integer(query, ":signatures", listing_signatures(targets, name + strlen(prefix)));
        if (!db_run(query, NULL, err))
            return false;
    }
    return true;
}

static bool listed_follow_all(struct repo *repo, struct db_conn *conn, const char *from, const char *to,
                              struct error *err)
{
    ARENA(arena);
    const char **paths;
    size_t count;
    if (!gitrepo_changed(repo->git, &arena, from, to, &paths, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (string_is(paths[i], "metadata/targets.json") && !signers_follow(repo, conn, to, err))
            return false;
        if (string_starts(paths[i], "metadata/") && !string_starts(paths[i], "metadata/root/") &&
            !listed_follow(repo, conn, to, paths[i] + strlen("metadata/"), err))
            return false;
    }
    return true;
}

/* Tags stand before the index says that it has followed: what the index has, git has whole. */
static bool tags_follow(struct repo *repo, const struct gitrepo_commit *commits, size_t count,
                        struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        ARENA(arena);
        struct deed deed;
        char tag[2 * NAME_SIZE + VERSION_SIZE];
        struct error failed = {0};
        deed_read(&arena, commits[i].message, &deed);
        snprintf(tag, sizeof tag, "%s/%s/%s", deed.product, deed.asset, deed.version);
        if (deed.what != DEED_PUBLISH || gitrepo_tag(repo->git, tag, commits[i].id, commits[i].author,
                                                     commits[i].at, commits[i].message, &failed))
            continue;
        if (failed.kind != ERROR_CONFLICT) {
            *err = failed;
            return false;
        }
        log_event(LOG_WARNING, "tag_names_another_commit", "tag=%s commit=%s", tag, commits[i].id);
    }
    return true;
}

static bool commits_index(struct repo *repo, const struct gitrepo_commit *commits, size_t count,
                          const char *from, const char *to, struct error *err)
{
    int64_t number = 0;
    DB_DONE(conn) = db_write(repo->db, err);
    if (!conn || (!*from && !tables_empty(conn, err)) || !head_number(conn, &number, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!commit_index(repo, conn, &commits[i], ++number, err))
            return error_add(err, "indexing the commit %.12s", commits[i].id);
    if (!listed_follow_all(repo, conn, from, to, err) || !head_write(conn, to, number, err))
        return false;
    struct db_conn *writer = conn;
    conn = NULL;
    return db_commit(writer, err);
}

bool index_follow(struct repo *repo, const char *commit, bool anew, struct error *err)
{
    ARENA(arena);
    struct gitrepo_commit *commits;
    size_t count;
    char from[GIT_ID] = "";
    struct error failed = {0};
    if (!anew && !index_head(repo, from, err))
        return false;
    if (*from && string_is(from, commit))
        return true;
    if (!gitrepo_log(repo->git, &arena, from, commit, &commits, &count, &failed)) {
        /* The index stands at a commit that main does not have: a restored repository. Git is right. */
        from[0] = 0;
        if (!gitrepo_log(repo->git, &arena, from, commit, &commits, &count, err))
            return false;
    }
    return tags_follow(repo, commits, count, err) && commits_index(repo, commits, count, from, commit, err);
}
