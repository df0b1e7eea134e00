# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# How much is open, by systemd's count and by trying: probe.c says what it tries.

probe=/usr/local/libexec/probe

# exposure UNIT LIMIT: not above it
exposure() {
        local score
        score=$(systemd-analyze --no-pager security "$1" |
                sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
        echo "$1: $score"
        awk -v score="$score" -v limit="$2" 'BEGIN { exit !(score != "" && score <= limit) }'
}

test_exposure() {
        ask 127.0.0.1 7
        exposure acceptd@echo.service 0.5
        cp /etc/acceptd/echo.conf /etc/acceptd/other.conf
        systemctl start acceptd@other.socket
        ask_unix /run/acceptd/other.sock
        exposure acceptd@other.service 1.7
        rm /etc/acceptd/other.conf
}

# Has the worker with the even number try: the other one is its neighbour, and echoes.
attack() {
        settings "[Pool]
Workers=2
Distribute=round-robin
[Worker]
Command=$probe /usr/libexec/acceptd/acceptd-echo"
        local try
        for try in 1 2 3 4; do
                echo "connection $try"
                socat -t 60 - UNIX-CONNECT:/run/acceptd/echo.sock </dev/null >/root/report
                [ -s /root/report ] && break
        done
        cat /root/report
        grep -x end /root/report
}

allowed() {
        sed -n 's/^ALLOWED \(.*\): .*/\1/p' /root/report
}

test_worker_of_echo_reaches_nothing() {
        attack
        [ -z "$(allowed)" ]
        # and nothing is its user's, whatever the sandbox would let it do there
        [ -z "$(find /run /var /tmp /dev/shm -xdev -user "$(stat -c %u "/proc/$(main_pid)")")" ]
}

# Otherwise what is said of signals would show nothing: nspawn has to allow the calls.
test_worker_of_echo_is_confined() {
        local release
        release=$(uname -r)
        [ "$(printf '%s\n' 6.12 "$release" | sort -V | head -n 1)" = 6.12 ] || return 0
        attack
        grep -q '^denied signals to the dispatcher' /root/report
        grep -q '^denied signals to another process' /root/report
}

test_worker_of_another_instance_does_not_reach_the_dispatcher() {
        profile generic
        attack
        not grep 'ALLOWED.*dispatcher' /root/report
        not grep "ALLOWED.*another process" /root/report
        grep -q 'denied the dispatcher.s memory' /root/report
        not grep ALLOWED.*io_uring /root/report
}

# policy PID: its scheduling policy, 0 other, 3 batch: proc_pid_stat(5)
policy() {
        awk '{ print $41 }' "/proc/$1/stat"
}

# policies DISPATCHER WORKER
policies() {
        local pid
        ask 127.0.0.1 7
        pid=$(main_pid)
        [ "$(policy "$pid")" = "$1" ]
        [ "$(policy "$(workers "$pid" | head -n 1)")" = "$2" ]
}

test_scheduling_policy() {
        policies 3 3
        # what the strict profile does not let it change stays, and workers start all the same
        settings '[Worker]
CPUSchedulingPolicy=other'
        systemctl restart acceptd@echo.service
        policies 3 3
        profile generic
        systemctl restart acceptd@echo.service
        policies 3 0
        # 5: idle
        unit_settings '[Service]
CPUSchedulingPolicy=idle'
        systemctl restart acceptd@echo.service
        policies 5 5
}

# Otherwise the above would show nothing
test_probe_reaches_everything_where_nothing_is_closed() {
        profile generic
        unit_settings '[Service]
DynamicUser=no
User=root
CapabilityBoundingSet=~
NoNewPrivileges=no
RestrictSUIDSGID=no
ProtectSystem=no
PrivateTmp=no
ProtectHome=no
PrivateDevices=no
ProtectProc=default
ProtectControlGroups=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
RestrictAddressFamilies=
PrivateIPC=no
SystemCallFilter=
SystemCallFilter=~landlock_restrict_self
SystemCallArchitectures=
LockPersonality=no
ProtectClock=no
ProtectHostname=no
RestrictNamespaces=no
RestrictRealtime=no'
        attack
        # the kernel of a container's host may have none
        sed -i '/io_uring/d' /root/report
        not grep ^denied /root/report
}
