# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# What the journal says, with which fields, and what `journalctl -x` explains: the situation of each
# message that can be brought about.

stub=/usr/local/libexec/stub-worker

# has_open N: so many connections are open
has_open() {
        acceptctl status echo --json | grep "\"open\": *$1\b"
}

test_catalog_has_all_messages() {
        [ "$(journalctl --list-catalog | grep -c ' acceptd: ')" = \
                "$(grep -c '^-- ' /usr/lib/systemd/catalog/acceptd.catalog)" ]
}

test_messages_of_an_ordinary_day() {
        settings $'[Pool]\nWorkers=2'
        ask 127.0.0.1 7
        said STARTED ACCEPTD_INSTANCE=echo ACCEPTD_LISTENER=echo ACCEPTD_ADDRESS PRIORITY=6
        local main=$SAID_PID
        eventually 5 said WORKER_READY ACCEPTD_INSTANCE=echo ACCEPTD_WORKER ACCEPTD_WORKER_PID \
                ACCEPTD_GENERATION ACCEPTD_CAPACITY=1024
        [ "$main" = "$(main_pid)" ]
        kill -USR1 "$main"
        eventually 5 said COUNTERS ACCEPTD_ACCEPTED=1 ACCEPTD_OPEN ACCEPTD_DONE ACCEPTD_LOST=0 \
                ACCEPTD_REFUSED=0 ACCEPTD_TAKEN_BACK=0
        systemctl stop acceptd@echo.service
        said STOPPING ACCEPTD_OPEN=0
        said WORKER_ENDED ACCEPTD_WORKER ACCEPTD_WORKER_PID ACCEPTD_GENERATION ACCEPTD_COUNT=0 \
                'ACCEPTD_END=exited with status 0' ACCEPTD_END_CODE=1 ACCEPTD_END_STATUS=0
        said STOPPED ACCEPTD_ACCEPTED=1 ACCEPTD_OPEN=0 ACCEPTD_DONE=1 ACCEPTD_LOST=0 \
                ACCEPTD_REFUSED=0 ACCEPTD_TAKEN_BACK=0
}

test_messages_of_a_death() {
        settings $'[Pool]\nWorkers=1'
        hold
        local worker
        worker=$(workers "$(main_pid)")
        expect 'was ended by SIGKILL|is lost|Workers fail'
        kill -KILL "$worker"
        eventually 5 said CONNECTIONS_LOST ACCEPTD_INSTANCE=echo ACCEPTD_WORKER=1 \
                ACCEPTD_WORKER_PID="$worker" ACCEPTD_GENERATION ACCEPTD_COUNT=1 \
                'ACCEPTD_REASON=the worker died with them' PRIORITY=4
        said WORKER_DIED ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID="$worker" ACCEPTD_GENERATION \
                ACCEPTD_COUNT=1 'ACCEPTD_END=was ended by SIGKILL' ACCEPTD_END_CODE=2 \
                ACCEPTD_END_STATUS=9 PRIORITY=4
}

test_messages_of_a_worker_that_does_not_end() {
        settings "[Pool]
Workers=1
[Worker]
Command=$stub --serve=hold --ignore-drain --ignore-term
DrainTimeoutSec=100ms
TimeoutStopSec=100ms"
        exec 3<>/dev/tcp/127.0.0.1/7
        read -r _ <&3
        expect 'in time|SIGKILL|is lost'
        systemctl stop acceptd@echo.service
        said WORKER_TERMINATED ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID ACCEPTD_GENERATION PRIORITY=4
        said WORKER_KILLED ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID ACCEPTD_GENERATION PRIORITY=4
}

# The only worker dies with a connection that it has not received, and at a stop none is started
test_message_of_a_refusal() {
        settings "[Pool]
Workers=1
[Worker]
Command=$stub --never-receive --capacity=4
RestartSec=1h
RestartMaxDelaySec=1h"
        expect 'was ended by SIGKILL|Workers fail|closed unserved'
        exec 3<>/dev/tcp/127.0.0.1/7
        eventually 5 has_open 1
        pkill -KILL -P "$(main_pid)"
        eventually 5 said POOL_DEGRADED
        systemctl stop acceptd@echo.service
        said CONNECTIONS_REFUSED ACCEPTD_COUNT=1 PRIORITY=4 \
                'ACCEPTD_REASON=no worker was left when the instance stopped'
        exec 3>&-
}

# What cannot be used is not missed by clients; what cannot be done without ends the dispatcher
test_messages_of_errors() {
        local wrong=/run/systemd/system/acceptd-control@echo.socket.d
        mkdir -p $wrong
        printf '[Socket]\nListenStream=\nListenDatagram=/run/acceptd/echo/io.acceptd.Pool\n' \
                >$wrong/test.conf
        systemctl daemon-reload
        expect 'acceptctl does not reach this instance'
        ask 127.0.0.1 7
        said GOES_ON_WITHOUT ACCEPTD_INSTANCE=echo PRIORITY=3
        systemctl stop acceptd@echo.service
        rm -r $wrong
        systemctl daemon-reload

        # less than the table of connections needs
        settings $'[Pool]\nMaxConnections=16777215'
        unit_settings $'[Service]\nLimitAS=300M\nRestart=no'
        expect 'MaxConnections=|acceptd@echo.service: (Main process|Failed)'
        expect 'Failed to start acceptd@echo'
        not systemctl start acceptd@echo.service
        said REFUSED_TO_START ACCEPTD_INSTANCE=echo PRIORITY=3
}

test_message_of_a_violation() {
        settings "[Pool]
Workers=1
[Worker]
Command=$stub --serve=line --foreign --at=1"
        expect 'broke the protocol|was ended by SIGKILL|is lost'
        exec 3<>/dev/tcp/127.0.0.1/7
        cat <&3
        eventually 5 said WORKER_VIOLATED ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID ACCEPTD_GENERATION \
                ACCEPTD_REASON PRIORITY=4
}

test_messages_of_a_degraded_pool() {
        rm -f /run/good
        printf '#!/bin/sh\ntest -e /run/good || exit 3\nexec /usr/libexec/acceptd/acceptd-echo\n' \
                >/usr/local/libexec/moody-worker
        chmod +x /usr/local/libexec/moody-worker
        settings $'[Worker]\nCommand=/usr/local/libexec/moody-worker\nRestartMaxDelaySec=200ms'
        expect 'exited with status 3'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo one >&3
        eventually 5 said POOL_DEGRADED PRIORITY=4 \
                'ACCEPTD_REASON=the last one exited with status 3 before it had served'
        is acceptd@echo.service active
        systemctl --no-pager status acceptd@echo.service | grep 'Status: .*exited with status 3'
        touch /run/good
        read -r answer <&3
        [ "$answer" = one ]
        exec 3>&-
        eventually 5 said POOL_RECOVERED ACCEPTD_COUNT PRIORITY=5
        rm /run/good /usr/local/libexec/moody-worker
}

test_message_of_missing_descriptors() {
        ask 127.0.0.1 7
        local limit
        limit=$(prlimit --pid "$(main_pid)" --nofile --noheadings -o SOFT)
        expect 'New connections wait'
        prlimit --pid "$(main_pid)" --nofile=4:
        exec 3<>/dev/tcp/127.0.0.1/7
        echo one >&3
        eventually 5 said EXHAUSTED ACCEPTD_REASON=EMFILE PRIORITY=4
        prlimit --pid "$(main_pid)" --nofile="$limit":
        read -r answer <&3
        [ "$answer" = one ]
        exec 3>&-
}

test_message_of_settings_that_cannot_work() {
        settings $'[Pool]\nWorkres=3'
        expect 'Workres|acceptd@echo.service'
        not systemctl start acceptd@echo.service
        said REFUSED_TO_START ACCEPTD_INSTANCE=echo PRIORITY=3
}

test_messages_of_reloads() {
        ask 127.0.0.1 7
        settings $'[Pool]\nMaxConnections=100'
        systemctl reload acceptd@echo.service
        said RELOADED ACCEPTD_INSTANCE=echo ACCEPTD_GENERATION ACCEPTD_CHANGED=MaxConnections=
        settings $'[Pool]\nMaxConnections=none'
        expect '[Rr]eload'
        not systemctl reload acceptd@echo.service
        said RELOAD_FAILED ACCEPTD_INSTANCE=echo ACCEPTD_REASON PRIORITY=3
        ask 127.0.0.1 7
}

test_message_of_an_adoption() {
        hold
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates|remains running)'
        kill -KILL "$(main_pid)"
        eventually 10 said ADOPTED ACCEPTD_WORKERS ACCEPTD_OPEN=1 PRIORITY=5
        exec 3>&-
}

test_message_of_a_damaged_ledger() {
        ask 127.0.0.1 7
        local fd main
        main=$(main_pid)
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates|remains running|cannot be used)'
        for fd in "/proc/$main"/fd/*; do
                [[ $(readlink "$fd") != *acceptd-ledger* ]] || printf damage 1<>"$fd"
        done
        kill -KILL "$main"
        eventually 10 said LEDGER_DAMAGED ACCEPTD_REASON PRIORITY=3
        ask 127.0.0.1 7
}

test_messages_of_workers_that_hang() {
        # the others come later, or they would serve all that there is
        printf '#!/bin/sh\n%s\nexec %s --capacity=4 "$@"\n' \
                '[ "$ACCEPTD_WORKER" = 1 ] && set -- --hang || sleep 0.3' $stub \
                >/usr/local/libexec/slow-worker
        chmod +x /usr/local/libexec/slow-worker
        settings "[Pool]
Workers=2
[Worker]
Command=/usr/local/libexec/slow-worker
WatchdogSec=500ms
QueueTimeoutSec=100ms"
        expect 'hangs|went to others|SIGABRT'
        local i
        for i in 1 2 3 4; do
                exec 3<>/dev/tcp/127.0.0.1/7
                read -r -t 10 _ <&3
        done
        eventually 10 said QUEUE_TAKEN ACCEPTD_WORKER ACCEPTD_WORKER_PID ACCEPTD_COUNT PRIORITY
        eventually 10 said WORKER_HUNG ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID ACCEPTD_HUNG_USEC PRIORITY=4
        rm /usr/local/libexec/slow-worker
}

test_messages_of_workers_that_come_and_go() {
        settings "[Pool]
Workers=1
LogConnections=yes
[Worker]
Command=$stub --serve=line
RecycleAfter=2"
        local i
        for i in 1 2; do
                exec 3<>/dev/tcp/127.0.0.1/7
                read -r -t 10 _ <&3
        done
        eventually 10 said WORKER_RECYCLED ACCEPTD_WORKER=1 ACCEPTD_WORKER_PID ACCEPTD_HANDED_OVER=2
        said CONNECTION_ENDED ACCEPTD_CONNECTION ACCEPTD_LISTENER=echo ACCEPTD_RESULT=done \
                ACCEPTD_DURATION_USEC ACCEPTD_WORKER=1

        settings "[Pool]
Workers=1
WorkersMax=2
WorkerIdleTimeoutSec=100ms
[Worker]
Command=$stub --serve=hold"
        systemctl reload acceptd@echo.service
        exec 3<>/dev/tcp/127.0.0.1/7 4<>/dev/tcp/127.0.0.1/7
        read -r -t 10 _ <&3
        read -r -t 10 _ <&4
        exec 3>&- 4>&-
        eventually 10 said WORKER_RETIRED ACCEPTD_WORKER ACCEPTD_WORKER_PID ACCEPTD_GENERATION
}

# Each connection takes its worker along
deaths() {
        local i fd
        set +x
        for ((i = 0; i < $1; i++)); do
                exec {fd}<>/dev/tcp/127.0.0.1/7
                read -r -t 10 _ <&"$fd" || return
                exec {fd}>&-
        done
        set -x
}

# sum FIELD MATCH...: of all messages since the test began
sum() {
        local field=$1
        shift
        journalctl --quiet --since="$since" -o json --output-fields="$field" "$@" |
                sed -n "s/.*\"$field\":\"\\([0-9]*\\)\".*/\\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

test_journal_that_does_not_read_holds_up_nothing() {
        settings "[Pool]
Workers=4
[Worker]
Command=/bin/sh -c \"exec $stub --serve=line --exit=3 --at=1 2>/dev/null\""
        expect 'exited with status 3|messages'
        local journald began reading stopped died
        journald=$(property systemd-journald.service MainPID)
        trap 'kill -CONT $journald' EXIT

        deaths 100
        began=${EPOCHREALTIME/.}
        deaths 400
        reading=$((${EPOCHREALTIME/.} - began))

        kill -STOP "$journald"
        began=${EPOCHREALTIME/.}
        deaths 2000
        stopped=$((${EPOCHREALTIME/.} - began))
        kill -CONT "$journald"
        trap - EXIT

        echo "with the journal: $((reading / 400)) us a death, without: $((stopped / 2000)) us"
        [ $((stopped / 2000)) -lt $((reading / 400 * 2)) ]
        [ "$(property acceptd@echo.service NRestarts)" = 0 ]
        eventually 10 said DROPPED ACCEPTD_COUNT PRIORITY=4
        # on a busy machine they die so slowly that 1,000 in 10 s are not reached
        [ $((reading / 400)) -gt 8000 ] ||
                eventually 20 said SUPPRESSED ACCEPTD_COUNT ACCEPTD_SUPPRESSED_ID PRIORITY=4
        died=$(message_id WORKER_DIED)
        echo "$(sum PRIORITY MESSAGE_ID="$died") / 4 deaths were logged," \
                "$(sum ACCEPTD_COUNT ACCEPTD_SUPPRESSED_ID="$died") not for being too many," \
                "$(sum ACCEPTD_COUNT MESSAGE_ID="$(message_id DROPPED)") messages were dropped"
        [ $(($(sum PRIORITY MESSAGE_ID="$died") / 4 +
                $(sum ACCEPTD_COUNT ACCEPTD_SUPPRESSED_ID="$died") +
                $(sum ACCEPTD_COUNT MESSAGE_ID="$(message_id DROPPED)"))) -ge 2500 ]
}

# Again, where journald is so busy that it takes nothing for a moment.
count_again() {
        systemctl kill --kill-whom=main --signal=USR1 acceptd@echo.service
        sleep 0.2
        said COUNTERS "$@"
}

# The journal drops what is too much, for each class of priorities apart. Where it is so slow that it
# has no place for a datagram, the dispatcher does not wait for it, and says so.
test_messages_of_connections_leave_room_for_the_others() {
        expect '[0-9]+ messages were dropped: the journal did not take them in time'
        settings $'[Pool]\nLogConnections=yes'
        unit_settings $'[Service]\nLogRateLimitIntervalSec=60s\nLogRateLimitBurst=100'
        ask 127.0.0.1 7
        /root/load --to=tcp:127.0.0.1:7 --clients=4 --count=3000 >/dev/null
        eventually 10 count_again ACCEPTD_ACCEPTED=3001
        [ "$(journal -o cat MESSAGE_ID="$(message_id CONNECTION_ENDED)" | wc -l)" -lt 3000 ]
}
