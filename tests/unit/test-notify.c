/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service manager is told while it does not read: src/os/notify.c. */

#include <fcntl.h>
#include <stddef.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "leaks.h"
#include "os/notify.h"
#include "raw.h"

#define DEADLINE (20 * USEC_PER_SEC)

static struct {
        struct loop loop;
        int manager; /* the service manager's socket */
        unsigned n_progress;
        char text[1024];
        int fd; /* that came with it, or -1 */
} test;

static void on_progress(void *userdata _unused_)
{
        test.n_progress++;
}

static struct sockaddr_un make_address(socklen_t *ret_size)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                "acceptd-test-notify-%d", (int)getpid());

        *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
        return address;
}

static void open_manager(void)
{
        socklen_t size;
        struct sockaddr_un address = make_address(&size);

        test.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(test.manager >= 0);
        assert_int_equal(bind(test.manager, (const struct sockaddr *)&address, size), 0);
}

static int begin(void **state)
{
        socklen_t size;
        struct sockaddr_un address = make_address(&size);
        char name[128];

        leaks_begin(state);
        memset(&test, 0, sizeof(test));
        test.fd = -1;
        open_manager();
        (void)snprintf(name, sizeof(name), "@%s", address.sun_path + 1);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        assert_int_equal(notify_open(), 0);
        assert_int_equal(loop_init(&test.loop, false), 0);
        assert_int_equal(notify_watch(&test.loop, on_progress, NULL), 0);
        return 0;
}

static int end(void **state)
{
        notify_unwatch();
        loop_deinit(&test.loop);
        fd_close(test.fd);
        fd_close(test.manager);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(notify_open(), 0);
        return leaks_end(state);
}

/* Other services have filled its queue. Each sender has a limit of its own. */
static void fill(void)
{
        socklen_t size;
        struct sockaddr_un address = make_address(&size);
        unsigned n;

        do {
                int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

                assert_true(fd >= 0);
                assert_int_equal(connect(fd, (const struct sockaddr *)&address, size), 0);
                for (n = 0; send(fd, "other", 5, MSG_DONTWAIT) == 5; n++)
                        ;
                assert_int_equal(errno, EAGAIN);
                fd_close(fd);
        } while (n > 0);
}

/* Reads one message of this process. Returns false where there is none. */
static bool read_one(void)
{
        for (;;) {
                union {
                        struct cmsghdr header;
                        uint8_t space[CMSG_SPACE(sizeof(int))];
                } control;
                struct iovec iov = { .iov_base = test.text, .iov_len = sizeof(test.text) - 1 };
                struct msghdr msg = {
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control),
                };
                ssize_t n = recvmsg(test.manager, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

                if (n < 0)
                        return false;
                test.text[n] = '\0';
                if (streq(test.text, "other"))
                        continue;
                test.fd = fd_close(test.fd);
                if (CMSG_FIRSTHDR(&msg))
                        memcpy(&test.fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
                return true;
        }
}

/* The next one is this. */
static void expect(const char *text)
{
        usec_t deadline = usec_add(usec_now(), DEADLINE);

        while (!read_one()) {
                assert_true(usec_now() < deadline);
                assert_true(sd_event_run(test.loop.event, 10 * USEC_PER_MSEC) >= 0);
        }
        assert_string_equal(test.text, text);
}

static void expect_nothing(void)
{
        assert_true(notify_flush(DEADLINE));
        if (read_one())
                fail_msg("\"%s\"", test.text);
}

static void test_at_once(void **state _unused_)
{
        int fd = dup(STDERR_FILENO);

        assert_int_equal(notify_store("%1", fd), 0);
        notify_ready("well");
        notify_unstore("%1");
        notify_watchdog();
        expect("FDSTORE=1\nFDPOLL=0\nFDNAME=%1");
        assert_int_equal(inode_of(test.fd), inode_of(fd));
        expect("READY=1\nSTATUS=well");
        expect("FDSTOREREMOVE=1\nFDNAME=%1");
        expect("WATCHDOG=1");
        expect_nothing();
        assert_int_equal(test.n_progress, 0);
        fd_close(fd);
}

/* Before, each of these waited for as long as nobody read. */
static void test_order_behind_a_full_queue(void **state _unused_)
{
        int fd = dup(STDERR_FILENO);
        uint64_t ticket;

        fill();
        notify_ready("well");
        ticket = notify_store("%1", fd);
        notify_unstore("%2");
        notify_reloading();
        notify_ready("again");
        assert_int_not_equal(ticket, 0);
        assert_false(notify_is_out(ticket));
        expect("READY=1\nSTATUS=well");
        expect("FDSTORE=1\nFDPOLL=0\nFDNAME=%1");
        assert_int_equal(inode_of(test.fd), inode_of(fd));
        assert_true(notify_is_out(ticket));
        expect("FDSTOREREMOVE=1\nFDNAME=%2");
        while (!read_one())
                assert_true(sd_event_run(test.loop.event, DEADLINE) > 0);
        assert_non_null(startswith(test.text, "RELOADING=1\nMONOTONIC_USEC="));
        expect("READY=1\nSTATUS=again");
        expect_nothing();
        assert_true(test.n_progress > 0);
        fd_close(fd);
}

static void test_latest_status_and_watchdog(void **state _unused_)
{
        fill();
        for (int i = 0; i < 3; i++) {
                notify_status(i < 2 ? "older" : "latest");
                notify_watchdog();
        }
        expect("WATCHDOG=1");
        expect("STATUS=latest");
        expect_nothing();
}

static void test_state_has_the_newer_status(void **state _unused_)
{
        fill();
        notify_starting("older", 5);
        notify_ready("latest");
        expect("READY=1\nSTATUS=latest");
        expect_nothing();
}

/* It is repeated for as long as workers take to end. */
static void test_stopping_waits_once(void **state _unused_)
{
        fill();
        for (int i = 0; i < 3; i++)
                notify_stopping(i < 2 ? "2 left" : "1 left", 7);
        expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=7\nSTATUS=1 left");
        expect_nothing();
}

/* So the list does not grow, however many workers come and go. */
static void test_stored_and_taken_out_again(void **state _unused_)
{
        int fd = dup(STDERR_FILENO);
        uint64_t ticket = 0;

        fill();
        notify_unstore("%1"); /* of the one before */
        for (int i = 0; i < 3; i++) {
                ticket = notify_store("%1", fd);
                notify_unstore("%1");
        }
        fd_close(fd);
        expect("FDSTOREREMOVE=1\nFDNAME=%1");
        expect_nothing();
        assert_true(notify_is_out(ticket));
}

static void test_given_is_closed(void **state _unused_)
{
        int ends[2];
        char byte;

        for (int full = 0; full <= 1; full++) {
                assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
                if (full)
                        fill();
                assert_int_equal(notify_give("!s1", ends[1]) != 0, full);
                expect("FDSTORE=1\nFDPOLL=0\nFDNAME=!s1");
                test.fd = fd_close(test.fd);
                expect_nothing();
                assert_int_equal(read(ends[0], &byte, 1), 0); /* all copies are */
                fd_close(ends[0]);
        }
}

static void test_stuck(void **state _unused_)
{
        usec_t deadline = usec_add(usec_now(), DEADLINE);

        fill();
        notify_status("nobody waits for this");
        assert_false(notify_is_stuck(50 * USEC_PER_MSEC));
        notify_ready("well");
        while (!notify_is_stuck(50 * USEC_PER_MSEC))
                assert_true(usec_now() < deadline);
        assert_false(notify_flush(1));
        expect("READY=1\nSTATUS=well");
        assert_false(notify_is_stuck(50 * USEC_PER_MSEC));
}

static void test_another_socket_there(void **state _unused_)
{
        notify_status("first");
        expect("STATUS=first");
        fd_close(test.manager);
        notify_ready("nobody hears this");
        assert_true(notify_flush(0));
        open_manager();
        notify_status("second");
        expect("STATUS=second");
        fd_close(test.manager);
        open_manager();
        notify_status("third");
        expect("STATUS=third");
}

static void test_status_of_one_line(void **state _unused_)
{
        notify_status("cannot start /bin/x\nREADY=1");
        expect("STATUS=cannot start /bin/x READY=1");
}

#define WITH_MANAGER(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_MANAGER(test_at_once),
                WITH_MANAGER(test_order_behind_a_full_queue),
                WITH_MANAGER(test_latest_status_and_watchdog),
                WITH_MANAGER(test_state_has_the_newer_status),
                WITH_MANAGER(test_stopping_waits_once),
                WITH_MANAGER(test_stored_and_taken_out_again),
                WITH_MANAGER(test_given_is_closed),
                WITH_MANAGER(test_stuck),
                WITH_MANAGER(test_another_socket_there),
                WITH_MANAGER(test_status_of_one_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
