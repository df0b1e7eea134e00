# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154,SC2034 # lib.sh sets, and reads, what is not here
#
# The socket unit is stopped, restarted or edited while connections are open, and a dispatcher dies
# after that.

# socket_settings TEXT: for the socket unit, until the end of the test
socket_settings() {
        mkdir -p /run/systemd/system/acceptd@echo.socket.d
        echo "$1" >/run/systemd/system/acceptd@echo.socket.d/zz-test.conf
        systemctl daemon-reload
}

forget_socket_settings() {
        rm -rf /run/systemd/system/acceptd@echo.socket.d
        systemctl daemon-reload
        systemctl restart acceptd@echo.socket
}

still_held() {
        echo again >&3
        local answer
        read -r -t 5 answer <&3
        [ "$answer" = again ]
}

kill_the_dispatcher() {
        local before
        before=$(main_pid)
        kill -KILL "$before"
        eventually 10 eval "main_pid && [ \"\$(main_pid)\" != $before ] && is acceptd@echo.service running"
}

status_says() {
        property acceptd@echo.service StatusText | grep -E "$1"
}

# tries SECONDS: succeeds when a client of port 7 is told no, whichever way, in that time
# shellcheck disable=SC2016 # the other shell expands it
is_refused_within() {
        local begin=$EPOCHREALTIME answer
        answer=$(timeout "$1" bash -c 'exec 9<>/dev/tcp/127.0.0.1/7 || exit; read -r x <&9; echo "$x"' 2>&1)
        [ $? != 124 ] && grep -E "^$|refused|reset" <<<"$answer"
}

crash_is_expected_after_an_edit() {
        crash_is_expected
        expect 'The dispatcher that crashed had other sockets'
        expect 'Socket unit configuration has changed while unit has been running'
}

test_crash_after_the_socket_unit_was_edited_loses_nothing() {
        crash_is_expected_after_an_edit
        hold
        socket_settings $'[Socket]\nListenStream=\nListenStream=127.0.0.1:8007'
        kill_the_dispatcher
        still_held
        ask 127.0.0.1 7
        eventually 5 status_says 'systemctl restart acceptd@echo.socket'
        said LISTENERS_KEPT ACCEPTD_INSTANCE=echo

        # and once more, and by a reload
        kill_the_dispatcher
        systemctl reload acceptd@echo.service
        still_held
        ask 127.0.0.1 7
        eventually 5 status_says 'systemctl restart acceptd@echo.socket'

        # what it says helps
        exec 3>&-
        systemctl restart acceptd@echo.socket
        ask 127.0.0.1 8007
        not ask 127.0.0.1 7
        not status_says 'systemctl restart'
        forget_socket_settings
        ask 127.0.0.1 7
}

test_crash_after_an_address_was_replaced_serves_all_of_before() {
        crash_is_expected_after_an_edit
        hold
        socket_settings $'[Socket]\nListenStream=\nListenStream=127.0.0.1:8007\nListenStream=[::1]:7\nListenStream=/run/acceptd/echo.sock'
        kill_the_dispatcher
        still_held
        ask 127.0.0.1 7
        ask ::1 7
        ask_unix /run/acceptd/echo.sock
        eventually 5 status_says '127.0.0.1:7 is served'
        exec 3>&-
        systemctl restart acceptd@echo.socket
        ask 127.0.0.1 8007
        not ask 127.0.0.1 7
        forget_socket_settings
}

# A copy in the store would keep it open.
test_stop_closes_the_port_after_crashes() {
        crash_is_expected
        ask 127.0.0.1 7
        kill_the_dispatcher
        ask 127.0.0.1 7
        systemctl stop acceptd@echo.socket
        not ask 127.0.0.1 7
        not ask ::1 7
        [ "$(property acceptd@echo.service NFileDescriptorStore)" = 0 ]
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7

        # also when it comes between a crash and the next start
        unit_settings $'[Service]\nRestartSec=60s'
        kill -KILL "$(main_pid)"
        eventually 5 is acceptd@echo.service auto-restart
        systemctl stop acceptd@echo.socket
        not ask 127.0.0.1 7
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7
        kill -KILL "$(main_pid)"
        eventually 5 is acceptd@echo.service auto-restart
        systemctl restart acceptd@echo.socket
        ask 127.0.0.1 7
        ask ::1 7
}

# REPORTS R6: they hung for as long as the drain lasted, and were reset then.
test_clients_are_refused_at_once_while_the_socket_stops() {
        hold
        expect 'closed unserved'
        systemctl stop --no-block acceptd@echo.socket
        eventually 5 said STOPPING
        for _ in 1 2 3; do
                is_refused_within 3
        done
        still_held
        exec 3>&-
        eventually 20 not is acceptd@echo.socket active
        not ask 127.0.0.1 7
        said CONNECTIONS_REFUSED
        [ "$(property acceptd@echo.socket Result)" = success ]
}

test_clients_are_refused_at_once_while_the_socket_restarts() {
        hold
        expect 'closed unserved'
        systemctl restart --no-block acceptd@echo.socket
        eventually 5 said STOPPING
        for _ in 1 2 3; do
                is_refused_within 3
        done
        still_held
        exec 3>&-
        eventually 20 eval 'is acceptd@echo.socket active && is acceptd@echo.service running'
        ask 127.0.0.1 7
}

# A stop and a restart of the service are no matter of the socket: who comes is served after it.
test_clients_wait_while_the_service_restarts() {
        hold
        systemctl restart --no-block acceptd@echo.service
        eventually 5 said STOPPING
        ask 127.0.0.1 7 3>&- &
        local client=$!
        sleep 1
        still_held
        exec 3>&-
        wait $client
}

# acceptd(8), EXAMPLES
test_an_address_is_added_while_connections_are_open() {
        crash_is_expected
        hold
        cat >/run/systemd/system/acceptd-echo-more.socket <<'UNIT'
[Unit]
PartOf=acceptd.target
After=acceptd.target
[Socket]
ListenStream=127.0.0.1:8007
FileDescriptorName=echo
Service=acceptd@echo.service
UNIT
        unit_settings $'[Unit]\nRequires=acceptd-echo-more.socket\n[Service]\nSockets=acceptd@echo.socket acceptd-echo-more.socket'
        not systemctl start acceptd-echo-more.socket
        systemctl kill --kill-whom=main -s KILL acceptd@echo.service
        eventually 10 ask 127.0.0.1 8007
        still_held
        ask 127.0.0.1 7
        exec 3>&-
        systemctl stop acceptd@echo.socket acceptd-echo-more.socket
        not ask 127.0.0.1 8007
        rm /run/systemd/system/acceptd-echo-more.socket
}

# REPORTS U4: afterwards nobody could tell.
test_the_journal_says_that_clients_waited() {
        expect 'Clients wait'
        settings $'[Pool]\nWorkers=1\n[Worker]\nConnectionsPerWorker=1'
        hold
        ask 127.0.0.1 7 3>&- &
        local client=$!
        eventually 10 said POOL_FULL ACCEPTD_OPEN=1 'ACCEPTD_REASON=all workers are full'
        exec 3>&-
        wait $client
        eventually 20 said POOL_HAS_ROOM ACCEPTD_DURATION_USEC
}

# A program that is no worker
test_a_program_that_is_no_worker_gets_a_hint() {
        expect 'Workers fail|was ready'
        settings $'[Worker]\nCommand=/bin/cat'
        ask 127.0.0.1 7 &
        eventually 10 status_says 'acceptd-inetd PROGRAM'
        said POOL_DEGRADED
        kill $!
}

# REPORTS R10 and R11
test_status_after_reloads_and_a_crash() {
        crash_is_expected
        hold
        sleep 2
        systemctl reload acceptd@echo.service
        kill_the_dispatcher
        eventually 5 status_says '2/2 workers ready, 1 draining'
        acceptctl list | grep 2/2
        [ "$(acceptctl status echo --json | grep -c '"since": 0\b')" = 0 ]
        acceptctl status echo
        [ "$(acceptctl status echo | awk '$3 == "draining" { print $NF }' | tr -d s)" -lt 60 ]
        exec 3>&-
}
