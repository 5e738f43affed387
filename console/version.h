/* The version of this program, as pages, `locum --version` and metrics say it. */
#ifndef CONSOLE_VERSION_H
#define CONSOLE_VERSION_H

#define LOCUM_VERSION "0.1.0"

#endif
