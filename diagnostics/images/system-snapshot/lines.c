#include "diagnostics/images/system-snapshot/parts.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int next_line(FILE *file, char *line, size_t size)
{
    if (file == NULL || fgets(line, (int)size, file) == NULL)
        return 0;
    size_t length = strlen(line);
    if (length > 0 && line[length - 1] == '\n') {
        line[length - 1] = '\0';
        return 1;
    }
    for (int c = fgetc(file); c != EOF && c != '\n';)
        c = fgetc(file);
    return 1;
}

size_t read_whole(const char *path, char *room, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t got = 0;
    ssize_t n = 0;
    while (fd >= 0 && got < size - 1 && (n = read(fd, room + got, size - 1 - got)) > 0)
        got += (size_t)n;
    if (fd >= 0)
        close(fd);
    room[got] = '\0';
    return got;
}
