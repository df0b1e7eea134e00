# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Installation, upgrade and removal. The last one leaves the container without acceptd.

test_installation_enables_and_starts_nothing() {
        dpkg --purge acceptd
        dpkg --install /root/acceptd.deb
        [ "$(systemctl is-enabled acceptd@echo.socket)" = disabled ]
        not systemctl is-active acceptd@echo.socket
        not processes
        not ask 127.0.0.1 7
        systemctl --quiet is-active acceptd.target
}

test_upgrade_restarts_the_pool_behind_open_ports() {
        ask 127.0.0.1 7
        local before
        before=$(main_pid)
        while ask 127.0.0.1 7; do :; done &
        dpkg --install /root/acceptd.deb
        [ "$(main_pid)" != "$before" ]
        ask 127.0.0.1 7
        kill $! # fails if a request did
        not test -e /etc/acceptd/echo.conf.dpkg-dist
}

test_removal_stops_and_leaves_the_settings() {
        ask 127.0.0.1 7
        dpkg --remove acceptd
        not processes
        not ask 127.0.0.1 7
        test -e /etc/acceptd/echo.conf
        not test -e /run/acceptd
        dpkg --install /root/acceptd.deb
}

test_purge_leaves_nothing() {
        ask 127.0.0.1 7
        dpkg --purge acceptd
        not processes
        left=$(find / -xdev \( -path /proc -o -path /root -o -path /var/log \) -prune -o \
                \( -name '*acceptd*' -o -lname '*acceptd*' \) -print)
        [ -z "$left" ]
        # slices come and go with systemd's own ideas
        [ -z "$(systemctl list-units --all --plain --no-legend '*acceptd*' | grep -v '\.slice ')" ]
}
