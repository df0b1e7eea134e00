/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Keys, values and messages: src/settings/settings.c and its table. Several together, and what
 * --check prints, are in test-settings-whole.c.
 */

#include "settings-text.h"

#define COUNTS   " (allowed: 1 to 16777215)"
#define FINITE   " (allowed: 1ms to 365d, such as 5s, 2min or 1h 30min)"
#define START    " (allowed: 1ms to 365d or infinity, such as 5s, 2min or 1h 30min)"
#define SECONDS  " (allowed: 1s to 365d or infinity, such as 5s, 2min or 1h 30min)"
#define SIZES    " (allowed: 1M to 1P or infinity, such as 300M or 2G)"
#define WATCHDOG " (allowed: 1ms to 365d or 0, such as 5s, 2min or 1h 30min)"
#define DRAIN    " (allowed: 0 to 365d or infinity, such as 5s, 2min or 1h 30min)"
#define COMMAND                                                                                    \
        " (allowed: an absolute path or a name, and arguments, quoted as in systemd.service(5))"
#define REPLIES                                                                                    \
        " (allowed: the absolute path of a file of up to 4096 bytes; or that and, as --check "     \
        "prints it, what is to be taken for its contents)"
#define RATES    " (allowed: 0, or 1 to 100000, a slash, 1ms to 1d, such as 10/1s)"
#define PREFIXES " (allowed: 1 to 32 for IPv4, a colon, 1 to 128 for IPv6, such as 32:64)"
#define SOURCES                                                                                    \
        " (allowed: addresses, or prefixes of them such as 192.0.2.0/24 and 2001:db8::/32, "       \
        "uid:N and cid:N, with spaces between)"
#define POOL_KEYS                                                                                  \
        "Workers=, WorkersSpare=, WorkersMax=, WorkerIdleTimeoutSec=, Accept=, "                   \
        "ExitIdleTimeSec=, MaxConnections=, MaxConnectionsPerSource=, RateLimitPerSource=, "       \
        "SourcePrefixLength=, SourceExempt=, OverloadReply=, Distribute=, LogConnections="
#define ALL_KEYS                                                                                   \
        "(known: " POOL_KEYS ", Command=, ConnectionsPerWorker=, TimeoutStartSec=, "               \
        "WatchdogSec=, QueueTimeoutSec=, DrainTimeoutSec=, ReloadDrainTimeoutSec=, "               \
        "TimeoutStopSec=, RecycleAfter=, RecycleSec=, RecycleMemory=, RestartSec=, "               \
        "RestartMaxDelaySec=, "                                                                    \
        "CPUSchedulingPolicy=)"

static void has_the_defaults_of_the_manual(void **state)
{
        struct settings s;

        (void)state;
        settings_init(&s);
        assert_int_equal(s.workers, 0);
        assert_int_equal(s.workers_spare, 0);
        assert_int_equal(s.workers_max, UINT32_MAX);
        assert_int_equal(s.worker_idle_timeout, 60 * USEC_PER_SEC);
        assert_false(s.log_connections);
        assert_int_equal(s.reload_drain_timeout, USEC_INFINITY);
        assert_int_equal(s.recycle_after, 0);
        assert_int_equal(s.recycle_age, USEC_INFINITY);
        assert_int_equal(s.recycle_memory, UINT64_MAX);
        assert_int_equal(s.exit_idle_time, USEC_INFINITY);
        assert_true(s.accept);
        assert_int_equal(s.max_connections, 65536);
        assert_int_equal(s.max_per_source, 0);
        assert_int_equal(s.rate_per_source.n, 0);
        assert_int_equal(s.source_prefixes.ipv4, 32);
        assert_int_equal(s.source_prefixes.ipv6, 64);
        assert_null(s.source_exempt);
        assert_null(s.overload_reply);
        assert_int_equal(s.distribute, DISTRIBUTE_LEAST_CONNECTIONS);
        assert_null(s.command);
        assert_int_equal(s.connections_per_worker, UINT32_MAX);
        assert_int_equal(s.timeout_start, 30 * USEC_PER_SEC);
        assert_int_equal(s.watchdog, 0);
        assert_int_equal(s.queue_timeout, USEC_PER_SEC);
        assert_int_equal(s.drain_timeout, 30 * USEC_PER_SEC);
        assert_int_equal(s.timeout_stop, 5 * USEC_PER_SEC);
        assert_int_equal(s.restart, 100 * USEC_PER_MSEC);
        assert_int_equal(s.restart_max_delay, 30 * USEC_PER_SEC);
        assert_int_equal(s.scheduling_policy, SCHEDULING_BATCH);
        settings_done(&s);
}

static void takes_good_values(void **state)
{
        /* the second is what is printed */
        static const char *const pairs[][2] = {
                { "Workers=auto", "Workers=auto" },
                { "Workers=1", "Workers=1" },
                { "Workers=0004096", "Workers=4096" },
                { " Workers \t= 7 ", "Workers=7" },
                { "Workers=7\r", "Workers=7" },
                { "WorkersSpare=0", "WorkersSpare=0" },
                { "WorkersMax=4096", "WorkersMax=4096" },
                { "WorkerIdleTimeoutSec=1ms", "WorkerIdleTimeoutSec=1ms" },
                { "WorkerIdleTimeoutSec=infinity", "WorkerIdleTimeoutSec=infinity" },
                { "ExitIdleTimeSec=1s", "ExitIdleTimeSec=1s" },
                { "ExitIdleTimeSec=infinity", "ExitIdleTimeSec=infinity" },
                { "RecycleSec=1d", "RecycleSec=1d" },
                { "RecycleMemory=1048576", "RecycleMemory=1M" },
                { "RecycleMemory=1536K", "RecycleMemory=1536K" },
                { "RecycleMemory=2048M", "RecycleMemory=2G" },
                { "RecycleMemory=2000001", "RecycleMemory=2000001" },
                { "RecycleMemory=1P", "RecycleMemory=1P" },
                { "RecycleMemory=infinity", "RecycleMemory=infinity" },
                { "Accept=yes", "Accept=yes" },
                { "Accept=no", "Accept=no" },
                { "LogConnections=yes", "LogConnections=yes" },
                { "LogConnections=TRUE", "LogConnections=yes" },
                { "LogConnections=t", "LogConnections=yes" },
                { "LogConnections=on", "LogConnections=yes" },
                { "LogConnections=Y", "LogConnections=yes" },
                { "LogConnections=1", "LogConnections=yes" },
                { "LogConnections=No", "LogConnections=no" },
                { "LogConnections=false", "LogConnections=no" },
                { "LogConnections=F", "LogConnections=no" },
                { "LogConnections=off", "LogConnections=no" },
                { "LogConnections=n", "LogConnections=no" },
                { "LogConnections=0", "LogConnections=no" },
                { "ReloadDrainTimeoutSec=0", "ReloadDrainTimeoutSec=0" },
                { "ReloadDrainTimeoutSec=infinity", "ReloadDrainTimeoutSec=infinity" },
                { "RecycleAfter=0", "RecycleAfter=0" },
                { "RecycleAfter=1000000000", "RecycleAfter=1000000000" },
                { "MaxConnections=1", "MaxConnections=1" },
                { "MaxConnections=16777215", "MaxConnections=16777215" },
                { "MaxConnectionsPerSource=0", "MaxConnectionsPerSource=0" },
                { "MaxConnectionsPerSource=16777215", "MaxConnectionsPerSource=16777215" },
                { "RateLimitPerSource=0", "RateLimitPerSource=0" },
                { "RateLimitPerSource=1/1ms", "RateLimitPerSource=1/1ms" },
                { "RateLimitPerSource=0100000/90", "RateLimitPerSource=100000/1min 30s" },
                { "RateLimitPerSource=7/1d", "RateLimitPerSource=7/1d" },
                { "SourcePrefixLength=1:1", "SourcePrefixLength=1:1" },
                { "SourcePrefixLength=32:128", "SourcePrefixLength=32:128" },
                { "SourcePrefixLength=024:056", "SourcePrefixLength=24:56" },
                { "SourceExempt=::1  192.0.2.7/24 uid:0 cid:4294967295",
                        "SourceExempt=::1 192.0.2.0/24 uid:0 cid:4294967295" },
                { "SourceExempt=::ffff:192.0.2.7/120", "SourceExempt=192.0.2.0/24" },
                { "SourceExempt=0.0.0.0/0 2001:db8::1/32", "SourceExempt=0.0.0.0/0 2001:db8::/32" },
                { "OverloadReply=/etc/busy", "OverloadReply=/etc/busy" },
                { "OverloadReply='/etc/b y' \"HTTP/1.1 503\\r\\n\"",
                        "OverloadReply=\"/etc/b y\" \"HTTP/1.1 503\\x0d\\x0a\"" },
                { "Distribute=least-connections", "Distribute=least-connections" },
                { "Distribute=round-robin", "Distribute=round-robin" },
                { "Command=/bin/a", "Command=/bin/a" },
                { "Command=/bin/a 'b  c' \"\" k=v #x ; %i",
                        "Command=/bin/a \"b  c\" \"\" k=v #x ; %i" },
                { "Command=\"/bin/a b\"\\tc\\n", "Command=\"/bin/a b\\x09c\\x0a\"" },
                { "ConnectionsPerWorker=1", "ConnectionsPerWorker=1" },
                { "ConnectionsPerWorker=16777215", "ConnectionsPerWorker=16777215" },
                { "TimeoutStartSec=1ms", "TimeoutStartSec=1ms" },
                { "TimeoutStartSec=90", "TimeoutStartSec=1min 30s" },
                { "TimeoutStartSec=infinity", "TimeoutStartSec=infinity" },
                { "WatchdogSec=0", "WatchdogSec=0" },
                { "WatchdogSec=1ms", "WatchdogSec=1ms" },
                { "WatchdogSec=365d", "WatchdogSec=365d" },
                { "QueueTimeoutSec=1ms", "QueueTimeoutSec=1ms" },
                { "QueueTimeoutSec=infinity", "QueueTimeoutSec=infinity" },
                { "DrainTimeoutSec=0", "DrainTimeoutSec=0" },
                { "DrainTimeoutSec=365d", "DrainTimeoutSec=365d" },
                { "DrainTimeoutSec=infinity", "DrainTimeoutSec=infinity" },
                { "TimeoutStopSec=1ms", "TimeoutStopSec=1ms" },
                { "TimeoutStopSec=365d", "TimeoutStopSec=365d" },
                { "RestartSec=1.5ms", "RestartSec=1ms 500us" },
                { "RestartSec=30s", "RestartSec=30s" },
                { "RestartMaxDelaySec=2min", "RestartMaxDelaySec=2min" },
                { "CPUSchedulingPolicy=batch", "CPUSchedulingPolicy=batch" },
                { "CPUSchedulingPolicy=other", "CPUSchedulingPolicy=other" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                _cleanup_(freep) char *text = NULL, *line = NULL;
                struct settings s;

                settings_init(&s);
                settings_must_assign(&s, pairs[i][0]);
                text = settings_text(&s);
                assert_true(asprintf(&line, "# -o\n%s\n", pairs[i][1]) > 0);
                if (!strstr(text, line))
                        fail_msg("%s is not in\n%s", line, text);
                settings_done(&s);
        }
}

static void refuses_bad_values_and_changes_nothing(void **state)
{
        static const char *const pairs[][2] = {
                { "Workers=abc", "Workers=abc: not a number (allowed: auto, or 1 to 4096)" },
                { "Workers=0", "Workers=0: too small (allowed: auto, or 1 to 4096)" },
                { "Workers=4097", "Workers=4097: too large (allowed: auto, or 1 to 4096)" },
                { "Workers=18446744073709551617",
                        "Workers=18446744073709551617: too large (allowed: auto, or 1 to 4096)" },
                { "Workers=-1", "Workers=-1: not a number (allowed: auto, or 1 to 4096)" },
                { "Workers=Auto", "Workers=Auto: not a number (allowed: auto, or 1 to 4096)" },
                { "Workers=2 3", "Workers=2 3: not a number (allowed: auto, or 1 to 4096)" },
                { "Workers=1\n2", "Workers=1\\x0a2: not a number (allowed: auto, or 1 to 4096)" },
                { "WorkersSpare=4097", "WorkersSpare=4097: too large (allowed: 0 to 4096)" },
                { "WorkersMax=0", "WorkersMax=0: too small (allowed: 1 to 4096)" },
                { "WorkersMax=4294967295",
                        "WorkersMax=4294967295: too large (allowed: 1 to 4096)" },
                { "WorkerIdleTimeoutSec=0", "WorkerIdleTimeoutSec=0: too short" START },
                { "ExitIdleTimeSec=999ms", "ExitIdleTimeSec=999ms: too short" SECONDS },
                { "RecycleSec=0", "RecycleSec=0: too short" SECONDS },
                { "RecycleMemory=1023K", "RecycleMemory=1023K: too small" SIZES },
                { "RecycleMemory=0", "RecycleMemory=0: too small" SIZES },
                { "RecycleMemory=2P", "RecycleMemory=2P: too large" SIZES },
                { "RecycleMemory=99999999999999999999999G",
                        "RecycleMemory=99999999999999999999999G: too large" SIZES },
                { "RecycleMemory=M", "RecycleMemory=M: not a size" SIZES },
                { "RecycleMemory=5MB", "RecycleMemory=5MB: not a size" SIZES },
                { "RecycleMemory=-5M", "RecycleMemory=-5M: not a size" SIZES },
                { "LogConnections=2", "LogConnections=2: neither yes nor no (allowed: yes, no)" },
                { "LogConnections=yess",
                        "LogConnections=yess: neither yes nor no (allowed: yes, no)" },
                { "ReloadDrainTimeoutSec=x", "ReloadDrainTimeoutSec=x: not a time span" DRAIN },
                { "RecycleAfter=1000000001",
                        "RecycleAfter=1000000001: too large (allowed: 0 to 1000000000)" },
                { "MaxConnections=0", "MaxConnections=0: too small" COUNTS },
                { "MaxConnections=16777216", "MaxConnections=16777216: too large" COUNTS },
                { "MaxConnections=auto", "MaxConnections=auto: not a number" COUNTS },
                { "MaxConnectionsPerSource=16777216",
                        "MaxConnectionsPerSource=16777216: too large (allowed: 0 to 16777215)" },
                { "SourcePrefixLength=32",
                        "SourcePrefixLength=32: not two prefix lengths" PREFIXES },
                { "SourcePrefixLength=0:64",
                        "SourcePrefixLength=0:64: not two prefix lengths" PREFIXES },
                { "SourcePrefixLength=32:129",
                        "SourcePrefixLength=32:129: not two prefix lengths" PREFIXES },
                { "SourcePrefixLength=33:64",
                        "SourcePrefixLength=33:64: not two prefix lengths" PREFIXES },
                { "SourcePrefixLength=00000032:64",
                        "SourcePrefixLength=00000032:64: not two prefix lengths" PREFIXES },
                { "SourceExempt=::1 localhost",
                        "SourceExempt=::1 localhost: not a list of sources" SOURCES },
                { "SourceExempt=192.0.2.0/33",
                        "SourceExempt=192.0.2.0/33: not a list of sources" SOURCES },
                { "SourceExempt=192.0.2.0/",
                        "SourceExempt=192.0.2.0/: not a list of sources" SOURCES },
                { "SourceExempt=uid:4294967296",
                        "SourceExempt=uid:4294967296: not a list of sources" SOURCES },
                { "SourceExempt=\"::1", "SourceExempt=\"::1: a quote is not closed" SOURCES },
                { "OverloadReply=busy", "OverloadReply=busy: not an absolute path" REPLIES },
                { "OverloadReply=/a b c", "OverloadReply=/a b c: not an absolute path" REPLIES },
                { "Distribute=Round-Robin",
                        "Distribute=Round-Robin: unknown (allowed: least-connections, "
                        "round-robin)" },
                { "Command=-echo",
                        "Command=-echo: does not start with an absolute path or a name" COMMAND },
                { "Command=./echo",
                        "Command=./echo: does not start with an absolute path or a name" COMMAND },
                { "Command=-/bin/a",
                        "Command=-/bin/a: does not start with an absolute path or a name" COMMAND },
                { "Command=\"\" /bin/a",
                        "Command=\"\" /bin/a: does not start with an absolute path or a name" COMMAND },
                { "Command=/bin/a \"b", "Command=/bin/a \"b: a quote is not closed" COMMAND },
                { "Command=/bin/a \\q",
                        "Command=/bin/a \\q: unknown escape (allowed: \\a \\b \\f \\n \\r \\t \\v "
                        "\\\\ \\\" \\' \\s \\xHH \\NNN)" COMMAND },
                { "ConnectionsPerWorker=0", "ConnectionsPerWorker=0: too small" COUNTS },
                { "ConnectionsPerWorker=16777216",
                        "ConnectionsPerWorker=16777216: too large" COUNTS },
                { "ConnectionsPerWorker=4294967295",
                        "ConnectionsPerWorker=4294967295: too large" COUNTS },
                { "TimeoutStartSec=0", "TimeoutStartSec=0: too short" START },
                { "TimeoutStartSec=999us", "TimeoutStartSec=999us: too short" START },
                { "TimeoutStartSec=366d", "TimeoutStartSec=366d: too long" START },
                { "TimeoutStartSec=5x", "TimeoutStartSec=5x: not a time span" START },
                { "TimeoutStartSec=99999999999999999999",
                        "TimeoutStartSec=99999999999999999999: too long" START },
                { "WatchdogSec=999us", "WatchdogSec=999us: too short" WATCHDOG },
                { "WatchdogSec=infinity", "WatchdogSec=infinity: too long" WATCHDOG },
                { "QueueTimeoutSec=0", "QueueTimeoutSec=0: too short" START },
                { "DrainTimeoutSec=-1", "DrainTimeoutSec=-1: not a time span" DRAIN },
                { "DrainTimeoutSec=53w", "DrainTimeoutSec=53w: too long" DRAIN },
                { "TimeoutStopSec=0", "TimeoutStopSec=0: too short" FINITE },
                { "TimeoutStopSec=infinity", "TimeoutStopSec=infinity: too long" FINITE },
                { "RestartSec=0", "RestartSec=0: too short" FINITE },
                { "RestartSec=infinity", "RestartSec=infinity: too long" FINITE },
                { "RestartMaxDelaySec=soon", "RestartMaxDelaySec=soon: not a time span" FINITE },
                { "RestartMaxDelaySec=infinity", "RestartMaxDelaySec=infinity: too long" FINITE },
                { "CPUSchedulingPolicy=fifo",
                        "CPUSchedulingPolicy=fifo: unknown (allowed: batch, other)" },
                { "CPUSchedulingPolicy=Batch",
                        "CPUSchedulingPolicy=Batch: unknown (allowed: batch, other)" },
                { "Wrokers=3", "there is no key Wrokers= " ALL_KEYS },
                { "workers=3", "there is no key workers= " ALL_KEYS },
                { "=3", "there is no key = " ALL_KEYS },
                { "Pool.Workers=3", "there is no key Pool.Workers= " ALL_KEYS },
                { "Workers", "Workers: not of the form Key=Value" },
                { "", ": not of the form Key=Value" },
        };
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "Command=/bin/before 1");
        settings_must_assign(&s, "Workers=3");
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                _cleanup_(freep) char *before = settings_text(&s), *after = NULL, *message = NULL;

                assert_int_equal(settings_assign(&s, pairs[i][0], "later", &message), -EINVAL);
                assert_string_equal(message, pairs[i][1]);
                after = settings_text(&s);
                assert_string_equal(before, after);
        }
        settings_done(&s);
}

static void knows_which_key_belongs_to_which_section(void **state)
{
        static const struct {
                const char *section;
                const char *key;
                const char *message;
        } cases[] = {
                { "Pool", "Wrokers", "[Pool] has no key Wrokers= (known: " POOL_KEYS ")" },
                { "Pool", "Command", "[Pool] has no key Command=, it belongs to [Worker]" },
                { "Worker", "Workers", "[Worker] has no key Workers=, it belongs to [Pool]" },
                { "Worker", "X",
                        "[Worker] has no key X= (known: Command=, ConnectionsPerWorker=, "
                        "TimeoutStartSec=, WatchdogSec=, QueueTimeoutSec=, DrainTimeoutSec=, ReloadDrainTimeoutSec=, "
                        "TimeoutStopSec=, RecycleAfter=, RecycleSec=, RecycleMemory=, RestartSec=, RestartMaxDelaySec=, "
                        "CPUSchedulingPolicy=)" },
                { "pool", "Workers", "there is no section [pool] (known: [Pool], [Worker])" },
                { "Po\nol", "X", "there is no section [Po\\x0aol] (known: [Pool], [Worker])" },
                { "", "Workers", "Workers= is in no section, it belongs to [Pool]" },
                { "", "X", "there is no key X= " ALL_KEYS },
                { "Pool", "Workers",
                        "[Pool] Workers=x: not a number (allowed: auto, or 1 to 4096)" },
        };
        struct settings s;

        (void)state;
        settings_init(&s);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *message = NULL;

                assert_int_equal(
                        settings_set(&s, cases[i].section, cases[i].key, "x", "here", &message),
                        -EINVAL);
                assert_string_equal(message, cases[i].message);
        }
        settings_done(&s);
}

static void cuts_long_values_in_messages(void **state)
{
        static char assignment[1000];
        _cleanup_(freep) char *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        memset(assignment, 'x', sizeof(assignment) - 1);
        memcpy(assignment, "Workers=", 8);
        assert_int_equal(settings_assign(&s, assignment, "-o", &message), -EINVAL);
        assert_non_null(strstr(message, "xxx...: not a number"));
        assert_true(strlen(message) < 150);
        settings_done(&s);
}

static void empty_value_means_the_default_again(void **state)
{
        static const char *const keys[] = { "Workers", "WorkersSpare", "WorkersMax",
                "WorkerIdleTimeoutSec", "Accept", "ExitIdleTimeSec", "MaxConnections",
                "MaxConnectionsPerSource", "RateLimitPerSource", "SourcePrefixLength",
                "SourceExempt", "OverloadReply", "Distribute", "LogConnections", "Command",
                "ConnectionsPerWorker", "TimeoutStartSec", "WatchdogSec", "QueueTimeoutSec",
                "DrainTimeoutSec", "ReloadDrainTimeoutSec", "TimeoutStopSec", "RecycleAfter",
                "RecycleSec", "RecycleMemory", "RestartSec", "RestartMaxDelaySec",
                "CPUSchedulingPolicy" };
        static const char *const values[] = { "2", "2", "2", "2", "yes", "2", "2", "2", "2/2s",
                "24:48", "::1", "/a", "round-robin", "yes", "/bin/a b", "2", "2", "2", "2", "2",
                "2", "2", "2", "2", "2M", "2", "2", "other" };
        _cleanup_(freep) char *before = NULL, *changed = NULL, *after = NULL;
        struct settings s;

        (void)state;
        assert_int_equal(ELEMENTSOF(keys), SETTING_COUNT);
        settings_init(&s);
        before = settings_text(&s);
        for (size_t pass = 0; pass < 2; pass++) {
                for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                        _cleanup_(freep) char *assignment = NULL;

                        assert_true(asprintf(&assignment, "%s=%s", keys[i],
                                            pass == 0 ? values[i] : " \t") > 0);
                        settings_must_assign(&s, assignment);
                }
                if (pass == 0)
                        changed = settings_text(&s);
        }
        after = settings_text(&s);
        assert_null(strstr(changed, "default"));
        assert_string_equal(before, after);
        settings_done(&s);
}

static void command_line_gives_words_as_they_are(void **state)
{
        const char *const words[] = { "/bin/a", "b \"c\"", "\\x", "", NULL };
        const char *const relative[] = { "./a", NULL }, *const none[] = { NULL };
        _cleanup_(freep) char *text = NULL, *message = NULL;
        struct settings s;

        (void)state;
        settings_init(&s);
        settings_must_assign(&s, "Command=/bin/other");
        assert_int_equal(
                settings_set_command(&s, (char *const *)(uintptr_t)words, "command line", &message),
                0);
        for (size_t i = 0; words[i]; i++)
                assert_string_equal(s.command[i], words[i]);
        assert_null(s.command[4]);
        text = settings_text(&s);
        assert_non_null(
                strstr(text, "# command line\nCommand=/bin/a \"b \\\"c\\\"\" \"\\\\x\" \"\"\n"));

        assert_int_equal(settings_set_command(
                                 &s, (char *const *)(uintptr_t)relative, "command line", &message),
                -EINVAL);
        assert_string_equal(
                message, "Command=./a: does not start with an absolute path or a name" COMMAND);
        free(message);
        assert_int_equal(
                settings_set_command(&s, (char *const *)(uintptr_t)none, "x", &message), -EINVAL);
        assert_string_equal(
                message, "Command=: does not start with an absolute path or a name" COMMAND);
        assert_string_equal(s.command[0], "/bin/a");
        settings_done(&s);
}

static void done_takes_what_was_never_initialised(void **state)
{
        struct settings s = { 0 };

        (void)state;
        settings_done(NULL);
        settings_done(&s);
        settings_init(&s);
        settings_done(&s);
        settings_done(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(has_the_defaults_of_the_manual),
                cmocka_unit_test(takes_good_values),
                cmocka_unit_test(refuses_bad_values_and_changes_nothing),
                cmocka_unit_test(knows_which_key_belongs_to_which_section),
                cmocka_unit_test(cuts_long_values_in_messages),
                cmocka_unit_test(empty_value_means_the_default_again),
                cmocka_unit_test(command_line_gives_words_as_they_are),
                cmocka_unit_test(done_takes_what_was_never_initialised),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
