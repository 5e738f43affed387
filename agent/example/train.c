/* Records the machine's counters for some seconds and trains models on them:
 *   train OUT SECONDS VERSION:HIDDEN[-HIDDEN…]:EPOCHS…
 * writes OUT/<version>/{model.fann,norm.json} for each. All versions learn from the same record. */
#include "agent/example/counters.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <fann.h>

#define RATE_HZ 50
#define ROWS_MOST (600 * RATE_HZ)
#define LAYERS_MOST 6

struct record {
    double (*rows)[COUNTERS];
    int count;
    double mean[COUNTERS], scale[COUNTERS];
};

static void take_record(struct record *record, long seconds)
{
    static struct counters counters;
    int64_t start = monotonic_ns();
    for (long n = 0; n < seconds * RATE_HZ && record->count < ROWS_MOST; n++) {
        int64_t due = start + n * (1000000000 / RATE_HZ);
        struct timespec moment = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
        if (counters_take(&counters, record->rows[record->count]))
            record->count++;
    }
}

/* Mean and spread of each counter; one that never moved gets a spread that makes any movement visible but not
 * everything. */
static void normalise(struct record *record)
{
    for (int i = 0; i < COUNTERS; i++) {
        double sum = 0, squares = 0;
        for (int n = 0; n < record->count; n++)
            sum += record->rows[n][i];
        record->mean[i] = sum / record->count;
        for (int n = 0; n < record->count; n++)
            squares += (record->rows[n][i] - record->mean[i]) * (record->rows[n][i] - record->mean[i]);
        record->scale[i] = fmax(sqrt(squares / record->count), 0.01 + 0.02 * fabs(record->mean[i]));
    }
}

static struct fann_train_data *training_data(const struct record *record)
{
    struct fann_train_data *data = fann_create_train((unsigned)record->count, COUNTERS, COUNTERS);
    if (data == NULL)
        return NULL;
    for (int n = 0; n < record->count; n++) {
        for (int i = 0; i < COUNTERS; i++) {
            double value = (record->rows[n][i] - record->mean[i]) / record->scale[i];
            data->input[n][i] = data->output[n][i] = (fann_type)tanh(value / 3);
        }
    }
    return data;
}

/* "12-4-12" between input and output. */
static struct fann *make_network(const char *hidden)
{
    unsigned layers[LAYERS_MOST] = {COUNTERS};
    unsigned count = 1;
    for (const char *at = hidden; count < LAYERS_MOST - 1 && *at != '\0';) {
        char *end;
        unsigned long size = strtoul(at, &end, 10);
        if (end == at || size == 0 || size > 1000)
            return NULL;
        layers[count++] = (unsigned)size;
        at = *end == '-' ? end + 1 : end;
        if (*end != '-' && *end != '\0')
            return NULL;
    }
    layers[count++] = COUNTERS;
    struct fann *network = fann_create_standard_array(count, layers);
    if (network != NULL) {
        fann_set_activation_function_hidden(network, FANN_SIGMOID_SYMMETRIC);
        fann_set_activation_function_output(network, FANN_SIGMOID_SYMMETRIC);
        fann_set_training_algorithm(network, FANN_TRAIN_RPROP);
    }
    return network;
}

static bool write_norm(const struct record *record, const char *folder, const char *version, double usual)
{
    char path[4096];
    snprintf(path, sizeof path, "%.4000s/norm.json", folder);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return false;
    fprintf(file, "{\n  \"version\": \"%s\",\n  \"inputs\": %d,\n  \"counters\": [", version, COUNTERS);
    for (int i = 0; i < COUNTERS; i++)
        fprintf(file, "%s\"%s\"", i > 0 ? ", " : "", counter_names[i]);
    fprintf(file, "],\n  \"mean\": [");
    for (int i = 0; i < COUNTERS; i++)
        fprintf(file, "%s%.9g", i > 0 ? ", " : "", record->mean[i]);
    fprintf(file, "],\n  \"scale\": [");
    for (int i = 0; i < COUNTERS; i++)
        fprintf(file, "%s%.9g", i > 0 ? ", " : "", record->scale[i]);
    fprintf(file, "],\n  \"usual\": %.9g\n}\n", usual);
    return fclose(file) == 0;
}

static bool train(const struct record *record, const char *out, const char *version, const char *hidden,
                  unsigned epochs)
{
    char folder[3000], path[4096];
    struct fann_train_data *data = training_data(record);
    struct fann *network = make_network(hidden);
    bool good = data != NULL && network != NULL;
    if (good) {
        fann_randomize_weights(network, (fann_type)-0.3, (fann_type)0.3);
        fann_train_on_data(network, data, epochs, 0, (float)1e-5);
        double usual = fmax(sqrt((double)fann_test_data(network, data)), 1e-2);
        snprintf(folder, sizeof folder, "%.2800s/%.64s", out, version);
        snprintf(path, sizeof path, "%s/model.fann", folder);
        good = (mkdir(folder, 0755) == 0 || errno == EEXIST) && fann_save(network, path) == 0 &&
               write_norm(record, folder, version, usual);
        printf("model %s: %s, %u epochs, %d rows, usual error %.4f\n", version, hidden, epochs, record->count,
               usual);
    }
    if (network != NULL)
        fann_destroy(network);
    if (data != NULL)
        fann_destroy_train(data);
    return good;
}

int main(int argc, char **argv)
{
    struct record record = {.rows = calloc(ROWS_MOST, sizeof *record.rows)};
    long seconds = argc > 3 ? strtol(argv[2], NULL, 10) : 0;
    if (record.rows == NULL || seconds < 1) {
        fprintf(stderr, "usage: train OUT SECONDS VERSION:HIDDEN[-HIDDEN]:EPOCHS…\n");
        return 2;
    }
    take_record(&record, seconds);
    if (record.count < 10) {
        fprintf(stderr, "train: /proc gives no counters\n");
        return 1;
    }
    normalise(&record);
    if (mkdir(argv[1], 0755) != 0 && errno != EEXIST) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        char version[65], hidden[65];
        unsigned epochs;
        if (sscanf(argv[i], "%64[^:]:%64[0-9-]:%u", version, hidden, &epochs) != 3 ||
            !train(&record, argv[1], version, hidden, epochs)) {
            fprintf(stderr, "train: %s could not be made\n", argv[i]);
            return 1;
        }
    }
    free(record.rows);
    return 0;
}
