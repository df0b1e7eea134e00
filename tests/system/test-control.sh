# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# Looking at an instance and reloading it.

# exits STATUS COMMAND...
exits() {
        local wanted=$1 status=0
        shift
        "$@" || status=$?
        [ "$status" = "$wanted" ]
}

test_looking_starts_nothing() {
        acceptctl list | grep -E '^echo +stopped '
        exits 3 acceptctl status
        exits 3 acceptctl status echo
        exits 4 acceptctl status nothing
        exits 1 acceptctl reload echo
        is acceptd@echo.service inactive
}

test_status_of_a_running_instance() {
        ask 127.0.0.1 7
        acceptctl list | grep -E '^echo +ready '
        acceptctl status echo >/root/status
        grep '1 accepted' /root/status
        grep -E '127.0.0.1:7 +stream +0 +[0-9]+ +0$' /root/status
        grep "Main PID: $(main_pid) " /root/status
        acceptctl status acceptd@echo.service --json | grep '"instance": "echo"'
        systemctl stop acceptd@echo.service
        exits 3 acceptctl status echo
        not test -e /run/acceptd/echo/io.acceptd.Pool
}

test_control_socket_is_roots_alone() {
        ask 127.0.0.1 7
        [ "$(stat -c '%U %a' /run/acceptd/echo)" = 'root 755' ]
        [ "$(stat -c '%U %a' /run/acceptd/echo/io.acceptd.Pool)" = 'root 600' ]
        # and serves no connections
        acceptctl status echo --json >/root/status
        not grep acceptd-control /root/status
}

# systemd's own tool understands it, and finds nothing to complain about. Debian 12 has none.
test_varlinkctl_lists_introspects_and_calls() {
        local socket=/run/acceptd/echo/io.acceptd.Pool
        command -v varlinkctl || return 0
        ask 127.0.0.1 7
        varlinkctl list-interfaces $socket 2>&1 >/root/list | not grep .
        [ "$(sort /root/list | tr '\n' ' ')" = 'io.acceptd.Pool org.varlink.service ' ]
        varlinkctl introspect $socket io.acceptd.Pool 2>&1 >/root/interface | not grep .
        grep 'method GetStatus' /root/interface
        varlinkctl call $socket io.acceptd.Pool.GetStatus '{}' 2>&1 >/root/status | not grep .
        grep '"accepted"' /root/status
        varlinkctl call $socket io.acceptd.Pool.Reload '{}' | grep '"generation"'
}

# Looks again and again, until the test ends
look() {
        (
                set +e
                while :; do
                        acceptctl status echo
                        acceptctl list
                done
        ) >/root/looks 2>&1 &
        # shellcheck disable=SC2064 # this one
        trap "kill $!" EXIT
}

# looked TEXT...: has seen all of these
looked() {
        local text
        for text; do
                grep "$text" /root/looks | sort | uniq -c | head -n 3
                grep -q "$text" /root/looks || return
        done
}

# stays_down STATE: nobody has started it, and its control socket is gone
stays_down() {
        for _ in 1 2 3 4 5; do
                sleep 0.02
                not processes || return
                is acceptd@echo.service "$1" || return
                not test -e /run/acceptd/echo/io.acceptd.Pool || return
        done
        is acceptd-control@echo.socket inactive
}

# started N: so often since the test began
started() {
        [ "$(journal -o cat | grep -c '^Starting .*Worker pool')" = "$1" ]
}

start_and_stop_watched() {
        systemctl start acceptd@echo.service
        acceptctl status echo >/dev/null || return
        systemctl stop acceptd@echo.service
        stays_down inactive
}

# More often than systemd's limit for StopWhenUnneeded=, 16 times in 10 s
test_looking_does_not_start_what_was_stopped() {
        look
        for _ in $(seq 40); do
                start_and_stop_watched
        done
        started 40
        looked '^echo is ready' 'Instance echo is not running'
}

test_looking_does_not_start_what_was_ended_by_a_signal() {
        look
        for _ in 1 2 3 4 5; do
                systemctl start acceptd@echo.service
                kill -TERM "$(main_pid)"
                eventually 5 is acceptd@echo.service inactive
                stays_down inactive
        done
        started 5
        looked 'Instance echo is not running'
}

test_looking_does_not_start_what_cannot_work() {
        settings $'[Pool]\nWorkres=3'
        expect .
        look
        for _ in 1 2 3 4 5; do
                not systemctl start acceptd@echo.service
                [ "$(property acceptd@echo.service ExecMainStatus)" = 78 ]
                stays_down failed
        done
        eventually 5 looked 'Instance echo is not running'
        # Beyond systemd's limit the control socket stays for a while, and starts nothing either.
        # A busy machine takes longer to get there, or never does.
        local n=5
        while [ $n -lt 60 ] && eventually 1 is acceptd-control@echo.socket inactive; do
                not systemctl start acceptd@echo.service
                n=$((n + 1))
        done
        if is acceptd-control@echo.socket inactive; then
                echo "systemd's limit was not met" >/root/figures
                started $n
                return
        fi
        eventually 5 looked 'Instance echo hung up'
        started $n
        eventually 20 is acceptd-control@echo.socket inactive
        started $n
}

crash_is_expected_here() {
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates|remains running after unit stopped)'
}

test_looking_does_not_hasten_a_restart() {
        unit_settings $'[Service]\nRestartSec=2s'
        ask 127.0.0.1 7
        crash_is_expected_here
        look
        for _ in 1 2 3; do
                local before=$EPOCHREALTIME
                kill -KILL "$(main_pid)"
                eventually 5 is acceptd@echo.service auto-restart
                eventually 10 is acceptd@echo.service running
                awk -v a="$before" -v b="$EPOCHREALTIME" 'BEGIN { exit !(b - a >= 1.9) }'
                eventually 5 acceptctl status echo
                ask 127.0.0.1 7
        done
        # also then
        kill -KILL "$(main_pid)"
        eventually 5 is acceptd@echo.service auto-restart
        systemctl stop acceptd@echo.service
        stays_down inactive
        started 4
        looked '^echo is ready' 'Instance echo is not running'
}

# Whoever asks while there is no dispatcher waits, and for so long only
test_status_before_a_restart() {
        unit_settings $'[Service]\nRestartSec=60s'
        ask 127.0.0.1 7
        crash_is_expected_here
        kill -KILL "$(main_pid)"
        eventually 5 is acceptd@echo.service auto-restart
        local before=$SECONDS
        exits 4 acceptctl status echo 2>/root/err
        grep 'does not answer' /root/err
        [ $((SECONDS - before)) -le 7 ]
        is acceptd@echo.service auto-restart
}

test_control_socket_comes_back_after_restarts() {
        ask 127.0.0.1 7
        local units
        for units in acceptd@echo.service 'acceptd@echo.socket acceptd@echo.service' \
                acceptd@echo.socket acceptd.target; do
                # shellcheck disable=SC2086 # two units
                systemctl restart $units
                eventually 5 ask 127.0.0.1 7 # the target does not wait for what is a part of it
                acceptctl status echo
        done
        crash_is_expected_here
        for _ in 1 2 3; do
                kill -KILL "$(main_pid)"
                ask 127.0.0.1 7
                eventually 5 acceptctl status echo
                systemctl reload acceptd@echo.service
                acceptctl status echo
        done
}

# As in EXAMPLES of acceptd(8): two listeners with names
second_socket() {
        cat >/run/systemd/system/acceptd-second.socket <<'UNIT'
[Socket]
ListenStream=127.0.0.1:70
FileDescriptorName=second
Service=acceptd@echo.service
UNIT
        unit_settings $'[Unit]\nPartOf=acceptd-second.socket
[Service]\nSockets=acceptd@echo.socket acceptd-second.socket'
}

test_control_socket_beside_further_sockets() {
        second_socket
        ask 127.0.0.1 7
        ask 127.0.0.1 70
        acceptctl status echo | grep -E '^ +second +127.0.0.1:70 '
        systemctl stop acceptd-second.socket
        rm /run/systemd/system/acceptd-second.socket
}

test_address_of_a_second_socket_is_taken_and_the_first_is_served() {
        second_socket
        expect 'acceptd-second.socket|Dependency failed'
        socat TCP-LISTEN:70,bind=127.0.0.1,reuseaddr - </dev/null &
        local other=$!
        eventually 5 grep -q ':0046 .* 0A ' /proc/net/tcp
        ask 127.0.0.1 7
        is acceptd@echo.service running
        kill $other
        wait $other || true
        systemctl restart acceptd-second.socket
        ask 127.0.0.1 70
        ask 127.0.0.1 7
        systemctl stop acceptd-second.socket
        rm /run/systemd/system/acceptd-second.socket
}

# The pool is there for its clients
test_without_a_control_socket_the_pool_serves() {
        expect acceptd-control@echo.socket
        install -d /run/acceptd/echo/io.acceptd.Pool/in-the-way
        ask 127.0.0.1 7
        is acceptd@echo.service running
        is acceptd-control@echo.socket failed
        rm -r /run/acceptd/echo/io.acceptd.Pool
        exits 4 acceptctl status echo 2>/root/err
        grep 'echo runs, but its control socket is gone' /root/err
        # and the next start has it again
        systemctl restart acceptd@echo.service
        acceptctl status echo
}

test_control_socket_whose_file_is_gone_is_told() {
        ask 127.0.0.1 7
        rm /run/acceptd/echo/io.acceptd.Pool
        exits 4 acceptctl status echo 2>/root/err
        grep 'echo runs, but its control socket is gone' /root/err
        acceptctl list | grep -E '^echo +unreachable '
        expect 'acceptctl|Control process exited|Reload failed for'
        not systemctl reload acceptd@echo.service
        journalctl --sync
        journal -o cat | grep 'echo runs, but its control socket is gone'
        journal -o cat | not grep 'is not running'
        ask 127.0.0.1 7
        systemctl restart acceptd@echo.service
        acceptctl status echo
}

test_instance_without_settings_leaves_no_control_socket() {
        expect .
        not systemctl start acceptd@nothing.service
        eventually 2 is acceptd-control@nothing.socket inactive
        exits 4 acceptctl status nothing
}

test_other_users_see_that_it_runs_and_no_more() {
        ask 127.0.0.1 7
        runuser -u nobody -- acceptctl list | grep -E '^echo +running '
        exits 4 runuser -u nobody -- acceptctl status echo
        exits 1 runuser -u nobody -- acceptctl reload echo
}

# As acceptctl(1) has it: of the group one may look, and an instance of acceptd serves scrapes so
test_group_looks_and_scrapes() {
        local examples=/usr/share/doc/acceptd/examples/metrics units=/run/systemd/system
        [ -d $examples ] || skip 'this release installs no documentation'
        getent group acceptd-look || groupadd --system acceptd-look
        mkdir -p $units/acceptd@metrics.{socket,service}.d $units/acceptd-control@.socket.d
        cp $examples/socket.conf $units/acceptd@metrics.socket.d/
        cp $examples/service.conf $units/acceptd@metrics.service.d/
        cp $examples/control.conf $units/acceptd-control@.socket.d/
        cp $examples/metrics.conf /etc/acceptd/
        systemctl daemon-reload
        ask 127.0.0.1 7

        setpriv --reuid nobody --clear-groups --regid acceptd-look acceptctl is-ready echo
        exits 1 setpriv --reuid nobody --clear-groups --regid acceptd-look acceptctl pause echo
        exits 4 setpriv --reuid nobody --clear-groups --regid nogroup acceptctl status echo
        acceptctl is-ready echo

        systemctl start acceptd@metrics.socket
        printf 'GET /metrics HTTP/1.1\r\n\r\n' | socat -t 10 - TCP:127.0.0.1:9797 >/root/scrape
        systemctl stop acceptd@metrics.socket acceptd@metrics.service
        rm -r $units/acceptd@metrics.{socket,service}.d $units/acceptd-control@.socket.d \
                /etc/acceptd/metrics.conf
        systemctl daemon-reload
        grep '^HTTP/1.1 200 OK' /root/scrape
        grep '^acceptd_connections_accepted_total{pool="echo"} 1$' /root/scrape
        not grep 'pool="metrics"' /root/scrape
}

test_status_ends_with_the_journal() {
        ask 127.0.0.1 7
        eventually 5 sh -c 'acceptctl status echo | grep "acceptd\[[0-9]*\]: Worker 1 .* is ready"'
        not sh -c 'acceptctl status echo --lines=0 | grep "acceptd\["'
}

test_reload() {
        ask 127.0.0.1 7
        local before
        before=$(main_pid)
        settings $'[Pool]\nMaxConnections=77\nWorkers=3'
        systemctl reload acceptd@echo.service
        acceptctl status echo >/root/status
        grep 'at most 77' /root/status
        grep 'generation 2' /root/status
        ask 127.0.0.1 7
        [ "$(main_pid)" = "$before" ]
}

test_failed_reload_fails_visibly_and_changes_nothing() {
        ask 127.0.0.1 7
        settings $'[Pool]\nMaxConnections=77\nWorkres=3'
        expect 'The reload failed, and nothing changed'
        expect 'Reload failed for|Control process exited'
        not systemctl reload acceptd@echo.service
        is acceptd@echo.service active
        systemctl --no-pager status acceptd@echo.service | grep 'test.conf:3: .*Workres='
        acceptctl status echo | grep 'at most 65536'
        exits 1 acceptctl reload echo
        is acceptd@echo.service running
        ask 127.0.0.1 7
}

# A hung one: neither does looking hang
test_dispatcher_that_does_not_answer() {
        ask 127.0.0.1 7
        kill -STOP "$(main_pid)"
        exits 4 acceptctl status echo 2>/root/err
        grep 'does not answer' /root/err
        kill -CONT "$(main_pid)"
        acceptctl status echo
}
