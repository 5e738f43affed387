/* What the handlers of assets, versions and objects share. */
#ifndef CONSOLE_HANDLERS_ASSETS_H
#define CONSOLE_HANDLERS_ASSETS_H

#include "console/server.h"
#include "repo/repo.h"

/* One version as API.md shapes it, open: the caller adds members and the closing '}'. */
void put_version(struct json_writer *json, struct request *request, const char *product, const char *asset,
                 enum asset_kind kind, const struct version_row *row);
/* The asset's row. MISSING names it. */
bool asset_find(struct request *request, struct db_conn *conn, const char *product, const char *asset,
                struct asset_row **row, struct error *err);

#endif
