/* What the handlers of assets, versions and objects share. */
#ifndef CONSOLE_HANDLERS_ASSETS_H
#define CONSOLE_HANDLERS_ASSETS_H

#include "console/fleet.h"
#include "console/server.h"
#include "repo/repo.h"

/* One version as API.md shapes it, open: the caller adds members and the closing '}'. */
bool put_version(struct json_writer *json, struct db_conn *conn, const struct asset_row *asset,
                 const struct version_row *row, const struct adoption *adoption, struct error *err);
/* The asset's row. MISSING names it. */
bool asset_find(struct request *request, struct db_conn *conn, const char *product, const char *asset,
                struct asset_row **row, struct error *err);

#endif
