# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Installation, upgrade and removal. The last one leaves the container without acceptd.

test_installation_enables_and_starts_nothing() {
        dpkg --purge acceptd
        dpkg --install /root/acceptd.deb
        [ "$(systemctl is-enabled acceptd@echo.socket)" = disabled ]
        not systemctl is-active acceptd@echo.socket
        [ "$(systemctl is-enabled acceptd-control@echo.socket)" = static ]
        not systemctl is-active acceptd-control@echo.socket
        not processes
        not ask 127.0.0.1 7
        systemctl --quiet is-active acceptd.target
}

test_upgrade_goes_on_under_the_new_program() {
        hold
        local main before
        main=$(main_pid)
        before=$(workers "$main" | sort)
        while ask 127.0.0.1 7; do :; done &
        dpkg --install /root/acceptd.deb
        [ "$(main_pid)" = "$main" ]
        [ "$(readlink "/proc/$main/exe")" = /usr/sbin/acceptd ]
        kill $! # fails if a request did
        echo still held >&3
        read -r -t 10 answer <&3
        [ "$answer" = 'still held' ]
        exec 3>&-
        eventually 10 none_of "$before"
        acceptctl status echo
        not test -e /etc/acceptd/echo.conf.dpkg-dist
}

test_upgrade_starts_no_instance() {
        systemctl stop acceptd@echo.socket
        dpkg --install /root/acceptd.deb
        not systemctl --quiet is-active acceptd@echo.socket
        not processes
        systemctl --quiet is-active acceptd.target
}

# none_of PIDS: they have ended
none_of() {
        local pid
        for pid in $1; do
                ! [ -d "/proc/$pid" ] || return
        done
}

test_removal_stops_and_leaves_the_settings() {
        ask 127.0.0.1 7
        dpkg --remove acceptd
        not processes
        not ask 127.0.0.1 7
        test -e /etc/acceptd/echo.conf
        not test -e /run/acceptd
        # enabled as before; its sockets start behind the target, after a check of the settings
        dpkg --install /root/acceptd.deb
        eventually 10 ask 127.0.0.1 7
}

test_purge_leaves_nothing() {
        ask 127.0.0.1 7
        dpkg --purge acceptd
        not processes
        # the tests' own things are in /root and /usr/local
        left=$(find / -xdev \( -path /proc -o -path /root -o -path /usr/local -o -path /var/log \) \
                -prune -o \
                \( -name '*acceptd*' -o -lname '*acceptd*' \) -print)
        [ -z "$left" ]
        # slices come and go with systemd's own ideas
        [ -z "$(systemctl list-units --all --plain --no-legend '*acceptd*' | grep -v '\.slice ')" ]
}
