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

# status_says REGEX: what `systemctl status` shows in its line
status_says() {
        property acceptd@echo.service StatusText | grep -E "$1"
}

# waits_until_mended PROGRAM COMMAND...: a program that is not to be started lets nobody down, and the
# client that waits is served when COMMAND has mended it
waits_until_mended() {
        inetd "$1"$'\nRestartMaxDelaySec=500ms'
        expect 'orkers? .*exited with status 69|acceptd-inetd: .*(No such file|Permission denied)'
        exec 3<>/dev/tcp/127.0.0.1/7
        echo hello >&3
        eventually 20 status_says '^0/1 workers ready;.*; workers fail: .*status 69'
        acceptctl status echo | grep ' 0 done, 0 failed'
        "${@:2}"
        read -r -t 30 answer <&3
        [ "$answer" = hello ]
        eventually 10 status_says '^1/1 workers ready; connections'
}

test_inetd_program_that_is_missing() {
        mkdir -p /usr/local/libexec
        rm -f /usr/local/libexec/program
        waits_until_mended /usr/local/libexec/program install /bin/cat /usr/local/libexec/program
}

test_inetd_program_that_is_not_executable() {
        install -D -m 644 /bin/cat /usr/local/libexec/program
        waits_until_mended /usr/local/libexec/program chmod 755 /usr/local/libexec/program
}

# lets_down_few PROGRAM: of clients that come one after the other, each when the one before got
# nothing, in 10 seconds
lets_down_few() {
        local began=$SECONDS let_down=-1 told=no status
        inetd "$1"
        # and the one that waits at the end
        expect 'orkers? .*exited with status 69|acceptd-inetd: |closed unserved: no worker was left'
        while [ $SECONDS -lt $((began + 10)) ]; do
                status=0
                read -r -t 1 _ <&3 || status=$?
                if [ $status -gt 128 ]; then
                        ! status_says '^0/1 workers ready;.*; workers fail: .*status 69' || told=yes
                else
                        let_down=$((let_down + 1))
                        exec 3<>/dev/tcp/127.0.0.1/7
                        echo hello >&3
                fi
        done 3</dev/null
        echo "$let_down clients got nothing in 10 s" | tee /root/figures
        [ "$told" = yes ]
        [ $let_down -ge 1 ]
        [ $let_down -le 10 ] # one for each start, and the delay between these doubles
}

test_inetd_program_that_exits_with_127() {
        lets_down_few $'sh -c \'exec nothing-of-the-kind\''
}

test_inetd_program_that_fails_at_once() {
        lets_down_few false
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
