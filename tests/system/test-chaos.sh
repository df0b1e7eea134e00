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

service=acceptd@echo.service

# shellcheck source=tests/system/losses.sh
. "$here/losses.sh"

# Milliseconds, into `clock`
look_at_clock() {
        clock=$((${EPOCHREALTIME/[.,]/} / 1000))
}

tell() {
        look_at_clock
        printf '%4d s  %s\n' $(((clock - begun) / 1000)) "$*" | tee -a /root/progress
}

figure() {
        printf '%-20s %s\n' "$scenario:" "$*" | tee -a /root/figures
}

# check WHAT COMMAND...: notes a failure and goes on, so that a run ends with all its figures
check() {
        local what=$1
        shift
        "$@" && return
        tell "FAILED: $what ($*)"
        figure "FAILED: $what ($*)"
        bad=$((bad + 1))
}

# at_most A B, without [ ] in each place that says check
at_most() {
        [ "$1" -le "$2" ]
}

equal() {
        [ "$1" = "$2" ]
}

# pick N: one of 0 to N-1, into `picked`. In no subshell, which would have other numbers.
pick() {
        picked=$(((RANDOM * 32768 + RANDOM) % $1))
}

# --- what is looked at --------------------------------------------------------

# The counters, into accepted, open, finished, lost, refused, taken_back
read_counters() {
        local json pattern
        json=$(timeout 5 acceptctl status echo --json 2>/dev/null) || return
        pattern='"accepted": ([0-9]+),\s*"open": ([0-9]+),\s*"done": ([0-9]+),'
        pattern+='\s*"lost": ([0-9]+),\s*"refused": ([0-9]+).*"takenBack": ([0-9]+)'
        [[ $json =~ $pattern ]] || return
        accepted=${BASH_REMATCH[1]} open=${BASH_REMATCH[2]} finished=${BASH_REMATCH[3]}
        lost=${BASH_REMATCH[4]} refused=${BASH_REMATCH[5]} taken_back=${BASH_REMATCH[6]}
}

counters_are_right() {
        [ "$accepted" = $((open + finished + lost + refused)) ]
}

# A dispatcher that was just killed or stopped does not answer.
sample() {
        if ! read_counters; then
                unanswered=$((unanswered + 1))
                return
        fi
        samples=$((samples + 1))
        check "accepted=$accepted open=$open done=$finished lost=$lost refused=$refused" \
                counters_are_right
        look_at_clock
        [ $clock -ge "$next_report" ] || return 0
        next_report=$((clock + 5000))
        tell "$accepted accepted, $open open, $lost lost; workers killed: $workers_killed," \
                "dispatchers: $dispatchers_killed"
}

# seconds MILLISECONDS, as sleep wants them
seconds() {
        printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

# wait_until CLOCK, and look at the counters twice a second
wait_until() {
        local left
        while look_at_clock; [ $clock -lt "$1" ]; do
                if [ $clock -ge "$next_sample" ]; then
                        next_sample=$((clock + 500))
                        sample
                        continue
                fi
                left=$((($1 < next_sample ? $1 : next_sample) - clock))
                sleep "$(seconds $left)"
        done
}

# every MILLISECONDS COMMAND...: until the end of the load
every() {
        local step=$1 due
        shift
        look_at_clock
        for ((due = clock + step; due < end; due += step)); do
                wait_until $due
                "$@"
        done
}

is_running() {
        is $service running
}

is_back() {
        check "the service is back" eventually 20 is_running
}

no_connection_is_open() {
        read_counters && [ "$open" = 0 ]
}

echo_workers() {
        pgrep -x acceptd-echo | sort
}

are_as_many() {
        [ "$(echo_workers | wc -l)" = "$1" ]
}

main_status() {
        sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$(main_pid)/status"
}

main_descriptors() {
        find "/proc/$(main_pid)/fd" -type l 2>/dev/null | wc -l
}

has_descriptors() {
        [ "$(main_descriptors)" = "$1" ]
}

has_stored() {
        [ "$(property $service NFileDescriptorStore)" = "$1" ]
}

no_zombies() {
        not pgrep --runstates Z acceptd
}

nothing_runs() {
        not processes >/dev/null && not_in_control_group
}

# --- a run --------------------------------------------------------------------

# start_load NAME SECONDS HELD RATE: from an idle instance whose memory is warm
start_load() {
        set +x
        scenario=$1 held=$3
        local duration=${CHAOS_SECONDS:-$2} seed=${CHAOS_SEED:-}
        [ -n "$seed" ] || seed=$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')
        RANDOM=$seed
        bad=0 samples=0 unanswered=0 workers_killed=0 dispatchers_killed=0 faults=0 helpers=()
        look_at_clock
        begun=$clock next_sample=0 next_report=0
        trap go_on EXIT

        ask 127.0.0.1 7
        /root/load --to=tcp:127.0.0.1:7 --sources=20 --seconds=2 --held="$held" --rate="$4" \
                >/dev/null
        eventually 10 no_connection_is_open
        n_workers=$(echo_workers | wc -l)
        first_workers=$(echo_workers)
        first_main=$(main_pid)
        first_descriptors=$(main_descriptors)
        first_stored=$(property $service NFileDescriptorStore)
        first_memory=$(main_status RssAnon)
        read_counters
        first_accepted=$accepted first_lost=$lost first_done=$finished
        : >/root/killed
        tell "$scenario: CHAOS_SEED=$seed CHAOS_SECONDS=$duration held=$held rate=$4" \
                "workers=$n_workers"
        figure "seed $seed, $duration s, $held held, $4/s short, $n_workers workers"

        /root/load --to=tcp:127.0.0.1:7 --sources=20 --seconds="$duration" --timeout=60 \
                --slow="${slow:-1500}" --held="$held" --rate="$4" --failures=/root/failures \
                >/root/load.out &
        load=$!
        look_at_clock
        begun=$clock
        end=$((clock + duration * 1000))
}

# What is stopped goes on, whatever became of the test.
go_on() {
        local name
        for name in acceptd-echo systemd-journal acceptd; do
                pkill -CONT -x $name || true
        done
}

counted() {
        tr ' ' '\n' </root/load.out | sed -n "s/^$1=//p"
}

# Waits for the clients, then holds their count against the service's, and what it has against what
# it had.
end_load() {
        local failed missing
        wait_until "$end"
        [ ${#helpers[@]} = 0 ] || wait "${helpers[@]}"
        wait "$load" || true
        cat /root/load.out
        is_back
        check "no connection is open when the clients have ended" eventually 15 \
                no_connection_is_open
        read_counters
        accepted=$((accepted - first_accepted)) lost=$((lost - first_lost))
        finished=$((finished - first_done))
        failed=$(($(failures short /root/load.out) + $(failures held /root/load.out)))
        missing=$(($(counted connected) - accepted))

        figure "$(counted short_ok) short and $(counted held_ok) held ones ok;" \
                "failed: $(failures short /root/load.out) short, $(failures held /root/load.out)" \
                "held; p50 $(counted p50_us) us, p99 $(counted p99_us) us, max $(counted max_us)" \
                "us; $(counted short_slow) slower than ${slow:-1500} ms"
        figure "accepted $accepted (clients: $(counted connected)), done $finished, lost $lost," \
                "refused $refused; $samples samples, $unanswered unanswered; killed:" \
                "$workers_killed workers, $dispatchers_killed dispatchers; $faults faults in all"

        check "clients refused" equal "$(($(counted short_refused) + $(counted held_refused)))" 0
        check "wrong bytes" equal "$(($(counted short_wrong) + $(counted held_wrong)))" 0
        check "refused by the dispatcher" equal "$refused" 0
        check "client failures beyond what was lost" at_most "$failed" \
                $((lost + dispatchers_killed))
        [ "$workers_killed" != 0 ] || {
                check "held failures" equal "$(failures held /root/load.out)" 0
                check "client failures" at_most "$failed" "$dispatchers_killed"
                check "lost" at_most "$lost" "$dispatchers_killed"
        }
        # what is complete and not yet reported is one batch of records at the most
        check "lost beyond client failures" at_most "$lost" \
                $((failed + 64 * workers_killed + dispatchers_killed))
        check "accepted more than the clients know" at_most $((-missing)) 0
        check "clients that were not accepted" at_most "$missing" "$dispatchers_killed"
        check "samples" at_most 1 "$samples"

        check "as many workers as before ($n_workers)" eventually 40 are_as_many "$n_workers"
        check "descriptors as before" eventually 10 has_descriptors "$first_descriptors"
        check "stored descriptors as before" eventually 10 has_stored "$first_stored"
        check "no zombies" eventually 5 no_zombies
        figure "dispatcher: $first_descriptors descriptors, then $(main_descriptors);" \
                "$first_stored stored, then $(property $service NFileDescriptorStore);" \
                "$first_memory kB of its own, then $(main_status RssAnon)"
        check "memory as before" at_most "$(main_status RssAnon)" $((first_memory + 512))
}

stop_all() {
        systemctl stop acceptd@echo.socket $service
        check "nothing is left after the stop" eventually 5 nothing_runs
        nothing_runs || { processes; in_control_group; }
        check "no zombies after the stop" no_zombies
        tell "$scenario: $bad checks failed"
        [ "$bad" = 0 ]
}

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

deaths_are_expected() {
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates)'
        expect 'remains running after unit stopped'
        expect 'Watchdog timeout|Killing process .* with signal SIGABRT'
        expect 'Worker .* (was ended by SIGKILL|ended in an unknown way)'
        expect 'connections? that worker .* had received and not finished (is|are) lost'
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
