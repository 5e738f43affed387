/* An app for flow tests, as design.md's contract describes one: evaluates without pause with what stands
 * under the set it adopted, and notices every failed read and every wrong byte.
 *
 *   app --status FILE [--asset NAME] [--reject VERSION [--while FILE]] [--mute] [--crash VERSION]
 *       [--ignore-term] [--pause MS]
 *
 * An asset's file VERSION holds one line; every line of every file of the asset must be that line. FILE gets,
 * renamed into place ten times a second:
 * {"pid","version","set","evaluations","failures","wrong","adoptions","rejections","longest_gap_ms"}. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct app {
    const char *status, *asset, *reject, *crash, *while_there; /* a file: rejects only while it is there */
    bool mute;
    int pause_ms; /* of other work between evaluations */
    int socket, set_fd;
    char set[64], version[128], line[65536];
    size_t filled;
    long evaluations, failures, wrong, adoptions, rejections;
    int64_t longest_gap_ms, last_ms, told_ms;
};

static bool file_lines_are(int dirfd, const char *name, const char *version, bool *failed)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        *failed = true;
        return true;
    }
    char line[128];
    bool same = true;
    while (same && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        same = strcmp(line, version) == 0;
    }
    *failed |= ferror(file) != 0;
    fclose(file);
    return same;
}

static bool version_read(int dirfd, char *version, size_t size)
{
    int fd = openat(dirfd, "VERSION", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, version, size - 1);
    if (fd >= 0)
        close(fd);
    version[got > 0 ? got : 0] = '\0';
    version[strcspn(version, "\n")] = '\0';
    return got > 0;
}

/* Every file of the asset, relative to the set's descriptor. */
static void evaluate(struct app *app)
{
    int64_t now = clock_boot_ms();
    if (app->last_ms && now - app->last_ms > app->longest_gap_ms)
        app->longest_gap_ms = now - app->last_ms;
    app->last_ms = now;
    int fd = openat(app->set_fd, app->asset, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return; /* the empty set */
    char version[128];
    bool failed = !version_read(fd, version, sizeof version);
    DIR *dir = fdopendir(fd);
    for (struct dirent *entry; dir && !failed && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && !file_lines_are(dirfd(dir), entry->d_name, version, &failed))
            app->wrong++;
    if (dir)
        closedir(dir);
    app->evaluations++;
    app->failures += failed;
    snprintf(app->version, sizeof app->version, "%s", version);
}

static void status_write(struct app *app)
{
    int64_t now = clock_boot_ms();
    if (!app->status || now - app->told_ms < 100)
        return;
    app->told_ms = now;
    char part[4096];
    snprintf(part, sizeof part, "%s.part", app->status);
    FILE *file = fopen(part, "w");
    if (!file)
        return;
    fprintf(
        file,
        "{\"pid\":%ld,\"version\":\"%s\",\"set\":\"%s\",\"evaluations\":%ld,\"failures\":%ld,\"wrong\":%ld,"
        "\"adoptions\":%ld,\"rejections\":%ld,\"longest_gap_ms\":%lld}\n",
        (long)getpid(), app->version, app->set, app->evaluations, app->failures, app->wrong, app->adoptions,
        app->rejections, (long long)app->longest_gap_ms);
    if (fclose(file) == 0)
        rename(part, app->status);
}

static void answer(struct app *app, const char *word, const char *set, const char *reason)
{
    TEXT(out);
    struct json_writer writer;
    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    json_write_string(&writer, word, set);
    if (reason)
        json_write_string(&writer, "reason", reason);
    json_write_end(&writer, '}');
    text_putc(&out, '\n');
    if (send(app->socket, out.bytes, out.size, MSG_NOSIGNAL) < 0)
        app->failures++;
}

static void adopt(struct app *app, const char *set, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char version[128] = "";
    int asset = fd < 0 ? -1 : openat(fd, app->asset, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (asset >= 0) {
        version_read(asset, version, sizeof version);
        close(asset);
    }
    if (app->crash && strcmp(version, app->crash) == 0)
        abort();
    if (app->mute) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd < 0 || (app->reject && strcmp(version, app->reject) == 0 &&
                   (!app->while_there || access(app->while_there, F_OK) == 0))) {
        if (fd >= 0)
            close(fd);
        app->rejections++;
        answer(app, "rejected", set, "this version does not please the test");
        return;
    }
    close(app->set_fd);
    app->set_fd = fd;
    app->adoptions++;
    snprintf(app->set, sizeof app->set, "%s", set);
    answer(app, "adopted", set, NULL);
}

static void line_take(struct app *app, const char *line, size_t size)
{
    ARENA(arena);
    struct error err = {0};
    const struct json *told = json_read(&arena, line, size, &json_limits_small, &err);
    const char *set = json_string(told, "set"), *path = json_string(told, "path");
    if (set && path)
        adopt(app, set, path);
    else
        app->failures++;
}

static void socket_open(struct app *app)
{
    const char *path = getenv("LOCUM_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (app->socket >= 0 || !path || strlen(path) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, path);
    app->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(app->socket, (struct sockaddr *)&address, sizeof address) == 0)
        return;
    close(app->socket);
    app->socket = -1;
}

static void socket_read(struct app *app)
{
    struct pollfd ready = {.fd = app->socket, .events = POLLIN};
    if (app->socket < 0 || poll(&ready, 1, 0) <= 0)
        return;
    ssize_t got = read(app->socket, app->line + app->filled, sizeof app->line - app->filled);
    if (got <= 0) {
        close(app->socket);
        app->socket = -1;
        app->filled = 0;
        return;
    }
    app->filled += (size_t)got;
    for (char *end; (end = memchr(app->line, '\n', app->filled)) != NULL;) {
        size_t size = (size_t)(end - app->line);
        line_take(app, app->line, size);
        app->filled -= size + 1;
        memmove(app->line, end + 1, app->filled);
    }
}

int main(int argc, char **argv)
{
    static struct app app = {.asset = "model", .pause_ms = 2, .socket = -1, .set_fd = -1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--mute") == 0)
            app.mute = true;
        else if (strcmp(argv[i], "--ignore-term") == 0)
            signal(SIGTERM, SIG_IGN);
        else if (value && strcmp(argv[i], "--status") == 0)
            app.status = value, i++;
        else if (value && strcmp(argv[i], "--asset") == 0)
            app.asset = value, i++;
        else if (value && strcmp(argv[i], "--reject") == 0)
            app.reject = value, i++;
        else if (value && strcmp(argv[i], "--while") == 0)
            app.while_there = value, i++;
        else if (value && strcmp(argv[i], "--crash") == 0)
            app.crash = value, i++;
        else if (value && strcmp(argv[i], "--pause") == 0)
            app.pause_ms = atoi(value), i++;
        else
            return fprintf(stderr, "app: %s?\n", argv[i]), 2;
    }
    const char *assets = getenv("LOCUM_ASSETS");
    app.set_fd = assets ? open(assets, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (app.set_fd < 0)
        return fprintf(stderr, "app: no LOCUM_ASSETS\n"), 1;
    for (;;) {
        socket_open(&app);
        socket_read(&app);
        evaluate(&app);
        status_write(&app);
        usleep((useconds_t)app.pause_ms * 1000);
    }
}
