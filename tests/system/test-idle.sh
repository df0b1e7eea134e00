# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# ExitIdleTimeSec=: the service ends when nobody uses it, and the next connection starts it.

IDLE=$'[Pool]\nWorkers=1\nExitIdleTimeSec=1s'

test_idle_service_ends_and_a_connection_starts_it() {
        settings "$IDLE"
        ask 127.0.0.1 7
        local before
        before=$(main_pid)
        eventually 30 is acceptd@echo.service inactive
        said EXITS_IDLE ACCEPTD_IDLE_USEC=1000000
        [ "$(property acceptd@echo.service Result)" = success ]
        [ "$(property acceptd@echo.service NRestarts)" = 0 ]
        is acceptd@echo.socket listening
        eventually 15 not processes
        eventually 15 not_in_control_group
        # nothing is kept: the figures begin anew
        not acceptctl status echo
        ask_unix /run/acceptd/echo.sock
        [ "$(main_pid)" != "$before" ]
        acceptctl status echo | grep ' 1 done'
}

test_open_connection_keeps_the_service() {
        settings "$IDLE"
        hold
        local before
        before=$(main_pid)
        sleep 3
        [ "$(main_pid)" = "$before" ]
        exec 3>&-
        eventually 30 is acceptd@echo.service inactive
}

test_socket_of_an_idle_service_stops_for_good() {
        settings "$IDLE"
        # From 254 on it could outlive the service, and with it a copy of the socket.
        expect "Unknown key 'FileDescriptorStorePreserve'"
        unit_settings $'[Service]\nFileDescriptorStorePreserve=yes'
        ask 127.0.0.1 7
        eventually 30 is acceptd@echo.service inactive
        [ "$(property acceptd@echo.service NFileDescriptorStore)" = 0 ]
        systemctl stop acceptd@echo.socket
        not ask 127.0.0.1 7
}

# client NAME ROUNDS: comes again and again to an instance, when that ends or has just done so. Each
# line that it prints is a connection that was refused or not answered.
client() {
        local i pid
        for ((i = 0; i < $2; i++)); do
                ask_unix "/run/acceptd/$1.sock" || echo "$1, round $i"
                pid=$(property "acceptd@$1.service" MainPID)
                case $((i % 3)) in
                # somewhere between the last look and the next start
                0 | 1) sleep "1.$(printf %03d $((RANDOM % 400)))" ;;
                # at the end of the process
                2) [ "$pid" = 0 ] || timeout 30 tail --pid="$pid" -s 0.002 -f /dev/null ;;
                esac
        done
}

# clients INSTANCES ROUNDS: of so many at the same time
clients() {
        local i name failed
        for ((i = 0; i < $1; i++)); do
                name=idle$i
                echo "$IDLE" >/etc/acceptd/$name.conf
                systemctl start "acceptd@$name.socket"
        done
        for ((i = 0; i < $1; i++)); do
                client "idle$i" "$2" >"/root/idle$i" 2>/dev/null &
        done
        wait
        journalctl --sync
        printf '%s connections, %s starts, %s ends; refused or unanswered: %s\n' $(($1 * $2)) \
                "$(journalctl --quiet --since="$since" MESSAGE_ID="$(message_id STARTED)" | wc -l)" \
                "$(journalctl --quiet --since="$since" MESSAGE_ID="$(message_id EXITS_IDLE)" | wc -l)" \
                "$(cat /root/idle? | wc -l)" >>/root/figures
        failed=$(cat /root/idle?)
        for ((i = 0; i < $1; i++)); do
                name=idle$i
                is "acceptd@$name.socket" active
                [ "$(property "acceptd@$name.socket" Result)" = success ]
                [ "$(property "acceptd@$name.service" Result)" = success ]
                systemctl stop "acceptd@$name.socket" "acceptd@$name.service"
                rm "/etc/acceptd/$name.conf"
        done
        [ -z "$failed" ]
}

test_clients_at_the_worst_instant() {
        clients 4 6
}

# In two and a half minutes: tests/system/run RELEASE idle_long
idle_long() {
        clients 6 100
}
