# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
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

no_connection_is_open() {
        acceptctl status echo --json | grep -q '"open": *0\b'
}
