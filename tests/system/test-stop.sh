# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# A stop leaves nothing in the control group, in whatever state it comes.

times=50

# Stops, and sees what is left when that is done. After 16 stops in 10 s systemd says that it stops
# what is not needed, the reaper, a little later, and so it does.
stop_clean() {
        systemctl stop acceptd@echo.service
        eventually 20 not_in_control_group || {
                in_control_group | xargs ps
                return 1
        }
        not is acceptd@echo.service active
}

repeat() {
        local i
        set +x
        for ((i = 1; i <= times; i++)); do
                "$@" || {
                        echo "at number $i"
                        return 1
                }
        done
        set -x
}

start_and_stop() {
        systemctl start --no-block acceptd@echo.service
        eventually 5 is acceptd@echo.service activating || return
        stop_clean
}

test_stop_while_it_starts() {
        settings "[Worker]
Command=/usr/local/libexec/stub-worker --never-ready"
        repeat start_and_stop
}

run_and_stop() {
        systemctl start acceptd@echo.service
        ask 127.0.0.1 7 || return
        stop_clean
}

test_stop_while_it_runs() {
        repeat run_and_stop
}

test_stop_while_it_is_degraded() {
        settings $'[Worker]\nCommand=/bin/false'
        expect 'exited with status 1'
        repeat start_degraded_and_stop
}

start_degraded_and_stop() {
        systemctl start acceptd@echo.service
        stop_clean
}

reload_and_stop() {
        systemctl start acceptd@echo.service
        systemctl reload --no-block acceptd@echo.service
        # at different moments of the reload
        sleep "0.0$((i % 10))"
        stop_clean
}

test_stop_while_it_reloads() {
        # acceptctl is ended by SIGTERM, which systemd takes for a failure
        expect '[Rr]eload|Control process exited|Failed with result'
        repeat reload_and_stop
}

kill_and_stop() {
        systemctl start acceptd@echo.service
        kill -KILL "$(main_pid)"
        eventually 5 in_state auto-restart || return
        stop_clean
}

in_state() {
        [ "$(property acceptd@echo.service SubState)" = "$1" ]
}

test_stop_while_it_is_to_be_restarted() {
        unit_settings $'[Service]\nRestartSec=60s'
        expect 'acceptd@echo.service: (Main process exited|Failed with result)'
        expect '(Found left-over process|This usually indicates|remains running after unit stopped)'
        repeat kill_and_stop
}
