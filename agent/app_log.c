/* The app writes its log itself, so that it does not lose its voice with the keeper. The file is bounded by
 * copying and cutting it, which appending writers survive; lines written in between are lost. */
#include "agent/app.h"

#include "agent/keeper_pid.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 2000

/* The folder may be the app's own: a pipe put there would hold the keeper and every deadline with it, and
 * another name of a file that is not the app's would have us write into that. */
static int open_plain(const char *path, int flags, struct error *err)
{
    struct stat st;
    FD(fd) = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640);
    if (fd < 0) {
        error_errno(err, "%s", path);
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
        error_set(err, ERROR_INPUT, "%s is no file of its own", path);
        return -1;
    }
    int plain = fd;
    fd = -1;
    return plain;
}

int app_log_open(const struct agent_settings *settings, struct error *err)
{
    if (settings->app_log == NULL)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int fd = open_plain(settings->app_log, O_WRONLY | O_CREAT | O_APPEND, err);
    /* For the app itself it is an ordinary file, which O_NONBLOCK does not change; the flag is not handed on.
     */
    if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) != 0)
        fd_close(&fd);
    return fd;
}

/* At most APP_LOG_LIMIT last bytes go to <log>.1. */
static bool copy_away(int fd, off_t size, const char *log, struct error *err)
{
    char older[4096 + 4];
    snprintf(older, sizeof older, "%.4090s.1", log);
    FD(out) = open_plain(older, O_WRONLY | O_CREAT, err);
    if (out < 0)
        return false;
    if (ftruncate(out, 0) != 0)
        return error_errno(err, "%s", older);
    off_t from = size > APP_LOG_LIMIT ? size - APP_LOG_LIMIT : 0;
    while (from < size) {
        ssize_t n = sendfile(out, fd, &from, (size_t)(size - from));
        if (n < 0 && errno != EINTR)
            return error_errno(err, "%s", older);
        if (n == 0)
            break;
    }
    return true;
}

static void look(void *context)
{
    struct app *app = context;
    struct error err = {0};
    struct stat st;
    FD(fd) = open_plain(app->settings->app_log, O_RDWR, &err);
    err = (struct error){0};
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > APP_LOG_LIMIT) {
        /* Cut in any case: a full disk must not be the log's doing. */
        if (!copy_away(fd, st.st_size, app->settings->app_log, &err))
            log_event(LOG_WARNING, "app.log", "error=\"%s\"", err.text);
        if (ftruncate(fd, 0) != 0)
            log_event(LOG_WARNING, "app.log", "error=%d", errno);
    }
    app_log_watch(app);
}

void app_log_watch(struct app *app)
{
    if (app->settings->app_log != NULL)
        loop_at(app->loop, &app->watch_log, clock_boot_ms() + LOOK_EVERY_MS, look, app);
}
