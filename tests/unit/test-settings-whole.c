/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Settings as a whole: what follows from several of them, and what --check prints,
 * src/settings/settings.c. Single keys are in test-settings.c.
 */

#include "settings-text.h"

/* --- What follows --- */

static void auto_becomes_the_number_of_cpus(void **state)
{
        static const uint32_t pairs[][2] = { { 0, 1 }, { 1, 1 }, { 2, 2 }, { 4096, 4096 },
                { 10000, 4096 } };
        _cleanup_(freep) char *one = NULL, *two = NULL;
        struct settings s;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                settings_init(&s);
                settings_resolve(&s, pairs[i][0]);
                assert_int_equal(s.workers, pairs[i][1]);
                settings_done(&s);
        }

        settings_init(&s);
        settings_resolve(&s, 1);
        one = settings_text(&s);
        assert_non_null(strstr(one, "# default: auto, 1 CPU\nWorkers=1\n"));
        settings_done(&s);

        settings_init(&s);
        settings_must_assign(&s, "Workers=auto");
        settings_resolve(&s, 2);
        two = settings_text(&s);
        assert_non_null(strstr(two, "# -o: auto, 2 CPUs\nWorkers=2\n"));
        settings_done(&s);

        settings_init(&s);
        settings_must_assign(&s, "Workers=5");
        settings_resolve(&s, 2);
        assert_int_equal(s.workers, 5);
        assert_int_equal(s.resolved_cpus, 0);
        settings_done(&s);
}

static void delay_must_have_room_to_grow(void **state)
{
        _cleanup_(freep) char *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        assert_int_equal(settings_check(&s, &message), 0);
        settings_must_assign(&s, "RestartSec=30s");
        assert_int_equal(settings_check(&s, &message), 0);
        assert_null(message);
        settings_must_assign(&s, "RestartSec=1min");
        assert_int_equal(settings_check(&s, &message), -EINVAL);
        assert_string_equal(
                message, "RestartMaxDelaySec=30s (default) is shorter than RestartSec=1min (-o)");
        settings_done(&s);
}

static void the_most_workers_follow_the_least(void **state)
{
        _cleanup_(freep) char *less = NULL, *spare = NULL, *text = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "Workers=5");
        settings_resolve(&s, 2);
        assert_int_equal(s.workers_max, 5);
        assert_int_equal(settings_check(&s, &less), 0);
        text = settings_text(&s);
        assert_non_null(strstr(text, "# default: as Workers=\nWorkersMax=5\n"));

        settings_must_assign(&s, "WorkersMax=4");
        assert_int_equal(settings_check(&s, &less), -EINVAL);
        assert_string_equal(less, "WorkersMax=4 (-o) is less than Workers=5 (-o)");

        settings_must_assign(&s, "WorkersMax=6");
        settings_must_assign(&s, "WorkersSpare=7");
        assert_int_equal(settings_check(&s, &spare), -EINVAL);
        assert_string_equal(spare, "WorkersSpare=7 (-o) is more than WorkersMax=6 (-o)");
        settings_done(&s);
}

/* `WorkersMax=1` was refused where there are two processors, and accepted where there is one. */
static void workers_max_alone_bounds_auto(void **state)
{
        _cleanup_(freep) char *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "WorkersMax=3");
        settings_resolve(&s, 8);
        assert_int_equal(s.workers, 3);
        assert_int_equal(settings_check(&s, &message), 0);
        settings_done(&s);

        settings_init(&s);
        settings_must_assign(&s, "WorkersMax=3");
        settings_resolve(&s, 2);
        assert_int_equal(s.workers, 2);
        assert_int_equal(s.workers_max, 3);
        settings_done(&s);
}

/* Each setting about connections has no meaning then, and says so. */
static void workers_that_accept_leave_nothing_to_count(void **state)
{
        static const char *const others[] = { "MaxConnections=65536", "Distribute=round-robin",
                "LogConnections=no", "WorkersSpare=1", "WorkersMax=7", "WorkerIdleTimeoutSec=1s",
                "ConnectionsPerWorker=1", "QueueTimeoutSec=1s", "RecycleAfter=5",
                "MaxConnectionsPerSource=1", "RateLimitPerSource=1/1s", "OverloadReply=/a",
                "SourcePrefixLength=24:56", "SourceExempt=::1", "ExitIdleTimeSec=1h" };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                _cleanup_(freep) char *message = NULL;
                struct settings s;

                settings_init(&s);
                settings_must_assign(&s, "Accept=no");
                settings_must_assign(&s, "Workers=2");
                settings_must_assign(&s, "Command=/bin/a");
                settings_must_assign(&s, others[i]);
                settings_resolve(&s, 2);
                assert_int_equal(settings_check(&s, &message), -EINVAL);
                assert_non_null(startswith(message, others[i]));
                assert_non_null(strstr(message, " (-o) is about connections, which workers accept "
                                                "unseen with Accept=no (-o)"));
                settings_done(&s);
        }
}

static void workers_that_accept_need_a_command(void **state)
{
        _cleanup_(freep) char *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "Accept=no");
        assert_int_equal(settings_check(&s, &message), -EINVAL);
        assert_non_null(startswith(message, "Command= is not set"));
        settings_done(&s);
}

/* What is kept for after a crash is read as a file in which all is set. */
static void workers_that_accept_are_printed_without_the_rest(void **state)
{
        _cleanup_(freep) char *text = NULL, *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "Accept=no");
        settings_must_assign(&s, "Command=/bin/a");
        settings_must_assign(&s, "WorkersMax=2");
        settings_resolve(&s, 2);
        assert_int_equal(settings_check(&s, &message), 0);
        text = settings_text(&s);
        assert_non_null(strstr(text, "\nAccept=no\n"));
        assert_non_null(strstr(text, "\nWatchdogSec=0\n"));
        assert_null(strstr(text, "Connections"));
        assert_null(strstr(text, "WorkersSpare"));
        settings_done(&s);
}

/* --- Printing --- */

static void prints_defaults_in_full(void **state)
{
        _cleanup_(freep) char *text = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_resolve(&s, 2);
        text = settings_text(&s);
        assert_string_equal(text, "[Pool]\n"
                                  "# default: auto, 2 CPUs\n"
                                  "Workers=2\n"
                                  "# default\n"
                                  "WorkersSpare=0\n"
                                  "# default: as Workers=\n"
                                  "WorkersMax=2\n"
                                  "# default\n"
                                  "WorkerIdleTimeoutSec=1min\n"
                                  "# default\n"
                                  "Accept=yes\n"
                                  "# default\n"
                                  "ExitIdleTimeSec=infinity\n"
                                  "# default\n"
                                  "MaxConnections=65536\n"
                                  "# default\n"
                                  "MaxConnectionsPerSource=0\n"
                                  "# default\n"
                                  "RateLimitPerSource=0\n"
                                  "# default\n"
                                  "SourcePrefixLength=32:64\n"
                                  "# default: nobody\n"
                                  "SourceExempt=\n"
                                  "# default: nothing\n"
                                  "OverloadReply=\n"
                                  "# default\n"
                                  "Distribute=least-connections\n"
                                  "# default\n"
                                  "LogConnections=no\n"
                                  "\n"
                                  "[Worker]\n"
                                  "# default: the echo worker\n"
                                  "Command=\n"
                                  "# default: what the worker says\n"
                                  "ConnectionsPerWorker=\n"
                                  "# default\n"
                                  "TimeoutStartSec=30s\n"
                                  "# default\n"
                                  "WatchdogSec=0\n"
                                  "# default\n"
                                  "QueueTimeoutSec=1s\n"
                                  "# default\n"
                                  "DrainTimeoutSec=30s\n"
                                  "# default\n"
                                  "ReloadDrainTimeoutSec=infinity\n"
                                  "# default\n"
                                  "TimeoutStopSec=5s\n"
                                  "# default\n"
                                  "RecycleAfter=0\n"
                                  "# default\n"
                                  "RecycleSec=infinity\n"
                                  "# default\n"
                                  "RecycleMemory=infinity\n"
                                  "# default\n"
                                  "RestartSec=100ms\n"
                                  "# default\n"
                                  "RestartMaxDelaySec=30s\n"
                                  "# default\n"
                                  "CPUSchedulingPolicy=batch\n");
        settings_done(&s);
}

/* Reads what settings_text() gave; the source is "again". Knows only the lines that are printed. */
static void read_back(struct settings *s, char *text)
{
        char *section = NULL, *saved = NULL;

        for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
                char *equals = strchr(line, '='), *message = NULL;

                if (*line == '[') {
                        section = line + 1;
                        section[strcspn(section, "]")] = '\0';
                } else if (*line != '#') {
                        assert_non_null(equals);
                        *equals = '\0';
                        if (settings_set(s, section, line, equals + 1, "again", &message) != 0)
                                fail_msg("%s", message);
                }
        }
}

static void printed_settings_read_back_as_the_same(void **state)
{
        static const char *const assignments[] = { "Workers=3", "WorkersSpare=2", "WorkersMax=9",
                "LogConnections=yes", "RecycleAfter=1000", "Distribute=round-robin",
                "Command=/bin/a 'b\\n#' \"\\\\\" ; \"it's\"", "DrainTimeoutSec=infinity",
                "RestartSec=1d 1us", "RestartMaxDelaySec=7w", "CPUSchedulingPolicy=other",
                "MaxConnectionsPerSource=7", "RateLimitPerSource=7/1min 30s",
                "SourcePrefixLength=24:56",
                "SourceExempt=192.0.2.0/24 2001:db8::/32 uid:1000 cid:3", "ExitIdleTimeSec=90s",
                "RecycleSec=2h", "RecycleMemory=1536K" };
        _cleanup_(freep) char *text = NULL;
        struct settings a, b;

        (void)state;
        settings_init(&a);
        settings_init(&b);
        for (size_t i = 0; i < ELEMENTSOF(assignments); i++)
                settings_must_assign(&a, assignments[i]);
        text = settings_text(&a);
        read_back(&b, text);

        assert_int_equal(a.workers, b.workers);
        assert_int_equal(a.max_connections, b.max_connections);
        assert_int_equal(a.distribute, b.distribute);
        assert_int_equal(a.workers_spare, b.workers_spare);
        assert_int_equal(a.workers_max, b.workers_max);
        assert_int_equal(a.worker_idle_timeout, b.worker_idle_timeout);
        assert_int_equal(a.log_connections, b.log_connections);
        assert_int_equal(a.reload_drain_timeout, b.reload_drain_timeout);
        assert_int_equal(a.recycle_after, b.recycle_after);
        assert_int_equal(a.recycle_age, b.recycle_age);
        assert_int_equal(a.recycle_memory, b.recycle_memory);
        assert_int_equal(a.exit_idle_time, b.exit_idle_time);
        for (size_t i = 0; a.command[i] || b.command[i]; i++)
                assert_string_equal(a.command[i], b.command[i]);
        assert_int_equal(a.connections_per_worker, b.connections_per_worker);
        assert_int_equal(a.timeout_start, b.timeout_start);
        assert_int_equal(a.watchdog, b.watchdog);
        assert_int_equal(a.queue_timeout, b.queue_timeout);
        assert_int_equal(a.drain_timeout, b.drain_timeout);
        assert_int_equal(a.timeout_stop, b.timeout_stop);
        assert_int_equal(a.restart, b.restart);
        assert_int_equal(a.restart_max_delay, b.restart_max_delay);
        assert_int_equal(a.scheduling_policy, b.scheduling_policy);
        settings_done(&a);
        settings_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(auto_becomes_the_number_of_cpus),
                cmocka_unit_test(delay_must_have_room_to_grow),
                cmocka_unit_test(the_most_workers_follow_the_least),
                cmocka_unit_test(workers_max_alone_bounds_auto),
                cmocka_unit_test(workers_that_accept_leave_nothing_to_count),
                cmocka_unit_test(workers_that_accept_need_a_command),
                cmocka_unit_test(workers_that_accept_are_printed_without_the_rest),
                cmocka_unit_test(prints_defaults_in_full),
                cmocka_unit_test(printed_settings_read_back_as_the_same),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
