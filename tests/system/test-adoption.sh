# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034 # lib.sh reads what is not read here
#
# The dispatcher dies, the workers and what they hold do not. Read by `inside`.

crash_is_expected() {
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates)'
        expect 'remains running after unit stopped'
}

# crash N SECONDS: kills the dispatcher N times
crash() {
        for _ in $(seq "$1"); do
                sleep "$2"
                # on a busy machine it was killed before it was ready: the next start waits then
                eventually 20 main_pid >/dev/null
                kill -KILL "$(main_pid)"
        done
}

# failures held|short FILE: of what the load generator counted
failures() {
        tr ' ' '\n' <"$2" | awk -F= -v kind="$1" '
                $1 ~ "^" kind "_" && $1 ~ /_(refused|eof|reset|timeout|wrong|error)$/ { n += $2 }
                END { print n + 0 }'
}

test_crashes_under_load_fail_no_held_connection() {
        crash_is_expected
        ask 127.0.0.1 7
        before=$(workers "$(main_pid)" | sort)
        /root/load --to=tcp:127.0.0.1:7 --sources=20 --seconds=14 --held=300 --rate=500 \
                >/root/load.out &
        load=$!
        crash 10 1
        wait $load || true
        cat /root/load.out
        [ "$(failures held /root/load.out)" = 0 ]
        # the one connection between accept and send
        [ "$(failures short /root/load.out)" -le 1 ]
        # the same processes, with another parent
        [ "$(pgrep -x acceptd-echo | sort)" = "$before" ]
        eventually 10 no_connection_is_open
        # and an orderly stop of workers that are no children
        systemctl stop acceptd@echo.service
        not pgrep -x acceptd-echo
}

# It is no child of the dispatcher that sees it die: "ended in an unknown way" before Linux 6.15, and
# where the dispatcher sees it before the service manager has waited for it.
test_end_of_a_worker_from_before_the_crash_is_known() {
        local release
        release=$(uname -r)
        sort -C -V <<<"6.15
$release" || skip "Linux $release does not tell it"
        crash_is_expected
        expect 'was ended by SIGKILL|ended in an unknown way|is lost'
        for _ in {1..5}; do
                ask 127.0.0.1 7
                worker=$(workers "$(main_pid)" | head -n 1)
                crash 1 0
                eventually 10 ask 127.0.0.1 7
                kill -KILL "$worker"
                eventually 10 said WORKER_DIED "ACCEPTD_WORKER_PID=$worker"
                ! said WORKER_DIED "ACCEPTD_WORKER_PID=$worker" ACCEPTD_END_CODE=2 \
                        ACCEPTD_END_STATUS=9 || return 0
        done
        return 1
}

no_connection_is_open() {
        acceptctl status echo --json | grep -q '"open": *0\b'
}

# A process of root in the instance's control group, as systemd runs with ExecReload=+
helper_of_root() {
        (
                while read -r group; do
                        echo "$BASHPID" >"$group"
                done < <(find /sys/fs/cgroup -path '*acceptd@echo.service/cgroup.procs')
                exec setsid -f sleep 903
        )
}

sleepers() {
        pgrep -f "^sleep $1"
}

test_what_belongs_to_no_worker_ends_after_a_crash() {
        # acceptd(8): nothing is ended without these
        [ -e /sys/fs/cgroup/cgroup.procs ] || skip 'no control groups of version 2'
        [ "$(printf '%s\n' 6.13 "$(uname -r)" | sort -V | head -n 1)" = 6.13 ] ||
                skip 'the kernel is older than Linux 6.13'
        crash_is_expected
        expect 'was ended by SIGKILL|Workers fail'
        printf '#!/bin/sh\nsleep 901 &\nsetsid sleep 902 &\nexec /usr/libexec/acceptd/acceptd-echo\n' \
                >/usr/local/libexec/parent-worker
        chmod +x /usr/local/libexec/parent-worker
        settings $'[Pool]\nWorkers=1\n[Worker]\nCommand=/usr/local/libexec/parent-worker'
        ask 127.0.0.1 7
        local stray with_worker main
        eventually 5 sleepers 902
        stray=$(sleepers 902)
        helper_of_root

        # with the worker ends its process group, and what left that stays
        kill -KILL "$(pgrep -x acceptd-echo)"
        hold
        eventually 5 eval '[ "$(sleepers 902 | wc -l)" = 2 ]'
        with_worker=$(sleepers '90[12]' | grep -vx "$stray")
        [ "$(wc -l <<<"$with_worker")" = 2 ]

        # so does it when the program is executed in place
        systemctl reload acceptd@echo.service
        kill -0 "$stray"

        kill -KILL "$(main_pid)"
        eventually 10 said LEFTOVERS_ENDED ACCEPTD_INSTANCE=echo ACCEPTD_COUNT=1 PRIORITY=5
        eventually 5 not kill -0 "$stray"
        # what a worker started stays, whatever its generation, and so does what is another user's
        for stray in $with_worker; do
                kill -0 "$stray"
        done
        [ "$(sleepers '90[12]' | wc -l)" = 4 ]
        kill "$(sleepers 903)"
        echo held >&3
        read -r -t 10 _ <&3
        exec 3>&-

        # what the worker of before the reload left
        eventually 10 eval '[ "$(pgrep -xc acceptd-echo)" = 1 ]'
        since=@$EPOCHREALTIME
        main=$(main_pid)
        kill -KILL "$main"
        eventually 10 said LEFTOVERS_ENDED
        [ "$(sleepers '90[12]' | wc -l)" = 2 ]

        since=@$EPOCHREALTIME
        eventually 10 eval 'main_pid && is acceptd@echo.service running'
        kill -KILL "$(main_pid)"
        eventually 10 said ADOPTED
        not said LEFTOVERS_ENDED
        [ "$(sleepers '90[12]' | wc -l)" = 2 ]
        rm /usr/local/libexec/parent-worker
}

# They finish what they have, though nothing is known of them but their descriptors.
test_workers_of_a_damaged_ledger_finish() {
        crash_is_expected
        expect 'cannot be used'
        settings $'[Pool]\nWorkers=1'
        hold
        local fd main worker
        main=$(main_pid)
        worker=$(pgrep -x acceptd-echo)
        for fd in "/proc/$main"/fd/*; do
                [[ $(readlink "$fd") != *acceptd-ledger* ]] || printf damage 1<>"$fd"
        done
        kill -KILL "$main"
        eventually 10 said LEDGER_DAMAGED
        ask 127.0.0.1 7
        not said LEFTOVERS_ENDED
        echo held >&3
        read -r -t 10 _ <&3
        exec 3>&-
        eventually 5 not kill -0 "$worker"
}
