#include "repo/store.h"

#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>

bool key_is_here(struct repo *repo, const char *name)
{
    struct stat stat;
    return fstatat(repo->keys_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

bool key_load(struct repo *repo, const char *name, bool make, struct private_key *key, struct error *err)
{
    struct error failed = {0};
    if (private_key_load(key, repo->keys_fd, name, &failed))
        return true;
    if (failed.kind == ERROR_MISSING && make) {
        private_key_make(key);
        if (private_key_save(key, repo->keys_fd, name, err)) {
            log_event(LOG_INFO, "key_made", "name=%s id=%.12s", name, key->public.id);
            return true;
        }
        return error_add(err, "making the key %s", name);
    }
    if (failed.kind == ERROR_MISSING)
        return error_set(err, ERROR_MISSING, "the key %s is not here", name);
    *err = failed;
    return error_add(err, "loading the key %s", name);
}

bool repo_is_starter(struct repo *repo)
{
    return key_is_here(repo, "root-1") && key_is_here(repo, "root-2") && key_is_here(repo, "targets-1") &&
           key_is_here(repo, "targets-2");
}
