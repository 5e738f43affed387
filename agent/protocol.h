/* Words that the device and the console share: paths, states, results, limits of the device protocol. See
 * PROTOCOL.md. */
#ifndef AGENT_PROTOCOL_H
#define AGENT_PROTOCOL_H

#define DEVICE_PATH_ENROL "/device/enrol"
#define DEVICE_PATH_NONCE "/device/session/nonce"
#define DEVICE_PATH_SESSION "/device/session"
#define DEVICE_PATH_CHECKIN "/device/checkin"
#define DEVICE_PATH_REPORTS "/device/reports"
#define DEVICE_PATH_CAPTURES "/device/captures/" /* <run id>, then /<n> */
#define DEVICE_PATH_METADATA "/metadata/"
#define DEVICE_PATH_TARGETS "/targets/"
#define DEVICE_PATH_OBJECTS "/objects/"
#define DEVICE_PATH_DELTA_ASK "/device/deltas"
#define DEVICE_PATH_DELTAS "/deltas/" /* <old>/<new> */

#define ENROL_SIGNED_PREFIX "locum-enrol-v1\n"     /* then <secret>\n<public key hex>\n */
#define SESSION_SIGNED_PREFIX "locum-session-v1\n" /* then <key id>\n<nonce>\n<counter>\n */

#define CLAIM_SECRET_CHARS 26
#define CHECKIN_LIMIT (64 << 10)  /* bytes of a check-in body */
#define REPORTS_LIMIT (256 << 10) /* bytes of a reports body */
#define REPORTS_MOST 64
#define CAPTURE_PIECE (8 << 20) /* bytes of one PATCH */
#define CAPTURE_FILES_MOST 1000
#define CAPTURE_LIST_LIMIT (1 << 20)
#define FACTS_MOST 64
#define DELTA_CANDIDATES 8     /* objects that a device offers for one that it lacks */
#define DELTA_LEAST (16 << 10) /* bytes of an object for which deltas are asked */

/* LwM2M object 5, resource 5: update result. */
enum update_result {
    RESULT_INITIAL = 0,
    RESULT_SUCCESS = 1,
    RESULT_NO_STORAGE = 2,
    RESULT_NO_MEMORY = 3,
    RESULT_CONNECTION_LOST = 4,
    RESULT_INTEGRITY = 5,
    RESULT_UNSUPPORTED = 6,
    RESULT_INVALID_URI = 7,
    RESULT_UPDATE_FAILED = 8,
    RESULT_PROTOCOL = 9,
    RESULT_CANCELLED = 10,
    RESULT_DEFERRED = 11
};

#endif
