# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# Load on the instance echo while things break: one scenario each chaos_*, for `make chaos`, and a
# short run of the random one as a test. Read by `inside`; `failures` stands in test-adoption.sh.
#
# What is checked at the end holds in all of them. Each fault notes what it may cost: workers_killed
# (what the worker had received, which is counted as lost) and dispatchers_killed (the one
# connection between accept and send). Everything else costs nothing.
#
# CHAOS_SECONDS: how long, CHAOS_SEED: which random order. `make chaos` shows /root/progress while
# it runs; /root/figures comes with the result.

# shellcheck source=tests/system/chaos.sh
. "$here/chaos.sh"
# shellcheck source=tests/system/losses.sh
. "$here/losses.sh"

# --- faults -------------------------------------------------------------------

fault() {
        faults=$((faults + 1))
        [ -z "${telling-}" ] || tell "$*"
}

random_worker() {
        local all
        mapfile -t all < <(pgrep -x acceptd-echo)
        [ ${#all[@]} != 0 ] || return
        pick ${#all[@]}
        worker=${all[picked]}
}

kill_worker() {
        random_worker || return 0
        fault "SIGKILL of worker $worker"
        note_kill
}

note_kill() {
        local at=${EPOCHREALTIME/[.,]/}
        kill -KILL "$worker" || return 0
        workers_killed=$((workers_killed + 1))
        echo "$worker $at" >>/root/killed
}

# stop_worker MILLISECONDS
stop_worker() {
        random_worker || return 0
        fault "worker $worker stopped for $1 ms"
        kill -STOP "$worker" || return 0
        {
                sleep "$(seconds "$1")"
                kill -CONT "$worker" || true
        } &
        helpers+=($!)
}

kill_dispatcher() {
        local pid
        is_back
        pid=$(main_pid) || return 0
        fault "SIGKILL of dispatcher $pid"
        kill -KILL "$pid"
        dispatchers_killed=$((dispatchers_killed + 1))
}

is_another_main() {
        [ "$(main_pid)" != "$1" ] && is_running
}

# Until the service watchdog aborts it
stop_dispatcher() {
        local pid
        is_back
        pid=$(main_pid) || return 0
        fault "dispatcher $pid stopped, until the watchdog finds it"
        kill -STOP "$pid"
        dispatchers_killed=$((dispatchers_killed + 1))
        check "the watchdog replaces the dispatcher" eventually 20 is_another_main "$pid"
}

reload() {
        is_back
        fault "reload"
        check "systemctl reload" systemctl reload $service
}

# broken_reload SETTINGS
broken_reload() {
        is_back
        fault "reload with ${1//$'\n'/ }"
        settings "$1"
        check "the reload fails" not systemctl reload $service
        rm -f /etc/acceptd/echo.conf.d/test.conf
        is_back
}

# Whatever becomes of the reload
crash_in_reload() {
        local pid reload
        is_back
        pid=$(main_pid) || return 0
        pick 100
        fault "SIGKILL of dispatcher $pid, $picked ms after the begin of a reload"
        systemctl reload $service &
        reload=$!
        sleep "$(seconds $picked)"
        kill -KILL "$pid"
        dispatchers_killed=$((dispatchers_killed + 1))
        wait $reload || true
        is_back
}

reinstall() {
        is_back
        fault "installation of the same package"
        check "installation" dpkg -i /root/acceptd.deb
}

stop_journal() {
        fault "journald stopped for $1 ms"
        pkill -STOP -x systemd-journal
        {
                sleep "$(seconds "$1")"
                pkill -CONT -x systemd-journal || true
        } &
        helpers+=($!)
}

restart_journal() {
        fault "restart of journald"
        check "restart of journald" systemctl restart systemd-journald.service
}

# The service manager reads nothing, as while it reloads itself, or for good after a crash of its own.
# No signal from within stops the first process of a container, but its control group does.
freeze_manager() {
        fault "PID 1 frozen for $1 ms"
        echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze
        {
                sleep "$(seconds "$1")"
                echo 0 >/sys/fs/cgroup/init.scope/cgroup.freeze
        } &
        helpers+=($!)
}

# slow_program PATH MILLISECONDS: puts a copy in its place that cannot be executed for so long. The
# kernel waits for the holder of a lease, F_SETLEASE in fcntl(2).
slow_program() {
        fault "$1 cannot be executed for $2 ms"
        cp "$1" "$1.new"
        # shellcheck disable=SC2016 # these are Perl's
        perl -e '$SIG{IO} = "IGNORE"; open(my $f, "<", $ARGV[0]) or die;
                fcntl($f, 1024, 1) or die "lease: $!"; rename($ARGV[0], $ARGV[1]) or die;
                select(undef, undef, undef, $ARGV[2] / 1000)' "$1.new" "$1" "$2" &
        helpers+=($!)
        while [ -e "$1.new" ] && kill -0 $!; do
                sleep 0.01
        done
}

deaths_are_expected() {
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates)'
        expect 'remains running after unit stopped'
        expect 'Watchdog timeout|Killing process .* with signal SIGABRT'
        expect 'Worker .* (was ended by SIGKILL|ended in an unknown way)'
        expect 'connections? that (no )?worker .* (is|are) lost'
        expect 'Workers (fail|do not start): the last one was ended by SIGKILL'
}

failed_reloads_are_expected() {
        expect '[Rr]eload failed'
        expect 'did not reload|Reload failed|Control process exited'
        expect 'Unit cannot be reloaded because it is inactive'
}

# --- scenarios ----------------------------------------------------------------

random_fault() {
        local wait
        pick 100
        case $picked in
        [0-9] | [1-3][0-9]) kill_worker ;;
        4[0-9])
                pick 3000
                stop_worker $picked
                ;;
        5[0-9] | 6[0-4]) kill_dispatcher ;;
        6[5-7]) stop_dispatcher ;;
        6[89] | 7[0-6]) reload ;;
        7[7-9] | 8[0-2]) broken_reload $'[Pool]\nWorkres=3' ;;
        8[3-7]) crash_in_reload ;;
        8[89]) reinstall ;;
        9[0-5])
                pick 4000
                stop_journal $picked
                ;;
        *) restart_journal ;;
        esac
        pick 1200
        wait=$((picked + 100))
        look_at_clock
        wait_until $((clock + wait))
}

# Everything, in random order
chaos_mixed() {
        local telling=yes
        deaths_are_expected
        failed_reloads_are_expected
        expect 'did not receive in time went to others'
        unit_settings $'[Service]\nWatchdogSec=3s'
        settings $'[Pool]\nWorkers=4'
        start_load mixed 20 100 200
        # what a broken reload removes
        rm -f /etc/acceptd/echo.conf.d/test.conf
        echo $'[Pool]\nWorkers=4' >/etc/acceptd/echo.conf.d/always.conf
        while look_at_clock; [ $clock -lt "$end" ]; do
                random_fault
        done
        end_load
        stop_all
}

chaos_kill_workers() {
        deaths_are_expected
        note_connections
        start_load kill_workers 60 100 500
        every 100 kill_worker
        end_load
        check_losses
        # one with each that was answered in the instant of its death
        check "lost that were not idle" at_most $((lost - lost_idle)) \
                $(($(failures short /root/load.out) + $(failures held /root/load.out) + workers_killed))
        stop_all
}

# None fails that had not been received: with held ones alone there is no other way to be lost.
chaos_kill_workers_held() {
        deaths_are_expected
        note_connections
        start_load kill_workers_held 60 100 0.001
        every 100 kill_worker
        end_load
        check_losses
        check "lost are the failed ones" equal "$lost" "$(failures held /root/load.out)"
        stop_all
}

# Workers die with connections in their queues, which others take.
chaos_kill_full_queues() {
        deaths_are_expected
        note_connections
        start_load kill_full_queues 60 20 1000
        every 500 kill_stopped_worker
        end_load
        check_losses
        check "some were taken back" at_most 1 "$taken_back"
        figure "$taken_back taken back"
        # it had received these: a batch
        check "short failures" at_most "$(failures short /root/load.out)" $((workers_killed * 2))
        stop_all
}

kill_stopped_worker() {
        random_worker || return 0
        fault "worker $worker stopped, then SIGKILL"
        kill -STOP "$worker" || return 0
        sleep 0.1
        note_kill
}

chaos_stop_worker() {
        expect 'did not receive in time went to others'
        settings $'[Pool]\nWorkers=4'
        start_load stop_worker 60 40 500
        every 10000 stop_worker 5000
        end_load
        # these it had received
        check "slow ones" at_most "$(counted short_slow)" $((faults * 4))
        stop_all
}

chaos_kill_dispatcher() {
        deaths_are_expected
        start_load kill_dispatcher 60 300 500
        every 1000 kill_dispatcher
        end_load
        check "short failures" at_most "$(failures short /root/load.out)" \
                $(((dispatchers_killed + 9) / 10))
        check "the same workers" equal "$(echo_workers)" "$first_workers"
        stop_all
}

chaos_watchdog() {
        deaths_are_expected
        unit_settings $'[Service]\nWatchdogSec=3s'
        start_load watchdog 60 300 500
        every 10000 stop_dispatcher
        end_load
        check "short failures" at_most "$(failures short /root/load.out)" 1
        check "the same workers" equal "$(echo_workers)" "$first_workers"
        stop_all
}

chaos_reload() {
        start_load reload 60 300 500
        every 2000 reload
        end_load
        check "the same main process" equal "$(main_pid)" "$first_main"
        check "one generation" equal "$(generations | wc -l)" 1
        figure "generation $(generations)"
        stop_all
}

generations() {
        acceptctl status echo --json | sed -n '/"workers":/,$s/.*"generation": \([0-9]*\).*/\1/p' |
                sort -u
}

# A newer build, and the old one again, by turns
chaos_upgrade() {
        rm -rf /root/newer
        dpkg-deb -R /root/acceptd.deb /root/newer
        sed -i 's/^Version: .*/&+newer/' /root/newer/DEBIAN/control
        dpkg-deb -b /root/newer /root/newer.deb
        start_load upgrade 60 300 500
        upgrades=0
        every 6000 upgrade
        end_load
        dpkg -i /root/acceptd.deb
        check "the same main process" equal "$(main_pid)" "$first_main"
        stop_all
}

upgrade() {
        upgrades=$((upgrades + 1))
        if [ $((upgrades % 2)) = 1 ]; then
                check "apt-get install" apt-get install -y /root/newer.deb
        else
                reinstall
        fi
}

# Each reload that has to fail, and what comes back after a crash
chaos_broken_reloads() {
        local settings
        deaths_are_expected
        failed_reloads_are_expected
        expect 'Worker .* (exited|ended|was|did)'
        expect 'Workers (fail|do not start)'
        expect 'did not become ready in time'
        start_load broken_reloads 40 300 500
        for settings in $'[Pool]\nWorkres=3' $'[Worker]\nCommand=/nonexistent' \
                $'[Worker]\nCommand=/bin/false' \
                $'[Worker]\nCommand=/bin/sleep 1000\nTimeoutStartSec=2s'; do
                broken_reload "$settings"
                check "the same main process" equal "$(main_pid)" "$first_main"
                check "the same workers" equal "$(echo_workers)" "$first_workers"
                look_at_clock
                wait_until $((clock + 1000))
        done
        kill_dispatcher
        end_load
        check "the same workers" equal "$(echo_workers)" "$first_workers"
        check "short failures" at_most "$(failures short /root/load.out)" 1
        stop_all
}

# Workers come and go, ten a second, and nobody is told: each one takes six messages. (These and the
# next ones say how long clients wait, so they want a machine that does nothing else.)
chaos_frozen_manager() {
        expect 'service manager takes no messages'
        settings $'[Pool]\nWorkers=4\n[Worker]\nRecycleAfter=100'
        slow=100
        start_load frozen_manager 40 0 1000
        wait_until $((clock + 5000))
        freeze_manager 20000
        wait_until $((clock + 19000))
        end_load
        check "slower than 100 ms" equal "$(counted short_slow)" 0
        check "the same main process" equal "$(main_pid)" "$first_main"
        check "other workers" not equal "$(echo_workers)" "$first_workers"
        stop_all
}

# Journal and service manager at once, and a reload meanwhile, which has to fail
chaos_frozen_system() {
        expect 'service manager takes no messages'
        expect 'messages were dropped'
        failed_reloads_are_expected
        settings $'[Pool]\nWorkers=4\n[Worker]\nRecycleAfter=100'
        slow=100
        start_load frozen_system 40 0 1000
        wait_until $((clock + 5000))
        freeze_manager 20000
        stop_journal 20000
        wait_until $((clock + 18000))
        check "a reload fails" not acceptctl reload echo
        end_load
        check "slower than 100 ms" equal "$(counted short_slow)" 0
        check "the same main process" equal "$(main_pid)" "$first_main"
        stop_all
}

# slow_check MILLISECONDS: a reload whose check takes so long. Its outcome is that of `reloading`.
slow_check() {
        slow_program /usr/sbin/acceptd "$1"
        fault "reload"
        acceptctl reload echo 2>/root/reload.err &
        reloading=$!
}

# A check that takes long, as with settings on a file system that does not answer: first it comes to
# its end in time, then not.
chaos_slow_check() {
        failed_reloads_are_expected
        slow=100
        start_load slow_check 30 20 1000
        slow_check 5000
        wait_until $((clock + 6000))
        check "the reload succeeds" wait "$reloading"
        slow_check 12000
        wait_until $((clock + 13000))
        check "the reload fails" not wait "$reloading"
        check "and says why" grep -q 'longer than 10s' /root/reload.err
        end_load
        check "slower than 100 ms" equal "$(counted short_slow)" 0
        check "the same main process" equal "$(main_pid)" "$first_main"
        stop_all
}

# A worker dies, and the next one takes 6 s to be executed
chaos_slow_execve() {
        local program=/usr/local/libexec/slow/acceptd-echo
        deaths_are_expected
        install -D /usr/libexec/acceptd/acceptd-echo $program
        chmod 755 $program ${program%/*}
        settings "[Pool]
Workers=4
[Worker]
Command=$program"
        slow=50
        start_load slow_execve 30 0 1000
        every 10000 slow_start
        end_load
        check "slower than 50 ms" equal "$(counted short_slow)" 0
        stop_all
        rm -r ${program%/*}
}

slow_start() {
        slow_program /usr/local/libexec/slow/acceptd-echo 6000
        kill_worker
}

ticks() {
        awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# A worker that exits at once, and is repaired
chaos_crash_loop() {
        local main used messages duration=${CHAOS_SECONDS:-60} fd answer
        set +x
        bad=0 scenario=crash_loop
        look_at_clock
        begun=$clock
        expect 'Worker .* (exited|ended)'
        expect 'Workers (fail|do not start)'
        printf '#!/bin/sh\nexit 3\n' >/usr/local/libexec/worker
        chmod 755 /usr/local/libexec/worker
        settings $'[Worker]\nCommand=/usr/local/libexec/worker'
        systemctl start $service
        main=$(main_pid)
        used=$(ticks "$main")
        for ((i = 1; i <= duration; i++)); do
                sleep 1
                [ $((i % 5)) != 0 ] || tell "$(acceptctl status echo --json | grep statusText)"
                # it is accepted by the kernel, and waits
                check "the socket is open" eval 'exec {fd}<>/dev/tcp/127.0.0.1/7'
                [ "$i" = "$duration" ] || exec {fd}>&-
        done
        used=$(($(ticks "$main") - used))
        messages=$(journal -o cat | wc -l)
        figure "in $duration s: $((used * 10)) ms of CPU, $messages messages in the journal"
        check "under 1 % of a CPU" at_most $used "$duration"
        check "under 20 messages" at_most "$messages" 19

        printf '#!/bin/sh\nexec /usr/libexec/acceptd/acceptd-echo\n' >/usr/local/libexec/worker
        look_at_clock
        used=$clock
        echo hello >&"$fd"
        read -r -t 40 -u "$fd" answer || true
        look_at_clock
        check "the client that waited is served" equal "$answer" hello
        figure "repaired, the client that waited is served after $((clock - used)) ms"
        check "the same main process" equal "$(main_pid)" "$main"
        exec {fd}>&-
        rm /usr/local/libexec/worker
        stop_all
}

test_chaos() {
        chaos_mixed
}
