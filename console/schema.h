/* The database's schema: console/schema/NNN-noun.sql as migrations, made by console/schema/generate at build
 * time. */
#ifndef CONSOLE_SCHEMA_H
#define CONSOLE_SCHEMA_H

#include "base/db.h"

/* In order of their numbers; ends with a row of zeros. */
extern const struct db_migration schema_migrations[];

#endif
