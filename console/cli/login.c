/* locum login: signs in with name and password once and keeps an API token in the settings file. */
#include "console/cli/cli.h"

#include "base/digest.h"
#include "base/file.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { LINE = 1024 };

static bool line_ask(struct cli *cli, const char *question, bool hidden, const char **answer)
{
    if (!isatty(STDIN_FILENO))
        return error_set(&cli->err, ERROR_INPUT,
                         "standard input is no terminal: use --name and --password-file");
    struct termios before, quiet;
    char line[LINE];
    fputs(question, stderr);
    bool switched = hidden && tcgetattr(STDIN_FILENO, &before) == 0;
    if (switched) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    bool read = fgets(line, sizeof line, stdin) != NULL;
    if (switched) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    line[read ? strcspn(line, "\n") : 0] = '\0';
    *answer = arena_strdup(&cli->arena, line);
    explicit_bzero(line, sizeof line);
    return *answer[0] || error_set(&cli->err, ERROR_INPUT, "nothing was entered");
}

bool cli_password(struct cli *cli, const char **password)
{
    const char *path = cli_value(cli, "password-file");
    if (!path)
        return line_ask(cli, "Password: ", true, password);
    FD(fd) = open(path, O_RDONLY | O_CLOEXEC);
    char *line = arena_alloc(&cli->arena, LINE);
    if (fd < 0 || read(fd, line, LINE - 1) < 0)
        return error_errno(&cli->err, "%s", path);
    line[strcspn(line, "\r\n")] = '\0';
    *password = line;
    return true;
}

/* The session is the cookie's; the token that follows is what later calls use. */
static const char *token_get(struct cli *cli, const char *name, const char *password)
{
    TEXT(body);
    struct json_writer writer;
    json_write_init(&writer, &body);
    json_write_object(&writer, NULL);
    json_write_string(&writer, "name", name);
    json_write_string(&writer, "password", password);
    char host[64] = "", unique[9];
    uint8_t bytes[4];
    random_bytes(bytes, sizeof bytes); /* two sign-ins in one second are two tokens */
    hex_encode(unique, bytes, sizeof bytes);
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
    json_write_string(&writer, "token", arena_printf(&cli->arena, "cli-%.40s-%s", host, unique));
    json_write_end(&writer, '}');
    const struct json *answer = cli_json(cli, "POST", "/login", &body);
    const char *token = json_string(answer, "token");
    if (answer && !token)
        error_set(&cli->err, ERROR_SYSTEM, "the console gave no token");
    return token;
}

int cli_login(struct cli *cli)
{
    const char *name = cli_value(cli, "name"), *password;
    if ((!name && !line_ask(cli, "Name: ", false, &name)) || !cli_password(cli, &password) ||
        !cli_connect(cli))
        return cli_fail(cli);
    cli->token = NULL;
    const char *token = token_get(cli, name, password);
    if (!token || !cli_config_save(cli, cli->url, token))
        return cli_fail(cli);
    fprintf(stderr, "signed in to %s as %s\n", cli->url, name);
    return EXIT_DONE;
}
