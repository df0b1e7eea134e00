# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# From an enabled socket to an answer, and to an orderly end.

test_enabled_socket_runs_no_process() {
        systemctl is-enabled acceptd@echo.socket
        systemctl is-active acceptd@echo.socket
        not processes
        not systemctl is-active acceptd@echo.service
}

test_first_connection_over_ipv4_is_answered() {
        ask 127.0.0.1 7
}

test_first_connection_over_ipv6_is_answered() {
        ask ::1 7
}

test_first_connection_over_unix_is_answered() {
        ask_unix /run/acceptd/echo.sock
}

# As at boot, before the network is up: 192.0.2.0/24 is nobody's
test_address_that_is_not_there_yet_leaves_the_others_open() {
        systemctl stop acceptd@echo.socket
        mkdir -p /run/systemd/system/acceptd@echo.socket.d
        printf '[Socket]\nListenStream=192.0.2.9:7\n' \
                >/run/systemd/system/acceptd@echo.socket.d/test.conf
        systemctl daemon-reload
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7
        ask_unix /run/acceptd/echo.sock
        ip address add 192.0.2.9/32 dev lo
        ask 192.0.2.9 7
        ip address del 192.0.2.9/32 dev lo
        rm -r /run/systemd/system/acceptd@echo.socket.d
}

test_status_shows_the_pool() {
        ask 127.0.0.1 7
        systemctl --no-pager status acceptd@echo.service | grep -E 'Status: ".*workers? .*'
}

test_service_runs_as_a_user_of_its_own() {
        ask 127.0.0.1 7
        [ "$(stat -c %U "/proc/$(main_pid)")" != root ]
        for pid in $(workers "$(main_pid)"); do
                [ "$(stat -c %u "/proc/$pid")" = "$(stat -c %u "/proc/$(main_pid)")" ]
        done
}

test_stopping_the_socket_ends_all_processes() {
        ask 127.0.0.1 7
        processes
        systemctl stop acceptd@echo.socket
        not processes
        not ask 127.0.0.1 7
        not test -e /run/acceptd/echo.sock
}

test_stopping_the_service_keeps_the_port_open() {
        ask 127.0.0.1 7
        systemctl stop acceptd@echo.service
        not processes
        [ "$(property acceptd@echo.service Result)" = success ]
        ask 127.0.0.1 7
}

test_restarting_is_answered_by_new_processes() {
        ask 127.0.0.1 7
        local before
        before=$(main_pid)
        systemctl restart acceptd@echo.service
        [ "$(main_pid)" != "$before" ]
        ask 127.0.0.1 7

        systemctl restart acceptd@echo.socket acceptd@echo.service
        ask 127.0.0.1 7
        systemctl restart acceptd@echo.socket
        ask 127.0.0.1 7
}

# Longer than the unit's own limit: the dispatcher asks for the time
test_stop_waits_for_open_connections() {
        settings $'[Worker]\nDrainTimeoutSec=30s'
        unit_settings $'[Service]\nTimeoutStopSec=1s'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo one >&3
        read -r _ <&3
        systemctl stop --no-block acceptd@echo.service
        eventually 5 is acceptd@echo.service deactivating
        sleep 3
        echo two >&3
        read -r answer <&3
        [ "$answer" = two ]
        exec 3>&-
        eventually 5 is acceptd@echo.service inactive
        [ "$(property acceptd@echo.service Result)" = success ]
}

test_stop_ends_connections_that_do_not_end() {
        settings $'[Worker]\nDrainTimeoutSec=1s'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo one >&3
        read -r _ <&3
        expect 'Worker [0-9]+ .*(did not finish|was ended)|is lost'
        systemctl stop acceptd@echo.service
        not processes
        [ "$(property acceptd@echo.service Result)" = success ]
        not read -r _ <&3
}

test_target_stops_and_starts_all_instances() {
        ask 127.0.0.1 7
        systemctl stop acceptd.target
        not processes
        is acceptd@echo.socket inactive
        systemctl start acceptd.target
        eventually 5 is acceptd@echo.socket active
        not processes
        ask 127.0.0.1 7
        systemctl stop acceptd.target
}
