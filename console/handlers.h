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
/* handlers_assets.c, handlers_versions.c, handlers_objects.c */
handler products_list, assets_list, assets_show, assets_history, assets_difference, assets_release;
handler versions_show, versions_file, versions_publish;
handler objects_show, objects_put, objects_get;
handler metadata_get, targets_get, authority_get;
/* pages.c, health.c */
handler pages_get, health_show, metrics_show;

#endif
