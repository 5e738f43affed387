#include "agent/example/model.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fann.h>

#define NORM_LIMIT 16384

struct model {
    struct fann *network;
    char version[65];
    double mean[COUNTERS], scale[COUNTERS];
    double usual; /* root mean square error on what it was trained with */
};

static bool read_file(int dirfd, const char *name, char *text, size_t room)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, room - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Where the value of a member begins; norm.json is flat and our own. */
static const char *member(const char *text, const char *name)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = strstr(text, quoted);
    if (at == NULL)
        return NULL;
    at += strlen(quoted);
    at += strspn(at, " \t\r\n:");
    return at;
}

static bool read_numbers(const char *text, const char *name, double *values, int count)
{
    const char *at = member(text, name);
    if (at == NULL)
        return false;
    at += *at == '[';
    for (int i = 0; i < count; i++) {
        char *end;
        values[i] = strtod(at, &end);
        if (end == at || !isfinite(values[i]))
            return false;
        at = end + strspn(end, " ,\r\n\t");
    }
    return count == 1 || *at == ']';
}

static bool read_norm(struct model *model, int dirfd)
{
    char text[NORM_LIMIT];
    double inputs;
    if (!read_file(dirfd, "norm.json", text, sizeof text))
        return false;
    const char *version = member(text, "version");
    return version != NULL && sscanf(version, "\"%64[^\"]\"", model->version) == 1 &&
           read_numbers(text, "inputs", &inputs, 1) && (int)inputs == COUNTERS &&
           read_numbers(text, "mean", model->mean, COUNTERS) &&
           read_numbers(text, "scale", model->scale, COUNTERS) &&
           read_numbers(text, "usual", &model->usual, 1) && model->usual > 0;
}

double model_score(struct model *model, const double vector[COUNTERS])
{
    fann_type input[COUNTERS];
    double sum = 0;
    for (int i = 0; i < COUNTERS; i++) {
        double value = (vector[i] - model->mean[i]) / model->scale[i];
        input[i] = (fann_type)tanh(value / 3);
    }
    const fann_type *output = fann_run(model->network, input);
    if (output == NULL)
        return NAN;
    for (int i = 0; i < COUNTERS; i++)
        sum += ((double)output[i] - (double)input[i]) * ((double)output[i] - (double)input[i]);
    return sqrt(sum / COUNTERS) / model->usual;
}

/* A model that answers nonsense is refused before anything relies on it. */
static bool try_out(struct model *model)
{
    static const double offsets[] = {-2, 0, 0.5, 3};
    double vector[COUNTERS];
    for (size_t k = 0; k < sizeof offsets / sizeof offsets[0]; k++) {
        for (int i = 0; i < COUNTERS; i++)
            vector[i] = model->mean[i] + offsets[k] * model->scale[i];
        if (!isfinite(model_score(model, vector)))
            return false;
    }
    return true;
}

static struct model *refuse(struct model *model, char why[160], const char *reason)
{
    snprintf(why, 160, "%s", reason);
    model_close(model);
    return NULL;
}

struct model *model_open(int dirfd, char why[160])
{
    char path[64];
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        abort();
    if (!read_norm(model, dirfd))
        return refuse(model, why, "norm.json is missing or not as it should be");
    for (int i = 0; i < COUNTERS; i++)
        if (model->scale[i] <= 0)
            return refuse(model, why, "norm.json has a scale that is not positive");
    /* fann opens by path; this one names the folder that was opened once, whatever `current` is by now. */
    snprintf(path, sizeof path, "/proc/self/fd/%d/model.fann", dirfd);
    if (access(path, R_OK) != 0)
        return refuse(model, why, "model.fann is missing");
    fann_set_error_log(NULL, NULL);
    model->network = fann_create_from_file(path);
    if (model->network == NULL)
        return refuse(model, why, "model.fann is no network that this program can read");
    fann_set_error_log((struct fann_error *)model->network, NULL);
    if (fann_get_num_input(model->network) != COUNTERS || fann_get_num_output(model->network) != COUNTERS)
        return refuse(model, why, "model.fann has another number of inputs or outputs");
    if (!try_out(model))
        return refuse(model, why, "the model gives scores that are not finite");
    return model;
}

void model_close(struct model *model)
{
    if (model == NULL)
        return;
    if (model->network != NULL)
        fann_destroy(model->network);
    free(model);
}

const char *model_version(const struct model *model)
{
    return model->version;
}
