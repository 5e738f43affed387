/* All handlers of the route table, by noun. Each reads input, makes one call, writes the answer. */
#ifndef CONSOLE_HANDLERS_H
#define CONSOLE_HANDLERS_H

#include "console/server.h"

/* handlers_people.c */
handler setup_show, setup_do, session_show, session_create, session_delete, session_password;
handler operators_list, operators_create, operators_update, operators_delete;
handler login_create, tokens_list, tokens_create, tokens_delete;
/* handlers_audit.c */
handler audit_list, events_stream;
/* handlers_products.c */
handler products_list, products_show, products_set;
/* handlers_assets.c, handlers_versions.c, handlers_objects.c */
handler assets_list, assets_show, assets_history, assets_difference;
handler versions_show, versions_file, versions_publish;
handler objects_show, objects_put, objects_get;
handler metadata_get, targets_get, authority_get;
/* handlers_releases.c */
handler assets_release, assets_release_end, versions_withdraw, versions_devices;
/* handlers_groups.c */
handler groups_list, groups_show, groups_create, groups_change, groups_delete;
/* handlers_devices.c */
handler claims_create, devices_list, devices_show, devices_timeline, devices_preview;
handler devices_accept, devices_reject, devices_retire, devices_tag;
/* handlers_pins.c */
handler devices_pin, devices_unpin, devices_develop, devices_why;
/* handlers_campaigns.c, handlers_captures.c, handlers_summary.c */
handler images_list, campaigns_list, campaigns_create, campaigns_show, campaigns_end, runs_show;
handler campaigns_pause, campaigns_resume, campaigns_approve; /* handlers_runs.c */
handler runs_devices, runs_device, runs_return_now, runs_extend, runs_cancel;
handler captures_list, captures_show, captures_file, summary_show;
handler captures_delete, captures_hold, runs_matrix, runs_tar; /* handlers_captures.c */
/* handlers_hooks.c */
handler hooks_list, hooks_create, hooks_delete, hooks_log;
/* handlers_rollouts.c */
handler rollouts_list, rollouts_create, rollouts_show, rollouts_devices, rollouts_failures, rollouts_timeline;
handler rollouts_start, rollouts_pause, rollouts_resume, rollouts_advance, rollouts_abort, rollouts_roll_back;
handler rollouts_retry, rollouts_exclude;
/* handlers_deltas.c */
handler device_side_deltas, deltas_get;
/* Sends the object packed, if the request takes that and it is there. False: nothing was sent. */
bool deltas_answer_packed(struct request *request, const char *sha256, int64_t length);
/* handlers_device_side.c: what devices ask */
handler device_side_enrol, device_side_nonce, device_side_session, device_side_checkin, device_side_reports;
handler device_side_capture_begin, device_side_capture_append;
/* pages.c, health.c */
handler pages_get, health_show, metrics_show;

#endif
