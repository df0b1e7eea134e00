# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets, and scenarios use, what is not here
#
# What scenarios of test-chaos.sh run in: load on the instance echo, and a look at all counters, clients
# and processes afterwards.

service=acceptd@echo.service

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

# The counters, into accepted, open, finished, unserved, lost, lost_idle, refused, taken_back
read_counters() {
        local json pattern
        json=$(timeout 5 acceptctl status echo --json 2>/dev/null) || return
        pattern='"accepted": ([0-9]+),\s*"open": ([0-9]+),\s*"done": ([0-9]+),'
        pattern+='\s*"failed": ([0-9]+),\s*"lost": ([0-9]+),\s*"lostIdle": ([0-9]+),\s*"refused": ([0-9]+).*"takenBack": ([0-9]+)'
        [[ $json =~ $pattern ]] || return
        accepted=${BASH_REMATCH[1]} open=${BASH_REMATCH[2]} finished=${BASH_REMATCH[3]}
        unserved=${BASH_REMATCH[4]} lost=${BASH_REMATCH[5]} lost_idle=${BASH_REMATCH[6]}
        refused=${BASH_REMATCH[7]} taken_back=${BASH_REMATCH[8]}
}

counters_are_right() {
        [ "$accepted" = $((open + finished + unserved + lost + refused)) ]
}

# A dispatcher that was just killed or stopped does not answer.
sample() {
        local figures
        if ! read_counters; then
                unanswered=$((unanswered + 1))
                return
        fi
        samples=$((samples + 1))
        figures="accepted=$accepted open=$open done=$finished failed=$unserved lost=$lost"
        check "$figures refused=$refused" counters_are_right
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
        first_accepted=$accepted first_lost=$lost first_idle=$lost_idle first_done=$finished
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
        finished=$((finished - first_done)) lost_idle=$((lost_idle - first_idle))
        failed=$(($(failures short /root/load.out) + $(failures held /root/load.out)))
        missing=$(($(counted connected) - accepted))

        figure "$(counted short_ok) short and $(counted held_ok) held ones ok;" \
                "failed: $(failures short /root/load.out) short, $(failures held /root/load.out)" \
                "held; p50 $(counted p50_us) us, p99 $(counted p99_us) us, max $(counted max_us)" \
                "us; $(counted short_slow) slower than ${slow:-1500} ms"
        figure "accepted $accepted (clients: $(counted connected)), done $finished, lost $lost" \
                "($lost_idle idle), refused $refused; $samples samples, $unanswered unanswered; killed:" \
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
