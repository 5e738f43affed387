/* Who this device is and whom it trusts: its key, its server, its product and hardware, kept since enrolment.
 */
#ifndef AGENT_ENROLMENT_H
#define AGENT_ENROLMENT_H

#include "base/digest.h"
#include "base/error.h"
#include "base/signature.h"
#include "repo/name.h"

#include <stdbool.h>

#define SERVER_SIZE 512

struct enrolment {
    char server[SERVER_SIZE]; /* https://host:8443, without a final slash */
    char device[NAME_SIZE];   /* its name at the time of enrolment */
    char product[NAME_SIZE];  /* taken over then; no later answer changes it */
    char hardware[NAME_SIZE]; /* empty: not said */
    char admission[16];       /* "accepted" or "pending" at the time of enrolment */
    char claim[SHA256_HEX];   /* SHA-256 of the claim code's secret, to know a repeated enrolment */
    struct private_key key;
};

/* MISSING with a sentence that says how to enrol when the folder holds no enrolment. */
bool enrolment_load(int state_fd, struct enrolment *enrolment, struct error *err);
/* Writes all but the key (STATE_KEY is there already); what makes the device enrolled. */
bool enrolment_save(int state_fd, const struct enrolment *enrolment, struct error *err);

struct enrol_options {
    const char *state, *server;
    const char *claim; /* the claim code */
    const char *ca;   /* file or PEM text of authorities that are trusted instead of the claim code's; NULL */
    const char *name; /* NULL: the console makes one */
    const char *hardware; /* NULL: not said */
};
/* The whole enrolment: folder, key, authority and root by their fingerprints, request, enrolment file. The
 * same claim again is fine and changes nothing. `already` says that it was enrolled before. */
bool enrol(const struct enrol_options *options, struct enrolment *enrolment, bool *already,
           struct error *err);

/* Opens the state folder, made with 0700 (and its parents with 0755) when missing. -1 and `err`. DENIED when
 * it is another user's. */
int state_open(const char *state, bool make, struct error *err);

#endif
