# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# Programs of acceptd-inetd in the unit of the package.

# inetd OPTIONS-AND-PROGRAM: one worker of the instance echo does this
inetd() {
        settings $'[Pool]\nWorkers=1\n[Worker]\nCommand=acceptd-inetd '"$1"
}

test_inetd_serves_under_the_sandbox() {
        inetd cat
        local i
        for ((i = 0; i < 20; i++)); do
                ask 127.0.0.1 7
                ask_unix /run/acceptd/echo.sock
        done
        acceptctl status echo | grep ' 40 done'
}

# has_priority N REGEX: a line of a program, with this priority and without the prefix for it
has_priority() {
        journalctl --sync
        journalctl --quiet --since="$since" --unit=acceptd@echo.service -o json PRIORITY="$1" |
                grep -E "\"MESSAGE\":\"acceptd-inetd: $2"
}

test_inetd_ends_have_their_priority_in_the_journal() {
        inetd $'sh -c \'read end; $end\''
        expect 'acceptd-inetd: sh \(PID [0-9]*\) was ended by SIGKILL'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo 'exit 3' >&3
        not read -r -t 10 _ <&3
        eventually 5 has_priority 5 'sh .PID [0-9]*. exited with status 3"'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo 'eval kill -KILL $$' >&3
        not read -r -t 10 _ <&3
        eventually 5 has_priority 4 'sh .PID [0-9]*. was ended by SIGKILL"'
}

# The dispatcher crashes twice; a program goes on, and what the service manager kills is not its.
test_inetd_programs_outlive_dispatchers() {
        inetd cat
        expect .
        hold
        local i program
        program=$(pgrep -x cat)
        for ((i = 0; i < 2; i++)); do
                kill -KILL "$(main_pid)"
                ask 127.0.0.1 7
                echo still >&3
                read -r -t 10 answer <&3
                [ "$answer" = still ]
        done
        [ "$(pgrep -x cat | grep -c -x "$program")" = 1 ]
        not said LEFTOVERS_ENDED
}

# Without a trace of what the program has started, in sessions of its own, too
test_inetd_stop_leaves_nothing() {
        inetd $'sh -c \'setsid sleep 903 & read line; echo $line; sleep 903\''
        expect 'did not finish its connections in time|sleep. remains running after unit stopped'
        unit_settings $'[Service]\nExecStart=\nExecStart=/usr/sbin/acceptd -c /etc/acceptd/echo.conf -o DrainTimeoutSec=500ms'
        hold
        eventually 5 eval '[ "$(pgrep -cx sleep)" = 2 ]'
        systemctl stop acceptd@echo.socket acceptd@echo.service
        eventually 5 not pgrep -x sleep
}
