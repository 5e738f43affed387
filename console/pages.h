/* The built pages: every file of the www folder, in memory, with its compressed form where the build made
 * one. */
#ifndef CONSOLE_PAGES_H
#define CONSOLE_PAGES_H

#include "base/error.h"

struct pages;
/* Loads the folder. `folder` NULL: build/www next to the program, or share/locum/www of its prefix. Without
 * index.html the pages are empty and every page says how to build them. NULL on failure. */
struct pages *pages_open(const char *folder, struct error *err);
void pages_close(struct pages *pages); /* NULL is fine */
unsigned pages_count(const struct pages *pages);

#endif
