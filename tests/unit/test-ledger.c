/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The memory of the pool's records: src/dispatcher/ledger.c. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "dispatcher/ledger.h"
#include "leaks.h"

static const struct ledger_needs no_needs;

static struct ledger create(uint32_t n_rows, uint32_t n_slots)
{
        struct ledger ledger = LEDGER_NULL;

        assert_int_equal(ledger_create(&ledger, n_rows, n_slots), 0);
        return ledger;
}

static void test_done_takes_null(void **state)
{
        struct ledger ledger = LEDGER_NULL;

        (void)state;
        ledger_done(&ledger);
        ledger_done(&ledger);
}

static void test_header(void **state)
{
        struct ledger ledger = create(10, 100);

        (void)state;
        assert_memory_equal(ledger.header->magic, "acceptd", 8);
        assert_int_equal(ledger.header->version, LEDGER_VERSION);
        assert_int_equal(ledger.header->n_rows, 10);
        assert_int_equal(ledger.header->n_slots, 100);
        assert_int_equal(fcntl(ledger.fd, F_GETFD), FD_CLOEXEC);
        ledger_done(&ledger);
        assert_int_equal(ledger.fd, -1);
}

/* Returns the distance of `p` from the header. */
static size_t offset_of(const struct ledger *ledger, const void *p)
{
        return (size_t)((const uint8_t *)p - (const uint8_t *)ledger->header);
}

static void test_tables_fit_and_do_not_overlap(void **state)
{
        struct ledger ledger = create(7, 33);
        size_t rows_at = offset_of(&ledger, ledger.rows);
        size_t slots_at = offset_of(&ledger, ledger.slots);
        struct stat st;

        (void)state;
        assert_true(rows_at >= sizeof(struct ledger_header));
        assert_true(slots_at >= rows_at + 7 * sizeof(struct worker_row));
        assert_true(ledger.size >= slots_at + 33 * sizeof(struct slot));
        assert_int_equal(rows_at % 8, 0);
        assert_int_equal(slots_at % 8, 0);
        assert_int_equal(fstat(ledger.fd, &st), 0);
        assert_int_equal(st.st_size, ledger.size);
        memset(ledger.rows, 1, 7 * sizeof(struct worker_row));
        memset(ledger.slots, 1, 33 * sizeof(struct slot));
        ledger_done(&ledger);
}

static void test_is_sealed(void **state)
{
        struct ledger ledger = create(1, 1);

        (void)state;
        assert_int_equal(ftruncate(ledger.fd, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(ledger.fd, (off_t)ledger.size + 1), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(fcntl(ledger.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
        assert_int_equal(errno, EPERM);
        ledger_done(&ledger);
}

/* Whoever gets the descriptor sees what is written. */
static void test_is_shared(void **state)
{
        struct ledger ledger = create(1, 1);
        _cleanup_(fd_closep) int fd = fcntl(ledger.fd, F_DUPFD_CLOEXEC, 0);
        const struct ledger_header *header = mmap(NULL, ledger.size, PROT_READ, MAP_SHARED, fd, 0);

        (void)state;
        assert_true(header != MAP_FAILED);
        ledger.header->version = 77;
        assert_int_equal(header->version, 77);
        assert_int_equal(munmap((void *)(uintptr_t)header, ledger.size), 0);
        ledger_done(&ledger);
}

static void test_largest(void **state)
{
        struct ledger ledger = create(20000, SLOTS_MAX - 1);

        (void)state;
        ledger.slots[SLOTS_MAX - 2].id = 1; /* it is there */
        ledger_done(&ledger);
}

static void test_no_descriptor(void **state)
{
        struct ledger ledger = LEDGER_NULL;

        (void)state;
        leave_descriptors(0);
        assert_int_equal(ledger_create(&ledger, 1, 1), -EMFILE);
        ledger_done(&ledger);
}

static void test_names(void **state)
{
        struct ledger ledger = create(1, 1);
        _cleanup_(freep) char *none = ledger_join_names(&ledger);
        _cleanup_(freep) char *joined = NULL;

        (void)state;
        assert_string_equal(none, "");
        assert_int_equal(ledger_add_name(&ledger, "http"), 0);
        assert_int_equal(ledger_add_name(&ledger, ""), 1);
        assert_int_equal(ledger_add_name(&ledger, "http"), 0);
        assert_int_equal(ledger_add_name(&ledger, "https"), 2);
        joined = ledger_join_names(&ledger);
        assert_string_equal(joined, "http::https");
        ledger_done(&ledger);
}

static void test_too_many_names(void **state)
{
        struct ledger ledger = create(1, 1);
        _cleanup_(freep) char *joined = NULL;
        char name[LEDGER_NAME_SIZE + 1];

        (void)state;
        memset(name, 'x', sizeof(name));
        name[LEDGER_NAME_SIZE] = '\0';
        assert_int_equal(ledger_add_name(&ledger, name), -ENOSPC);
        name[LEDGER_NAME_SIZE - 1] = '\0'; /* the longest that systemd has */
        for (int i = 0; i < LEDGER_NAMES_MAX; i++) {
                name[0] = (char)('!' + i);
                assert_int_equal(ledger_add_name(&ledger, name), i);
        }
        name[0] = '\x7f';
        assert_int_equal(ledger_add_name(&ledger, name), -ENOSPC);
        name[0] = '!';
        assert_int_equal(ledger_add_name(&ledger, name), 0);
        joined = ledger_join_names(&ledger);
        assert_int_equal(strlen(joined), LEDGER_NAMES_MAX * LEDGER_NAME_SIZE - 1);
        ledger_done(&ledger);
}

/* --- Taking over --- */

/* Returns what ledger_adopt() says of a descriptor. */
static const char *refusal(int fd_consume)
{
        struct ledger ledger = LEDGER_NULL;
        const char *why = NULL;

        assert_int_equal(ledger_adopt(&ledger, fd_consume, &no_needs, &why), -EBADMSG);
        ledger_done(&ledger);
        return why;
}

static int dup_of(const struct ledger *ledger)
{
        return fcntl(ledger->fd, F_DUPFD_CLOEXEC, 0);
}

static void test_adopt(void **state)
{
        struct ledger old = create(7, 33), ledger = LEDGER_NULL;
        const char *why = "as it was";

        (void)state;
        assert_int_equal(ledger_add_name(&old, "http"), 0);
        old.header->pool.counters.accepted = 5;
        old.slots[32].id = 99;
        assert_int_equal(ledger_adopt(&ledger, dup_of(&old), &no_needs, &why), 0);
        assert_string_equal(why, "as it was");
        ledger_done(&old);

        assert_int_equal(ledger_add_name(&ledger, "http"), 0);
        assert_int_equal(ledger_add_name(&ledger, "https"), 1);
        assert_int_equal(ledger.header->pool.counters.accepted, 5);
        assert_int_equal(ledger.slots[32].id, 99);
        assert_int_equal(ledger_get_memory(&ledger, 3).n_rows, 3);
        ledger.rows[2].state = 1; /* in use: it is not left behind, and takes nobody's place */
        assert_int_equal(ledger_get_memory(&ledger, 3).n_rows, 6);
        ledger.rows[5].state = 1;
        assert_int_equal(ledger_get_memory(&ledger, 3).n_rows, 7);
        assert_int_equal(ledger_get_memory(&ledger, 300).n_rows, 7);
        ledger_done(&ledger);
}

static void test_adopt_damaged(void **state)
{
        struct ledger ledger = create(7, 33);

        (void)state;
        ledger.header->version++;
        assert_string_equal(refusal(dup_of(&ledger)), "it has another version");
        ledger.header->version--;
        ledger.header->n_slots++;
        assert_string_equal(refusal(dup_of(&ledger)), "its size is wrong");
        ledger.header->n_slots = UINT32_MAX;
        assert_string_equal(refusal(dup_of(&ledger)), "its size is wrong");
        ledger.header->n_slots = 33;
        ledger.header->n_rows = 0;
        assert_string_equal(refusal(dup_of(&ledger)), "its size is wrong");
        ledger.header->n_rows = 7;
        ledger.header->n_names = LEDGER_NAMES_MAX + 1;
        assert_string_equal(refusal(dup_of(&ledger)), "it has too many names");
        ledger.header->n_names = 1;
        memset(ledger.header->names[0], 'x', LEDGER_NAME_SIZE);
        assert_string_equal(refusal(dup_of(&ledger)), "a name in it has no end");
        ledger.header->n_names = 0;
        ledger.header->magic[0]++;
        assert_string_equal(refusal(dup_of(&ledger)), "it does not begin like one");
        ledger_done(&ledger);
}

static void test_adopt_foreign(void **state)
{
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        (void)state;
        assert_string_equal(refusal(fcntl(fd, F_DUPFD_CLOEXEC, 0)), "it is not sealed");
        assert_int_equal(ftruncate(fd, offsetof(struct ledger_header, names) - 1), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        assert_string_equal(refusal(fd), "it is too short");
        assert_string_equal(refusal(eventfd(0, EFD_CLOEXEC)), "it is not sealed");
}

/* --- Sizes, layouts, limits --- */

/* The bar: the echo instance's address space. */
static void test_default_is_small(void **state)
{
        const struct ledger_needs needs = { .n_rows = 3 * 4 + 6, .n_slots = 65536 };

        (void)state;
        assert_true(ledger_get_size(&needs) < 4000000);
}

static void test_grows(void **state)
{
        const struct ledger_needs needs = { .n_rows = 20, .n_slots = 1000 };
        struct ledger old = create(7, 33), ledger = LEDGER_NULL;
        const char *why = NULL;

        (void)state;
        assert_int_equal(ledger_add_name(&old, "http"), 0);
        old.header->pool.counters.accepted = 5;
        old.header->pool.slots.n_touched = 33;
        old.rows[6].state = 3;
        old.rows[6].number = UINT64_C(1) << 40;
        old.slots[20].id = 99;
        old.slots[20].state = 1;
        assert_int_equal(ledger_adopt(&ledger, dup_of(&old), &needs, &why), 1);
        assert_null(why);
        assert_int_equal(ledger_read_generation(ledger.fd), 0);
        assert_true(ledger.header->n_rows >= 27);
        assert_int_equal(ledger.header->n_slots, 1000);
        assert_int_equal(ledger.header->pool.counters.accepted, 5);
        assert_int_equal(ledger.header->pool.slots.n_touched, 21);
        assert_int_equal(ledger.rows[6].number, UINT64_C(1) << 40);
        assert_int_equal(ledger.slots[20].id, 99);
        assert_int_equal(ledger_add_name(&ledger, "http"), 0);
        assert_int_equal(old.header->n_slots, 33); /* as it was */
        ledger_done(&old);

        old = ledger;
        ledger = LEDGER_NULL;
        assert_int_equal(ledger_adopt(&ledger, dup_of(&old), &needs, &why), 0);
        ledger_done(&old);
        ledger_done(&ledger);
}

/* Nothing in use is left behind, however little the settings ask for. */
static void test_never_smaller_than_what_is_in_use(void **state)
{
        const struct ledger_needs needs = { .n_rows = 100, .n_slots = 1 };
        struct ledger old = create(7, 33), ledger = LEDGER_NULL;
        const char *why = NULL;

        (void)state;
        old.header->pool.slots.n_touched = 33;
        old.slots[32].state = 1;
        assert_int_equal(ledger_adopt(&ledger, dup_of(&old), &needs, &why), 1);
        assert_int_equal(ledger.header->n_slots, 33);
        ledger_done(&old);
        ledger_done(&ledger);
}

/* A ledger of another program of this version: each row and slot is that much larger. */
static int make_foreign(uint32_t more)
{
        struct ledger small = create(2, 3);
        uint32_t row_size = sizeof(struct worker_row) + more, header_size, slot_size;
        size_t rows_at, slots_at, size;
        uint8_t *p;
        int fd = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        slot_size = sizeof(struct slot) + more;
        header_size = sizeof(struct ledger_header) + more;
        rows_at = (header_size + 63) / 64 * 64;
        slots_at = (rows_at + 2 * row_size + 63) / 64 * 64;
        size = slots_at + 3 * slot_size;
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(p != MAP_FAILED);
        memset(p, 0xff, size); /* what this version does not know */
        small.header->header_size = header_size;
        small.header->row_size = row_size;
        small.header->slot_size = slot_size;
        small.header->pool.slots.n_touched = 3;
        small.rows[1].number = 7;
        small.rows[1].state = 3;
        small.slots[2].id = 9;
        small.slots[2].state = 1;
        memcpy(p, small.header, sizeof(*small.header));
        for (size_t i = 0; i < 2; i++)
                memcpy(p + rows_at + i * row_size, &small.rows[i], sizeof(small.rows[i]));
        for (size_t i = 0; i < 3; i++)
                memcpy(p + slots_at + i * slot_size, &small.slots[i], sizeof(small.slots[i]));
        assert_int_equal(munmap(p, size), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        ledger_done(&small);
        return fd;
}

static void test_larger_parts(void **state)
{
        (void)state;
        for (uint32_t more = 8; more <= 512; more *= 8) {
                struct ledger ledger = LEDGER_NULL;
                const char *why = NULL;

                assert_int_equal(ledger_adopt(&ledger, make_foreign(more), &no_needs, &why), 1);
                assert_int_equal(ledger.header->row_size, sizeof(struct worker_row));
                assert_int_equal(ledger.rows[1].number, 7);
                assert_int_equal(ledger.rows[0].state, WORKER_NONE);
                assert_int_equal(ledger.slots[2].id, 9);
                ledger_done(&ledger);
        }
        assert_string_equal(refusal(make_foreign(8192)), "its parts have impossible sizes");
        assert_string_equal(refusal(make_foreign(4)), "its parts have impossible sizes");
}

static void test_limit_of_file_size(void **state)
{
        const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
        struct rlimit low = { 100000, RLIM_INFINITY };
        struct ledger ledger = LEDGER_NULL;

        (void)state;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        assert_int_equal(ledger_create(&ledger, 10, 65536), -EFBIG); /* and no SIGXFSZ */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        ledger_done(&ledger);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITHOUT_LEAKS(test_done_takes_null),
                WITHOUT_LEAKS(test_header),
                WITHOUT_LEAKS(test_tables_fit_and_do_not_overlap),
                WITHOUT_LEAKS(test_is_sealed),
                WITHOUT_LEAKS(test_is_shared),
                WITHOUT_LEAKS(test_largest),
                WITHOUT_LEAKS(test_no_descriptor),
                WITHOUT_LEAKS(test_names),
                WITHOUT_LEAKS(test_too_many_names),
                WITHOUT_LEAKS(test_adopt),
                WITHOUT_LEAKS(test_adopt_damaged),
                WITHOUT_LEAKS(test_adopt_foreign),
                WITHOUT_LEAKS(test_default_is_small),
                WITHOUT_LEAKS(test_grows),
                WITHOUT_LEAKS(test_never_smaller_than_what_is_in_use),
                WITHOUT_LEAKS(test_larger_parts),
                WITHOUT_LEAKS(test_limit_of_file_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
