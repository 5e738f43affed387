/* Enrolment without a console: what is refused before anything is sent or written. */
#include "agent/enrolment.h"

#include "agent/pem.h"
#include "agent/state.h"
#include "base/file.h"
#include "test/agent/disk.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "abcdefghijklmnopqrstuvwxyz"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void malformed_claim_codes_and_servers_are_refused_before_a_folder_is_made(void **state)
{
    (void)state;
    static const struct {
        const char *claim, *server;
    } wrong[] = {
        {"nonsense", "https://h:1"},
        {"", "https://h:1"},
        {SECRET "." HASH, "https://h:1"},
        {SECRET "." HASH "." HASH "x", "https://h:1"},
        {SECRET "." HASH "-" HASH, "https://h:1"},
        {"abcdefghijklmnopqrstuvwxy1." HASH "." HASH, "https://h:1"},
        {SECRET "." HASH "." HASH, "http://h:1"},
        {SECRET "." HASH "." HASH, "https://"},
    };
    DISK(disk);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct enrolment enrolment;
        struct error err = {0};
        bool already;
        struct enrol_options options = {.state = arena_printf(&disk.arena, "%s/new", disk.path),
                                        .server = wrong[i].server,
                                        .claim = wrong[i].claim};
        assert_false(enrol(&options, &enrolment, &already, &err));
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_false(disk_has(&disk, "new"));
    }
}

/* An enrolment as a successful one leaves it. */
static void enrolled(struct disk *disk, struct enrolment *enrolment)
{
    struct error err = {0};

    *enrolment = (struct enrolment){
        .server = "https://h:1", .device = "cam-1", .product = "demo", .admission = "accepted"};
    sha256_hex(SECRET, strlen(SECRET), enrolment->claim);
    private_key_make(&enrolment->key);
    assert_ok(folder_make(disk->fd, STATE_IDENTITY, 0700, &err), err);
    assert_ok(private_key_save(&enrolment->key, disk->fd, STATE_KEY, &err), err);
    assert_ok(enrolment_save(disk->fd, enrolment, &err), err);
}

static void the_same_claim_again_is_fine_and_another_identity_is_refused(void **state)
{
    (void)state;
    DISK(disk);
    struct enrolment before, enrolment;
    struct error err = {0};
    bool already;
    struct enrol_options options = {
        .state = disk.path, .server = "https://h:1/", .claim = SECRET "." HASH "." HASH};

    enrolled(&disk, &before);
    assert_ok(enrol(&options, &enrolment, &already, &err), err);
    assert_true(already);
    assert_string_equal(enrolment.device, "cam-1");
    options.server = "https://elsewhere:1";
    assert_false(enrol(&options, &enrolment, &already, &err));
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "cam-1"));
    err = (struct error){0};
    assert_ok(enrolment_load(disk.fd, &enrolment, &err), err);
    assert_memory_equal(&enrolment.key, &before.key, sizeof(before.key));
}

static void the_key_and_the_enrolment_are_for_the_owner_alone(void **state)
{
    (void)state;
    DISK(disk);
    struct enrolment enrolment;
    struct stat stat;

    enrolled(&disk, &enrolment);
    assert_int_equal(fstatat(disk.fd, STATE_KEY, &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    assert_int_equal(fstatat(disk.fd, STATE_ENROLMENT, &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
}

static void a_folder_without_an_enrolment_says_how_to_get_one(void **state)
{
    (void)state;
    DISK(disk);
    struct enrolment enrolment;
    struct error err = {0};

    assert_false(enrolment_load(disk.fd, &enrolment, &err));
    assert_int_equal(err.kind, ERROR_MISSING);
    assert_non_null(strstr(err.text, "locum-agent enrol"));
}

static void only_the_first_certificate_is_vouched_for(void **state)
{
    (void)state;
    ARENA(arena);
    struct error err = {0};
    char fingerprint[SHA256_HEX], wanted[SHA256_HEX];
    const char *text = "words\n-----BEGIN CERTIFICATE-----\nAQIDBAUG\nBw==\n-----END CERTIFICATE-----\n"
                       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    char *pem = pem_first(&arena, text, fingerprint, &err);
    assert_non_null(pem);
    sha256_hex("\1\2\3\4\5\6\7", 7, wanted);
    assert_string_equal(fingerprint, wanted);
    assert_null(strstr(pem, "AAAA"));
    assert_null(strstr(pem, "words"));
}

static void what_is_no_certificate_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "nothing", "-----BEGIN CERTIFICATE-----\nAQID\n",
                                        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                                        "-----BEGIN CERTIFICATE-----\n<script>\n-----END CERTIFICATE-----\n"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ARENA(arena);
        struct error err = {0};
        char fingerprint[SHA256_HEX];
        assert_null(pem_first(&arena, wrong[i], fingerprint, &err));
        assert_int_equal(err.kind, ERROR_INPUT);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_claim_codes_and_servers_are_refused_before_a_folder_is_made),
        cmocka_unit_test(the_same_claim_again_is_fine_and_another_identity_is_refused),
        cmocka_unit_test(the_key_and_the_enrolment_are_for_the_owner_alone),
        cmocka_unit_test(a_folder_without_an_enrolment_says_how_to_get_one),
        cmocka_unit_test(only_the_first_certificate_is_vouched_for),
        cmocka_unit_test(what_is_no_certificate_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
