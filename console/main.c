/* The program `locum`: the console itself, or the engineer's command line over its interface. */
#include "console/cli/cli.h"
#include "console/serve.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve_main(argc - 1, argv + 1);
    return cli_main(argc, argv);
}
