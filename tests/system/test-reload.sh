# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Reloads and upgrades under load. Read by `inside`; `failures` stands in test-adoption.sh.

test_reloads_under_load_fail_nothing() {
        ask 127.0.0.1 7
        local main
        main=$(main_pid)
        /root/load --to=tcp:127.0.0.1:7 --sources=20 --seconds=12 --held=100 --rate=500 \
                >/root/load.out &
        for _ in 1 2 3 4 5; do
                sleep 2
                systemctl reload acceptd@echo.service
        done
        wait $!
        cat /root/load.out
        [ "$(failures held /root/load.out)" = 0 ]
        [ "$(failures short /root/load.out)" = 0 ]
        [ "$(main_pid)" = "$main" ]
        eventually 10 has_workers "$main" "$(nproc)"
        acceptctl status echo --json | grep -q '"generation": 6\b'
}

test_upgrade_under_load_fails_nothing() {
        ask 127.0.0.1 7
        local main
        main=$(main_pid)
        /root/load --to=tcp:127.0.0.1:7 --sources=20 --seconds=12 --held=100 --rate=300 \
                >/root/load.out &
        sleep 1
        apt-get install -y --reinstall /root/acceptd.deb
        wait $!
        cat /root/load.out
        [ "$(failures held /root/load.out)" = 0 ]
        [ "$(failures short /root/load.out)" = 0 ]
        [ "$(main_pid)" = "$main" ]
}

test_a_reload_with_broken_settings_fails_and_changes_nothing() {
        ask 127.0.0.1 7
        local main
        main=$(main_pid)
        settings $'[Pool]\nWorkres=3'
        expect 'reload failed'
        expect '(did not reload|Reload failed|Control process exited)'
        not systemctl reload acceptd@echo.service
        systemctl is-active acceptd@echo.service
        ask 127.0.0.1 7
        [ "$(main_pid)" = "$main" ]
        journal -o cat | grep 'test.conf:2: .*Workres'

        # a crash after that comes back with the settings that were in force
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates|remains running after unit stopped)'
        kill -KILL "$main"
        ask 127.0.0.1 7
}
