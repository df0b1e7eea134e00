# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# What a user sees when something is wrong.

test_instance_without_settings_does_not_start() {
        not systemctl start acceptd@nothing.socket
        expect 'acceptd@nothing|nothing.conf does not exist'
        # not `systemctl status`: it shows what was said since the unit began to start, and the check
        # may have said it before systemd 252, which runs on after the fork, notes that time
        journalctl --sync
        journalctl --quiet --since="$since" --unit=acceptd@nothing.socket |
                grep 'nothing.conf does not exist'
        not systemctl start acceptd@nothing.service
        not test -e /run/acceptd/nothing.sock
}

# The socket is there and the file goes away later
test_settings_that_went_away_are_named() {
        mv /etc/acceptd/echo.conf /root/echo.conf
        expect .
        not systemctl start acceptd@echo.service
        mv /root/echo.conf /etc/acceptd/echo.conf
        [ "$(property acceptd@echo.service ExecMainStatus)" = 78 ]
        systemctl --no-pager status acceptd@echo.service | grep 'echo.conf does not exist'
}

test_typo_with_a_waiting_client_ends_after_a_few_starts() {
        settings $'[Pool]\nWorkres=3'
        expect .
        exec 3<>/dev/tcp/127.0.0.1/7
        echo hello >&3
        eventually 30 is acceptd@echo.socket failed
        is acceptd@echo.service failed
        systemctl --no-pager status acceptd@echo.service | grep 'test.conf:2: .*Workres'
        systemctl --no-pager status acceptd@echo.socket | grep trigger-limit-hit
        starts=$(journal -o cat | grep -c '^Starting .*Worker pool')
        echo "$starts starts"
        [ "$starts" -gt 0 ]
        [ "$starts" -lt 25 ]
}

test_killed_worker_is_replaced() {
        ask 127.0.0.1 7
        local main before
        main=$(main_pid)
        before=$(workers "$main")
        expect '[Ww]orker'
        # shellcheck disable=SC2086 # one word a process
        kill -KILL $before
        ask 127.0.0.1 7
        eventually 10 has_workers "$main" "$(wc -l <<<"$before")"
        [ "$(main_pid)" = "$main" ]
        [ "$(property acceptd@echo.service NRestarts)" = 0 ]
}

test_killed_dispatcher_is_restarted_and_the_port_stays_open() {
        ask 127.0.0.1 7
        local before
        before=$(main_pid)
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates)'
        expect 'remains running after unit stopped'
        for _ in 1 2 3 4 5; do
                kill -KILL "$(main_pid)"
                ask 127.0.0.1 7
                ask ::1 7
                ask_unix /run/acceptd/echo.sock
        done
        [ "$(main_pid)" != "$before" ]
        [ "$(property acceptd@echo.service NRestarts)" = 5 ]
}

test_stop_between_a_crash_and_its_restart_ends_all_processes() {
        unit_settings $'[Service]\nRestartSec=60s'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo one >&3
        read -r _ <&3
        expect .
        kill -KILL "$(main_pid)"
        eventually 5 is acceptd@echo.service auto-restart
        systemctl stop acceptd@echo.service
        eventually 5 not processes
}
