/* once IN OUT: reads IN ("-" is the standard input), hashes it with SHA-256 and writes it to OUT, each byte
 * once, and says the hash. What an update can never cost less than, if the whole file is to be checked: the
 * measure for the client's CPU. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 256 * 1024 };

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "once: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_in(const char *name)
{
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail(name);
    return fd;
}

static void write_all(int fd, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno != EINTR)
            fail("write");
        if (wrote > 0) {
            bytes += wrote;
            size -= (size_t)wrote;
        }
    }
}

/* The next piece: 0 at the end. */
static size_t read_piece(int fd, unsigned char *piece)
{
    ssize_t got;
    do
        got = read(fd, piece, PIECE);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        fail("read");
    return (size_t)got;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: once IN OUT\n");
        return 2;
    }
    int in = open_in(argv[1]);
    int out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0)
        fail(argv[2]);
    static unsigned char piece[PIECE];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
    bool fine = sha256 && EVP_DigestInit_ex(sha256, EVP_sha256(), NULL) == 1;
    for (size_t got; fine && (got = read_piece(in, piece)) > 0;) {
        fine = EVP_DigestUpdate(sha256, piece, got) == 1;
        write_all(out, piece, got);
    }
    if (!fine || EVP_DigestFinal_ex(sha256, hash, &length) != 1)
        fail("SHA-256");
    EVP_MD_CTX_free(sha256);
    if (close(out) != 0)
        fail(argv[2]);
    for (unsigned int i = 0; i < length; i++)
        printf("%02x", hash[i]);
    printf("\n");
    return 0;
}
