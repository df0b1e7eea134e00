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
        # On a busy machine 15 starts may take longer than the 10 s of the template.
        mkdir -p /run/systemd/system/acceptd@echo.socket.d
        printf '[Socket]\nTriggerLimitIntervalSec=60s\n' \
                >/run/systemd/system/acceptd@echo.socket.d/test.conf
        systemctl daemon-reload
        settings $'[Pool]\nWorkres=3'
        expect .
        exec 3<>/dev/tcp/127.0.0.1/7
        echo hello >&3
        eventually 60 is acceptd@echo.socket failed
        rm -r /run/systemd/system/acceptd@echo.socket.d
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

# refused INSTANCE REGEX: its socket does not start, and the journal says why
refused() {
        expect "acceptd@${1//\\/.}"
        expect "$2"
        not systemctl start "acceptd@$1.socket"
        journalctl --sync
        journal --unit="acceptd@$1.socket" --priority=err -o cat | grep -E "$2"
        not systemctl start "acceptd@$1.service"
        [ "$(property "acceptd@$1.service" NRestarts)" = 0 ]
}

test_names_that_no_user_can_have_are_refused_by_the_socket() {
        local name
        for name in my.app customer-portal-staging-frontend 'two\x20words'; do
                cp /etc/acceptd/echo.conf "/etc/acceptd/$name.conf"
                refused "$name" 'cannot run as the user acceptd-'
                not test -e "/run/acceptd/$name.sock"
        done
        # but for a user that exists
        mkdir -p /run/systemd/system/acceptd@my.app.service.d
        printf '[Service]\nUser=games\n' >/run/systemd/system/acceptd@my.app.service.d/test.conf
        systemctl daemon-reload
        systemctl start acceptd@my.app.socket
        ask_unix /run/acceptd/my.app.sock
        [ "$(stat -c %U "/proc/$(property acceptd@my.app.service MainPID)")" = games ]
        systemctl stop acceptd@my.app.socket
        rm -r /run/systemd/system/acceptd@my.app.service.d
        rm /etc/acceptd/{my,customer,two}*.conf
}

# Its listener would have been taken for the control socket: status 78 for each client.
test_name_of_the_control_socket_is_refused_by_the_socket() {
        cp /etc/acceptd/echo.conf /etc/acceptd/acceptd-control.conf
        refused acceptd-control 'cannot be called acceptd-control'
        rm /etc/acceptd/acceptd-control.conf
}

# systemd drops what it has no room for, and the dispatcher is not told.
test_smaller_descriptor_store_than_said_is_refused_by_the_socket() {
        systemctl stop acceptd@echo.socket
        unit_settings $'[Service]\nFileDescriptorStoreMax=9'
        refused echo 'FileDescriptorStoreMax=9, and Environment=FDSTORE=4096'
        unit_settings $'[Service]\nFileDescriptorStoreMax=900\nEnvironment=FDSTORE=900'
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7
}

test_settings_that_the_user_cannot_read_are_refused_by_the_socket() {
        systemctl stop acceptd@echo.socket
        chmod 0600 /etc/acceptd/echo.conf
        refused echo 'cannot read /etc/acceptd/echo.conf'
        chmod 0644 /etc/acceptd/echo.conf
        settings $'[Pool]\nWorkers=3'
        chmod 0640 /etc/acceptd/echo.conf.d/test.conf
        refused echo 'cannot read /etc/acceptd/echo.conf.d/test.conf'
        # for a user who can
        unit_settings $'[Service]\nSupplementaryGroups=adm'
        chgrp adm /etc/acceptd/echo.conf.d/test.conf
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7
}

test_folder_that_is_missing_is_refused_by_the_socket() {
        systemctl stop acceptd@echo.socket
        unit_settings $'[Service]\nReadWritePaths=/srv/data'
        refused echo 'ReadWritePaths=/srv/data'
        unit_settings $'[Service]\nReadWritePaths=-/srv/data'
        systemctl start acceptd@echo.socket
        ask 127.0.0.1 7
}

test_program_that_is_missing_is_refused_by_the_socket() {
        systemctl stop acceptd@echo.socket
        settings $'[Worker]\nCommand=/usr/local/sbin/typo --fast'
        refused echo 'test.conf:2: Command=/usr/local/sbin/typo: No such file'
        # and what only root may execute
        install -m 700 /usr/libexec/acceptd/acceptd-echo /usr/local/libexec/private
        settings $'[Worker]\nCommand=/usr/local/libexec/private'
        refused echo 'Command=/usr/local/libexec/private: Permission denied'
        rm /usr/local/libexec/private
}

# crash_without_a_folder SETTING: the folder of this setting was there when the socket started. Has a
# connection on descriptor 3.
crash_without_a_folder() {
        systemctl stop acceptd@echo.socket
        mkdir /srv/data
        unit_settings $'[Service]\n'"$1"
        systemctl start acceptd@echo.socket
        hold
        expect .
        rmdir /srv/data
        kill -KILL "$(main_pid)"
}

port_is_open() {
        [ -n "$(ss -Htln 'src 127.0.0.1:7')" ]
}

# failed_starts N: one after the other
failed_starts() {
        grep -q " $1\$" /run/acceptd/echo/failed-starts
}

# count_starts NAME: how many there were, into `starts`, and how many lines in the journal, `lines`
count_starts() {
        starts=$(journal -o cat | grep -c '^Starting acceptd@echo.service')
        lines=$(journal | wc -l)
        echo "$1: $starts starts, $lines lines" | tee -a /root/figures
}

says_what_is_missing() {
        journal -o cat | grep -q 'needs /srv/data, which does not exist'
}

# That fails before main, and ten times a second it would
test_starts_that_fail_come_slower_and_the_port_stays_open() {
        crash_without_a_folder ReadWritePaths=/srv/data
        exec 4<>/dev/tcp/127.0.0.1/7
        echo waits >&4
        for ((i = 0; i < 100; i++)); do
                port_is_open
                sleep 0.1
        done
        says_what_is_missing
        count_starts "a folder is missing"
        [ "$starts" = 2 ] # the first one and the one that failed, in 10 s and more
        [ "$lines" -le 50 ]
        # A worker serves on what it holds, and the next dispatcher finds both
        echo held >&3
        read -r -t 10 _ <&3
        mkdir /srv/data
        read -r -t 20 answer <&4
        [ "$answer" = waits ]
        echo held >&3
        read -r -t 10 _ <&3
        acceptctl status echo | grep ' 0 lost'
        # That one is well, and its crash is no failed start.
        kill -KILL "$(main_pid)"
        ask 127.0.0.1 7
        rmdir /srv/data
}

# The check of the instance cannot see that.
test_start_by_hand_does_not_wait_for_the_pause() {
        crash_without_a_folder BindPaths=/srv/data
        eventually 40 failed_starts 4
        count_starts "nobody knows what is wrong"
        [ "$starts" = 4 ] # in 11 s; the next one is due in 60
        [ "$lines" -le 80 ]
        mkdir /srv/data
        local before=$SECONDS
        systemctl restart acceptd@echo.service
        [ $((SECONDS - before)) -lt 15 ] # of 60
        ask 127.0.0.1 7

        rmdir /srv/data
        kill -KILL "$(main_pid)"
        eventually 40 failed_starts 4
        systemctl stop acceptd@echo.service
        eventually 3 is acceptd-pace@echo.service inactive
        eventually 5 not processes
        mkdir /srv/data
        ask 127.0.0.1 7
        rmdir /srv/data
}
