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
        not test -e /run/acceptd/echo
}

test_other_users_see_that_it_runs_and_no_more() {
        ask 127.0.0.1 7
        runuser -u nobody -- acceptctl list | grep -E '^echo +running '
        exits 4 runuser -u nobody -- acceptctl status echo
        exits 1 runuser -u nobody -- acceptctl reload echo
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
