/* Releases: for a product or a group, proven where the product asks for it, and whole after a crash. */
#include "test/console/small.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "console/audit.h"
#include "console/delivery/group.h"
#include "console/delivery/product.h"
#include "console/delivery/release.h"

#include <string.h>

static bool release(struct small *small, const char *version, const char *group, struct error *err)
{
    const struct release_request asked = {"demo", "model", version, .group = group, .operator_name = "ada"};
    struct released released;

    return release_make(&small->console, &asked, &released, err);
}

static void group(struct small *small, const char *name, const char *filter)
{
    const struct group_wish wish = {.filter = filter, .expect_count = -1};
    struct error err = {0};

    assert_ok(group_create(&small->console, name, &wish, "ada", &err), err);
}

static void ask_for(struct small *small, const char *settings)
{
    struct error err = {0};
    ARENA(arena);

    assert_ok(product_set(&small->console, "demo",
                          json_read(&arena, settings, strlen(settings), &json_limits_small, &err), "ada",
                          true, &err),
              err);
}

static void run(struct small *small, const char *statement)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(db_run(db_query(conn, statement), NULL, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

/* "group version by …" of all releases of the asset, as pages see them. */
static const char *stands(struct small *small, struct arena *arena)
{
    struct error err = {0};
    struct json_writer writer;
    const char *said = "";
    TEXT(out);
    DB_DONE(conn) = db_read(small->console.db, &err);

    json_write_init(&writer, &out);
    json_write_object(&writer, NULL);
    assert_ok(releases_write(conn, "demo", "model", &writer, &err), err);
    json_write_end(&writer, '}');
    const struct json *json = json_read(arena, text_string(&out), out.size, &json_limits_small, &err);
    const struct json *list = json_get(json, "releases");
    for (const struct json *one = list->first; one; one = one->next) {
        const char *of = json_string(one, "group");

        said = arena_printf(arena, "%s%s%s %s %s", said, *said ? ", " : "", of ? of : "all",
                            json_string(one, "version"), json_string(one, "by"));
    }
    return said;
}

static bool is_listed(struct small *small, const char *version)
{
    struct error err = {0};
    struct version_row *rows;
    size_t count;
    ARENA(arena);
    DB_DONE(conn) = db_read(small->console.db, &err);

    assert_ok(repo_versions(conn, &arena, "demo", "model", &rows, &count, &err), err);
    for (size_t i = 0; i < count; i++)
        if (string_is(rows[i].version, version))
            return rows[i].listed;
    fail_msg("there is no version %s", version);
    return false;
}

static void releases_to_product_and_groups_stand_side_by_side(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    group(small, "lab", "tag:lab");
    group(small, "field", "tag:field");
    assert_ok(release(small, "1.1.0", "lab", &err), err);
    assert_ok(release(small, "1.0.0", NULL, &err), err);
    assert_ok(release(small, "1.1.0", "field", &err), err);
    assert_string_equal(stands(small, &arena), "all 1.0.0 ada, field 1.1.0 ada, lab 1.1.0 ada");
    assert_ok(release_end(&small->console, "demo", "model", "lab", "ada", &err), err);
    assert_refused(release_end(&small->console, "demo", "model", "lab", "ada", &err), err, ERROR_MISSING);
    assert_refused(release_end(&small->console, "demo", "model", "nobody", "ada", &err), err, ERROR_MISSING);
    assert_string_equal(stands(small, &arena), "all 1.0.0 ada, field 1.1.0 ada");
}

static void a_group_that_goes_by_the_weather_gets_no_release(void **state)
{
    static const char *const filters[] = {"connectivity:online", "tag:a or -seen:<5m", "image:none",
                                          "-(model:>=1.0.0)"};
    struct small *small = *state;
    struct error err;
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        const char *name = arena_printf(&arena, "g%zu", i);

        group(small, name, filters[i]);
        assert_refused(release(small, "1.0.0", name, &err), err, ERROR_INPUT);
    }
    assert_string_equal(stands(small, &arena), "");
    assert_refused(release(small, "1.0.0", "nobody", &err), err, ERROR_MISSING);
}

static void a_groups_release_keeps_an_old_version_listed(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    for (int i = 1; i <= 10; i++)
        small_publish(small, "model", arena_printf(&arena, "1.%d.0", i), NULL);
    assert_false(is_listed(small, "1.0.0"));
    group(small, "lab", "tag:lab");
    assert_ok(release(small, "1.0.0", "lab", &err), err);
    assert_true(is_listed(small, "1.0.0"));
}

/* A device that says what it runs. */
static void says(struct small *small, struct device *device, const char *state, int result, const char *app)
{
    struct error err = {0};
    ARENA(arena);
    TEXT(answer);

    assert_ok(
        small_checkin(
            small, device,
            arena_printf(&arena,
                         "{\"boot_id\":\"a\",\"generation\":1,\"set\":\"\",\"order_seq\":0,\"metadata\":{},"
                         "\"assets\":{\"model\":{\"version\":\"1.0.0\",\"sha256\":\"%064d\",\"state\":\"%s\","
                         "\"result\":%d}},\"app\":{\"state\":\"%s\",\"pid\":%d,\"since\":null}}",
                         0, state, result, app, string_is(app, "running") ? 7 : 0),
            &answer, &err),
        err);
}

static void only_a_proven_version_is_released_where_the_product_asks(void **state)
{
    struct small *small = *state;
    struct device *a = small_device(small, "cam-1", "", NULL), *b = small_device(small, "cam-2", "", NULL);
    struct release_request asked = {"demo", "model", "1.0.0", .operator_name = "ada"};
    struct released released;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    group(small, "lab", "tag:lab");
    ask_for(small, "{\"release.proven_on\":2}");
    assert_refused(release_make(&small->console, &asked, &released, &err), err, ERROR_CONFLICT);
    assert_true(released.unproven);
    assert_non_null(strstr(err.text, "on 0 devices"));
    assert_non_null(strstr(err.text, "asks for 2"));
    assert_refused(release(small, "1.0.0", "lab", &err), err, ERROR_CONFLICT);
    says(small, a, "idle", 1, "running");
    says(small, b, "updating", 1, "running");
    assert_int_equal(fleet_proven(small->console.fleet, "demo", "model", "1.0.0"), 1);
    says(small, b, "idle", 8, "running");
    assert_int_equal(fleet_proven(small->console.fleet, "demo", "model", "1.0.0"), 1);
    says(small, b, "idle", 1, "starting");
    assert_int_equal(fleet_proven(small->console.fleet, "demo", "model", "1.0.0"), 1);
    assert_refused(release(small, "1.0.0", NULL, &err), err, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "on 1 device,"));
    assert_string_equal(stands(small, &arena), "");
    says(small, b, "idle", 1, "none");
    err = (struct error){0};
    assert_ok(release(small, "1.0.0", NULL, &err), err);
}

static void force_needs_a_reason_and_is_audited_with_the_numbers(void **state)
{
    struct small *small = *state;
    struct release_request asked = {"demo", "model", "1.0.0", .operator_name = "ada", .force = true};
    struct released released;
    struct audit_row *rows;
    size_t count;
    struct error err;
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    ask_for(small, "{\"release.proven_on\":3}");
    assert_refused(release_make(&small->console, &asked, &released, &err), err, ERROR_INPUT);
    asked.reason = "two\nlines";
    assert_refused(release_make(&small->console, &asked, &released, &err), err, ERROR_INPUT);
    asked.reason = "  ";
    assert_refused(release_make(&small->console, &asked, &released, &err), err, ERROR_INPUT);
    asked.reason = "the old one burns";
    err = (struct error){0};
    assert_ok(release_make(&small->console, &asked, &released, &err), err);
    DB_DONE(conn) = db_read(small->console.db, &err);
    assert_ok(audit_rows(conn, &arena, 0, 1, &rows, &count, &err), err);
    assert_string_equal(rows->action, "release");
    assert_non_null(strstr(rows->detail, "forced, proven on 0 of 3 devices: the old one burns"));
}

/* --- after a crash
 * ------------------------------------------------------------------------------------------------ */

static void recover(struct small *small)
{
    struct error err = {0};
    struct db_conn *conn = db_write(small->console.db, &err);

    assert_ok(conn, err);
    assert_ok(release_recover(conn, &err), err);
    assert_ok(db_commit(conn, &err), err);
}

static void a_group_release_cut_off_before_its_commit_never_was(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    group(small, "lab", "tag:lab");
    group(small, "new", "tag:new");
    assert_ok(release(small, "1.0.0", "lab", &err), err);
    run(small, "UPDATE group_release SET next_version = '1.1.0'");
    run(small, "INSERT INTO group_release (group_id, product, asset, next_version, hardware)"
               " SELECT id, 'demo', 'model', '1.1.0', '[]' FROM device_group WHERE name = 'new'");
    recover(small);
    assert_string_equal(stands(small, &arena), "lab 1.0.0 ada");
    assert_ok(release(small, "1.1.0", "new", &err), err);
}

static void a_group_release_cut_off_after_its_commit_counts(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    group(small, "lab", "tag:lab");
    group(small, "labor", "tag:labor");
    assert_ok(release(small, "1.0.0", "lab", &err), err);
    assert_ok(release(small, "1.0.0", "labor", &err), err);
    run(small, "UPDATE group_release SET next_version = '1.1.0'");
    assert_ok(repo_resign(small->console.repo, "demo", "bob",
                          "release model 1.1.0 to group lab\n\nit is time", &err),
              err);
    recover(small);
    assert_string_equal(stands(small, &arena), "lab 1.1.0 bob, labor 1.0.0 ada");
}

static void a_groups_release_is_none_of_the_product(void **state)
{
    struct small *small = *state;
    struct error err = {0};
    ARENA(arena);

    small_publish(small, "model", "1.0.0", NULL);
    small_publish(small, "model", "1.1.0", NULL);
    group(small, "lab", "tag:lab");
    assert_ok(release(small, "1.0.0", NULL, &err), err);
    run(small, "UPDATE release SET next_version = '1.1.0'");
    assert_ok(repo_resign(small->console.repo, "demo", "bob", "release model 1.1.0 to group lab", &err), err);
    recover(small);
    assert_string_equal(stands(small, &arena), "all 1.0.0 ada");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)
        SMALL_TEST(releases_to_product_and_groups_stand_side_by_side),
        SMALL_TEST(a_group_that_goes_by_the_weather_gets_no_release),
        SMALL_TEST(a_groups_release_keeps_an_old_version_listed),
        SMALL_TEST(only_a_proven_version_is_released_where_the_product_asks),
        SMALL_TEST(force_needs_a_reason_and_is_audited_with_the_numbers),
        SMALL_TEST(a_group_release_cut_off_before_its_commit_never_was),
        SMALL_TEST(a_group_release_cut_off_after_its_commit_counts),
        SMALL_TEST(a_groups_release_is_none_of_the_product),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
