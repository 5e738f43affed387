/* An anomaly detector, the example of an app under Locum: scores the machine's own counters 100 times a
 * second with the model of its set, and adopts a new one without missing an evaluation.
 *
 *   detector [--asset NAME] [--listen SOCKET]   LOCUM_ASSETS and LOCUM_SOCKET as the agent sets them
 *   detector --status SOCKET                    prints
 * {"model","score","evaluations","failures","longest_gap_ms",…}
 *
 * Three threads: one evaluates and does nothing else; one talks to the agent, opens and tries new models, and
 * puts them in place; one answers who asks for the status. The evaluator takes the model at the start of an
 * evaluation; an old one is freed when the next evaluation has begun with the new. */
#include "agent/example/counters.h"
#include "agent/example/line.h"
#include "agent/example/model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RATE_HZ 100
#define WHY 160

struct detector {
    const char *asset, *assets, *agent; /* name; LOCUM_ASSETS, LOCUM_SOCKET (may be NULL) */
    pthread_mutex_t lock;               /* over all below; held for moments only */
    struct model *model;                /* NULL: none yet */
    double vector[COUNTERS];
    bool has_vector;
    double score;
    int64_t evaluations, failures, adoptions, rejections, longest_gap_ns, last_ns;
    char set[24], rejected[WHY];
};

static struct detector detector = {.asset = "detector", .lock = PTHREAD_MUTEX_INITIALIZER, .score = NAN};

/* --- evaluating
 * ------------------------------------------------------------------------------------------------- */

static void evaluate(struct detector *d, const double vector[COUNTERS])
{
    pthread_mutex_lock(&d->lock);
    memcpy(d->vector, vector, sizeof d->vector);
    d->has_vector = true;
    if (d->model != NULL) {
        int64_t now = monotonic_ns();
        double score = model_score(d->model, vector);
        if (isfinite(score))
            d->score = score;
        else
            d->failures++;
        d->evaluations++;
        if (d->last_ns != 0 && now - d->last_ns > d->longest_gap_ns)
            d->longest_gap_ns = now - d->last_ns;
        d->last_ns = now;
    }
    pthread_mutex_unlock(&d->lock);
}

static void *evaluate_always(void *context)
{
    static struct counters counters;
    double vector[COUNTERS];
    int64_t due = monotonic_ns();
    for (;;) {
        due += 1000000000 / RATE_HZ;
        struct timespec moment = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
        if (counters_take(&counters, vector))
            evaluate(context, vector);
        if (monotonic_ns() - due > 1000000000)
            due = monotonic_ns(); /* suspended: no burst to make up for it */
    }
    return NULL;
}

/* --- adopting
 * ----------------------------------------------------------------------------------------------------- */

/* The folder of one set is opened once, and all files of this adoption are read from there: `current` may be
 * another set a moment later. */
static struct model *open_from_set(const struct detector *d, const char *path, bool *is_there, char why[WHY])
{
    struct model *model = NULL;
    int set = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder = set >= 0 ? openat(set, d->asset, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    *is_there = folder >= 0 || errno != ENOENT;
    if (folder >= 0)
        model = model_open(folder, why);
    else
        snprintf(why, WHY, "%s/%s: %s", path, d->asset, strerror(errno));
    if (folder >= 0)
        close(folder);
    if (set >= 0)
        close(set);
    return model;
}

/* Tries the model on what the machine does just now, then puts it in place between two evaluations. */
static bool install(struct detector *d, struct model *model, char why[WHY])
{
    double vector[COUNTERS];
    pthread_mutex_lock(&d->lock);
    bool has_vector = d->has_vector;
    memcpy(vector, d->vector, sizeof vector);
    pthread_mutex_unlock(&d->lock);
    if (has_vector && !isfinite(model_score(model, vector))) {
        snprintf(why, WHY, "the model gives no finite score for what the machine does now");
        model_close(model);
        return false;
    }
    pthread_mutex_lock(&d->lock);
    struct model *old = d->model;
    d->model = model;
    d->adoptions++;
    pthread_mutex_unlock(&d->lock);
    model_close(old);
    fprintf(stderr, "detector: model %s\n", model_version(model));
    return true;
}

static bool adopt(struct detector *d, const char *path, char why[WHY])
{
    bool is_there;
    struct model *model = open_from_set(d, path, &is_there, why);
    if (model == NULL)
        return !is_there; /* a set without our asset has nothing to adopt */
    return install(d, model, why);
}

static bool send_all(int fd, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        text += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* One line of the agent: {"set","changed","path"}. False when the connection is of no use any more. */
static bool answer_line(struct detector *d, int fd, const char *line)
{
    char set[24], path[4096], why[WHY] = "", quoted[2 * WHY + 8], answer[512];
    if (!line_string(line, "set", set, sizeof set) || !line_string(line, "path", path, sizeof path))
        return true; /* of a later protocol */
    bool good = adopt(d, path, why);
    pthread_mutex_lock(&d->lock);
    if (good) {
        snprintf(d->set, sizeof d->set, "%s", set);
    } else {
        d->rejections++;
        snprintf(d->rejected, sizeof d->rejected, "%s", why);
    }
    pthread_mutex_unlock(&d->lock);
    if (good)
        snprintf(answer, sizeof answer, "{\"adopted\":\"%s\"}\n", set);
    else
        snprintf(answer, sizeof answer, "{\"rejected\":\"%s\",\"reason\":%s}\n", set,
                 line_quote(quoted, sizeof quoted, why));
    return send_all(fd, answer);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void *listen_to_agent(void *context)
{
    struct detector *d = context;
    char line[65536];
    for (;;) {
        int fd = connect_to(d->agent);
        FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;
        while (stream != NULL && fgets(line, sizeof line, stream) != NULL && answer_line(d, fd, line))
            ;
        if (stream != NULL)
            fclose(stream);
        /* The agent's keeper is being restarted: it is tried again soon, evaluation goes on meanwhile. */
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    }
    return NULL;
}

/* --- status
 * ------------------------------------------------------------------------------------------------------- */

static void write_status(struct detector *d, char *text, size_t room)
{
    char score[32] = "null", why[2 * WHY + 8] = "null", model[80] = "null";
    pthread_mutex_lock(&d->lock);
    if (isfinite(d->score))
        snprintf(score, sizeof score, "%.3f", d->score);
    if (d->model != NULL)
        line_quote(model, sizeof model, model_version(d->model));
    if (d->rejections > 0)
        line_quote(why, sizeof why, d->rejected);
    snprintf(text, room,
             "{\"model\":%s,\"set\":\"%s\",\"score\":%s,\"evaluations\":%" PRId64 ",\"failures\":%" PRId64
             ",\"longest_gap_ms\":%.1f,\"adoptions\":%" PRId64 ",\"rejections\":%" PRId64
             ",\"rejected\":%s,\"pid\":%d}\n",
             model, d->set, score, d->evaluations, d->failures, (double)d->longest_gap_ns / 1e6, d->adoptions,
             d->rejections, why, (int)getpid());
    pthread_mutex_unlock(&d->lock);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0) {
        perror(path);
        return -1;
    }
    return fd;
}

/* Answers with one line each until SIGTERM. */
static void serve_status(struct detector *d, const char *path, int signals)
{
    int listener = path != NULL ? listen_at(path) : -1;
    char text[1024];
    for (;;) {
        struct pollfd pollers[] = {{.fd = signals, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
        if (poll(pollers, 2, -1) < 0 && errno != EINTR)
            break;
        if (pollers[0].revents != 0)
            break;
        int fd = pollers[1].revents != 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd < 0)
            continue;
        write_status(d, text, sizeof text);
        send_all(fd, text); /* fits a socket's buffer: never waits for the reader */
        close(fd);
    }
    if (listener >= 0)
        unlink(path);
}

static int print_status(const char *path)
{
    char text[1024];
    int fd = connect_to(path);
    if (fd < 0) {
        fprintf(stderr, "no detector answers at %s\n", path);
        return 1;
    }
    ssize_t n;
    while ((n = read(fd, text, sizeof text)) > 0)
        fwrite(text, 1, (size_t)n, stdout);
    close(fd);
    return 0;
}

static bool start_thread(void *(*run)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, &detector) != 0) {
        fprintf(stderr, "detector: no thread\n");
        return false;
    }
    pthread_detach(thread);
    return true;
}

int main(int argc, char **argv)
{
    const char *listen_path = NULL;
    char why[WHY];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--status") == 0 && i + 1 < argc)
            return print_status(argv[i + 1]);
        if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc) {
            listen_path = argv[++i];
        } else if (strcmp(argv[i], "--asset") == 0 && i + 1 < argc) {
            detector.asset = argv[++i];
        } else {
            fprintf(stderr, "usage: detector [--asset NAME] [--listen SOCKET] | detector --status SOCKET\n");
            return 2;
        }
    }
    detector.assets = getenv("LOCUM_ASSETS");
    detector.agent = getenv("LOCUM_SOCKET");
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (detector.assets != NULL && !adopt(&detector, detector.assets, why))
        fprintf(stderr, "detector: no model yet: %s\n", why);
    if (!start_thread(evaluate_always) || (detector.agent != NULL && !start_thread(listen_to_agent)))
        return 1;
    serve_status(&detector, listen_path, signals);
    return 0;
}
