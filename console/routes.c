/* Every path of both listeners: one row a line, grouped by noun. The server checks method, role and body
 * before the handler runs. */
#include "console/handlers.h"
#include "console/server.h"

#include "agent/protocol.h"

#define V1 "/api/v1"
#define PEOPLE LISTENER_PEOPLE
#define DEVICES LISTENER_DEVICES
#define BOTH (LISTENER_PEOPLE | LISTENER_DEVICES)
#define SMALL (64 << 10)
#define LARGE (4 << 20)
#define OBJECT (INT64_C(1) << 40)

/* clang-format off */
const struct route routes[] = {
    /* people */
    {"GET",    V1 "/setup",            PEOPLE, ROLE_ANYBODY, 0,     false, setup_show},
    {"POST",   V1 "/setup",            PEOPLE, ROLE_ANYBODY, SMALL, false, setup_do},
    {"GET",    V1 "/session",          PEOPLE, ROLE_VIEWER,  0,     false, session_show},
    {"POST",   V1 "/session",          PEOPLE, ROLE_ANYBODY, SMALL, false, session_create},
    {"DELETE", V1 "/session",          PEOPLE, ROLE_ANYBODY, 0,     false, session_delete},
    {"POST",   V1 "/login",            PEOPLE, ROLE_ANYBODY, SMALL, false, login_create},
    {"POST",   V1 "/session/password", PEOPLE, ROLE_VIEWER,  SMALL, false, session_password},
    {"GET",    V1 "/operators",        PEOPLE, ROLE_ADMIN,   0,     false, operators_list},
    {"POST",   V1 "/operators",        PEOPLE, ROLE_ADMIN,   SMALL, false, operators_create},
    {"PATCH",  V1 "/operators/{name}", PEOPLE, ROLE_ADMIN,   SMALL, false, operators_update},
    {"DELETE", V1 "/operators/{name}", PEOPLE, ROLE_ADMIN,   0,     false, operators_delete},
    {"GET",    V1 "/tokens",           PEOPLE, ROLE_VIEWER,  0,     false, tokens_list},
    {"POST",   V1 "/tokens",           PEOPLE, ROLE_VIEWER,  SMALL, false, tokens_create},
    {"DELETE", V1 "/tokens/{name}",    PEOPLE, ROLE_VIEWER,  0,     false, tokens_delete},

    {"GET",    V1 "/hooks",            PEOPLE, ROLE_ADMIN,   0,     false, hooks_list},
    {"POST",   V1 "/hooks",            PEOPLE, ROLE_ADMIN,   SMALL, false, hooks_create},
    {"DELETE", V1 "/hooks/{name}",     PEOPLE, ROLE_ADMIN,   0,     false, hooks_delete},
    {"GET",    V1 "/hooks/{name}/log", PEOPLE, ROLE_ADMIN,   0,     false, hooks_log},

    /* audit and events */
    {"GET",    V1 "/audit",            PEOPLE, ROLE_VIEWER,  0,     false, audit_list},
    {"GET",    V1 "/events",           PEOPLE, ROLE_VIEWER,  0,     false, events_stream},

    /* assets */
    {"GET",    V1 "/products",                                           PEOPLE, ROLE_VIEWER,  0,      false, products_list},
    {"GET",    V1 "/products/{product}",                                 PEOPLE, ROLE_VIEWER,  0,      false, products_show},
    {"PATCH",  V1 "/products/{product}",                                 PEOPLE, ROLE_RELEASE, SMALL,  false, products_set},
    {"GET",    V1 "/assets",                                             PEOPLE, ROLE_VIEWER,  0,      false, assets_list},
    {"GET",    V1 "/assets/{product}/{asset}",                           PEOPLE, ROLE_VIEWER,  0,      false, assets_show},
    {"GET",    V1 "/assets/{product}/{asset}/history",                   PEOPLE, ROLE_VIEWER,  0,      false, assets_history},
    {"GET",    V1 "/assets/{product}/{asset}/difference",                PEOPLE, ROLE_VIEWER,  0,      false, assets_difference},
    {"POST",   V1 "/assets/{product}/{asset}/release",                   PEOPLE, ROLE_RELEASE, SMALL,  false, assets_release},
    {"DELETE", V1 "/assets/{product}/{asset}/release",                   PEOPLE, ROLE_RELEASE, 0,      false, assets_release_end},
    {"POST",   V1 "/assets/{product}/{asset}/versions",                  PEOPLE, ROLE_RELEASE, LARGE,  false, versions_publish},
    {"GET",    V1 "/assets/{product}/{asset}/versions/{version}",        PEOPLE, ROLE_VIEWER,  0,      false, versions_show},
    {"GET",    V1 "/assets/{product}/{asset}/versions/{version}/file",   PEOPLE, ROLE_VIEWER,  0,      false, versions_file},
    {"POST",   V1 "/assets/{product}/{asset}/versions/{version}/withdraw", PEOPLE, ROLE_RELEASE, SMALL, false, versions_withdraw},
    {"GET",    V1 "/assets/{product}/{asset}/versions/{version}/devices", PEOPLE, ROLE_VIEWER,  0,      false, versions_devices},
    {"GET",    V1 "/objects/{sha256}",                                   PEOPLE, ROLE_RELEASE, 0,      false, objects_show},
    {"PUT",    V1 "/objects/{sha256}",                                   PEOPLE, ROLE_RELEASE, OBJECT, true,  objects_put},

    /* devices */
    {"POST",   V1 "/claims",                  PEOPLE, ROLE_SUPPORT, SMALL, false, claims_create},
    {"GET",    V1 "/devices",                 PEOPLE, ROLE_VIEWER,  0,     false, devices_list},
    {"GET",    V1 "/devices/{name}",          PEOPLE, ROLE_VIEWER,  0,     false, devices_show},
    {"POST",   V1 "/devices/{name}/accept",   PEOPLE, ROLE_SUPPORT, SMALL, false, devices_accept},
    {"POST",   V1 "/devices/{name}/reject",   PEOPLE, ROLE_SUPPORT, SMALL, false, devices_reject},
    {"POST",   V1 "/devices/{name}/retire",   PEOPLE, ROLE_SUPPORT, SMALL, false, devices_retire},
    {"PUT",    V1 "/devices/{name}/tags",     PEOPLE, ROLE_SUPPORT, SMALL, false, devices_tag},
    {"GET",    V1 "/devices/{name}/timeline", PEOPLE, ROLE_VIEWER,  0,     false, devices_timeline},
    {"GET",    V1 "/devices/{name}/why",      PEOPLE, ROLE_VIEWER,  0,     false, devices_why},
    {"POST",   V1 "/devices/{name}/pins",     PEOPLE, ROLE_SUPPORT, SMALL, false, devices_pin},
    {"DELETE", V1 "/devices/{name}/pins/{asset}",  PEOPLE, ROLE_SUPPORT, 0,     false, devices_unpin},
    {"PUT",    V1 "/devices/{name}/development",   PEOPLE, ROLE_SUPPORT, SMALL, false, devices_develop},
    {"GET",    V1 "/preview",                 PEOPLE, ROLE_VIEWER,  0,     false, devices_preview},

    /* groups */
    {"GET",    V1 "/groups",                  PEOPLE, ROLE_VIEWER,  0,     false, groups_list},
    {"POST",   V1 "/groups",                  PEOPLE, ROLE_SUPPORT, LARGE, false, groups_create},
    {"GET",    V1 "/groups/{name}",           PEOPLE, ROLE_VIEWER,  0,     false, groups_show},
    {"PUT",    V1 "/groups/{name}",           PEOPLE, ROLE_SUPPORT, LARGE, false, groups_change},
    {"DELETE", V1 "/groups/{name}",           PEOPLE, ROLE_SUPPORT, 0,     false, groups_delete},

    /* rollouts */
    {"GET",    V1 "/rollouts",                PEOPLE, ROLE_VIEWER,  0,     false, rollouts_list},
    {"POST",   V1 "/rollouts",                PEOPLE, ROLE_RELEASE, LARGE, false, rollouts_create},
    {"GET",    V1 "/rollouts/{id}",           PEOPLE, ROLE_VIEWER,  0,     false, rollouts_show},
    {"GET",    V1 "/rollouts/{id}/devices",   PEOPLE, ROLE_VIEWER,  0,     false, rollouts_devices},
    {"GET",    V1 "/rollouts/{id}/failures",  PEOPLE, ROLE_VIEWER,  0,     false, rollouts_failures},
    {"GET",    V1 "/rollouts/{id}/timeline",  PEOPLE, ROLE_VIEWER,  0,     false, rollouts_timeline},
    {"POST",   V1 "/rollouts/{id}/start",     PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_start},
    {"POST",   V1 "/rollouts/{id}/pause",     PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_pause},
    {"POST",   V1 "/rollouts/{id}/resume",    PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_resume},
    {"POST",   V1 "/rollouts/{id}/advance",   PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_advance},
    {"POST",   V1 "/rollouts/{id}/abort",     PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_abort},
    {"POST",   V1 "/rollouts/{id}/roll-back", PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_roll_back},
    {"POST",   V1 "/rollouts/{id}/retry",     PEOPLE, ROLE_RELEASE, SMALL, false, rollouts_retry},
    {"POST",   V1 "/rollouts/{id}/exclude",   PEOPLE, ROLE_RELEASE, LARGE, false, rollouts_exclude},

    /* what devices ask: agent/PROTOCOL.md */
    {"POST",   DEVICE_PATH_ENROL,             DEVICES, ROLE_ANYBODY, SMALL,              false, device_side_enrol},
    {"POST",   DEVICE_PATH_NONCE,             DEVICES, ROLE_ANYBODY, SMALL,              false, device_side_nonce},
    {"POST",   DEVICE_PATH_SESSION,           DEVICES, ROLE_ANYBODY, SMALL,              false, device_side_session},
    {"POST",   DEVICE_PATH_CHECKIN,           DEVICES, ROLE_DEVICE,  CHECKIN_LIMIT,      false, device_side_checkin},
    {"POST",   DEVICE_PATH_REPORTS,           DEVICES, ROLE_DEVICE,  REPORTS_LIMIT,      false, device_side_reports},
    {"POST",   DEVICE_PATH_DELTA_ASK,         DEVICES, ROLE_DEVICE,  SMALL,              false, device_side_deltas},
    {"POST",   DEVICE_PATH_CAPTURES "{run}",     DEVICES, ROLE_DEVICE, CAPTURE_LIST_LIMIT, false, device_side_capture_begin},
    {"PATCH",  DEVICE_PATH_CAPTURES "{run}/{n}", DEVICES, ROLE_DEVICE, CAPTURE_PIECE,      true,  device_side_capture_append},

    /* diagnostic images and what they collected */
    {"GET",    V1 "/images",                   PEOPLE, ROLE_VIEWER,  0,     false, images_list},
    {"GET",    V1 "/campaigns",                PEOPLE, ROLE_VIEWER,  0,     false, campaigns_list},
    {"POST",   V1 "/campaigns",                PEOPLE, ROLE_SUPPORT, LARGE, false, campaigns_create},
    {"GET",    V1 "/campaigns/{id}",           PEOPLE, ROLE_VIEWER,  0,     false, campaigns_show},
    {"POST",   V1 "/campaigns/{id}/end",       PEOPLE, ROLE_SUPPORT, SMALL, false, campaigns_end},
    {"POST",   V1 "/campaigns/{id}/pause",     PEOPLE, ROLE_SUPPORT, SMALL, false, campaigns_pause},
    {"POST",   V1 "/campaigns/{id}/resume",    PEOPLE, ROLE_SUPPORT, SMALL, false, campaigns_resume},
    {"POST",   V1 "/campaigns/{id}/approve",   PEOPLE, ROLE_SUPPORT, SMALL, false, campaigns_approve},
    {"GET",    V1 "/campaigns/{id}/runs/{n}",  PEOPLE, ROLE_VIEWER,  0,     false, runs_show},
    {"GET",    V1 "/campaigns/{id}/runs/{n}/devices",          PEOPLE, ROLE_VIEWER,  0,     false, runs_devices},
    {"GET",    V1 "/campaigns/{id}/runs/{n}/devices/{device}", PEOPLE, ROLE_VIEWER,  0,     false, runs_device},
    {"POST",   V1 "/campaigns/{id}/runs/{n}/return-now",       PEOPLE, ROLE_SUPPORT, LARGE, false, runs_return_now},
    {"POST",   V1 "/campaigns/{id}/runs/{n}/extend",           PEOPLE, ROLE_SUPPORT, LARGE, false, runs_extend},
    {"POST",   V1 "/campaigns/{id}/runs/{n}/cancel",           PEOPLE, ROLE_SUPPORT, LARGE, false, runs_cancel},
    {"GET",    V1 "/captures",                 PEOPLE, ROLE_VIEWER,  0,     false, captures_list},
    {"GET",    V1 "/captures/{id}",            PEOPLE, ROLE_VIEWER,  0,     false, captures_show},
    {"GET",    V1 "/captures/{id}/files/{n}",  PEOPLE, ROLE_VIEWER,  0,     false, captures_file},
    {"DELETE", V1 "/captures/{id}",            PEOPLE, ROLE_SUPPORT, 0,     false, captures_delete},
    {"PUT",    V1 "/captures/{id}/hold",       PEOPLE, ROLE_SUPPORT, SMALL, false, captures_hold},
    {"GET",    V1 "/campaigns/{id}/runs/{n}/matrix",           PEOPLE, ROLE_VIEWER,  0,     false, runs_matrix},
    {"GET",    V1 "/campaigns/{id}/runs/{n}/tar",              PEOPLE, ROLE_VIEWER,  0,     false, runs_tar},
    {"GET",    V1 "/summary",                  PEOPLE, ROLE_VIEWER,  0,     false, summary_show},

    /* the signed repository: what devices and independent TUF clients fetch */
    {"GET",    "/ca.pem",                     DEVICES, ROLE_ANYBODY, 0, false, authority_get},
    {"GET",    DEVICE_PATH_METADATA "root.json", DEVICES, ROLE_ANYBODY, 0, false, metadata_get},
    {"GET",    DEVICE_PATH_METADATA "{*}",    DEVICES, ROLE_DEVICE,  0, false, metadata_get},
    {"GET",    DEVICE_PATH_TARGETS "{*}",     DEVICES, ROLE_DEVICE,  0, false, targets_get},
    {"GET",    DEVICE_PATH_OBJECTS "{sha256}", DEVICES, ROLE_DEVICE, 0, false, objects_get},
    {"GET",    DEVICE_PATH_DELTAS "{old}/{new}", DEVICES, ROLE_DEVICE, 0, false, deltas_get},
    {"GET",    DEVICE_PATH_METADATA "{*}",    PEOPLE,  ROLE_VIEWER,  0, false, metadata_get},
    {"GET",    DEVICE_PATH_TARGETS "{*}",     PEOPLE,  ROLE_VIEWER,  0, false, targets_get},
    {"GET",    DEVICE_PATH_OBJECTS "{sha256}", PEOPLE, ROLE_VIEWER,  0, false, objects_get},
    {"GET",    DEVICE_PATH_DELTAS "{old}/{new}", PEOPLE, ROLE_VIEWER, 0, false, deltas_get},

    /* health and pages; the last row takes every path that is left */
    {"GET",    "/healthz",             BOTH,   ROLE_ANYBODY, 0,     false, health_show},
    {"GET",    "/metrics",             PEOPLE, ROLE_ANYBODY, 0,     false, metrics_show},
    {"GET",    "/{*}",                 PEOPLE, ROLE_ANYBODY, 0,     false, pages_get},
    {0},
};
/* clang-format on */
