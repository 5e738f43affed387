/* `locum serve`: the console from its start to its orderly end. */
#ifndef CONSOLE_SERVE_H
#define CONSOLE_SERVE_H

/* `argv[0]` is "serve". Returns the exit code: 0 stopped in order, 1 failed, 2 wrong use, 5 another copy has
 * the data folder. */
int serve_main(int argc, char **argv);

#endif
