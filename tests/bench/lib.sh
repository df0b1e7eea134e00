# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the parts of the benchmark share. Before: $programs (folder with acceptd and acceptd-echo),
# $tools (with load and the others), $out (where results go), $seconds (of one measurement),
# $rounds.

: "${programs:?}" "${tools:?}" "${out:?}" "${seconds:?}" "${rounds:?}"

cpus=$(nproc)
clients=32
# As many generators as CPUs, so that they can keep all of them busy
generators=$((cpus < clients ? cpus : clients))
results=$out/results.jsonl
work=$(mktemp -d)
started=()

# Ends what was started here, by its number
clean_up() {
        local pid
        for pid in "${started[@]}"; do
                kill "$pid" 2>/dev/null
        done
        for pid in "${started[@]}"; do
                wait "$pid"
        done 2>/dev/null
        rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

say() {
        printf '%s\n' "$*" >&2
}

# emit KEY=VALUE...: one result, as a line of JSON
emit() {
        local pair value line=
        for pair; do
                value=${pair#*=}
                [[ $value =~ ^-?[0-9]+(\.[0-9]+)?$ ]] || value="\"$value\""
                line="$line, \"${pair%%=*}\": $value"
        done
        printf '{%s}\n' "${line#, }" >>"$results"
}

# The value of KEY in lines of key=value: field KEY FILE... Several lines are added up.
field() {
        awk -v key="$1" '
                { for (i = 1; i <= NF; i++) if (index($i, key "=") == 1)
                        sum += substr($i, length(key) + 2) }
                END { printf "%.6g", sum }' "${@:2}"
}

children() {
        cat "/proc/$1/task/$1/children" 2>/dev/null
}

# Nanoseconds of CPU that processes have used; sched(7), what getrusage() says too, but finer
cpu_of() {
        local pid ns rest sum=0
        for pid; do
                if read -r ns rest <"/proc/$pid/schedstat"; then
                        sum=$((sum + ns))
                fi 2>/dev/null
        done
        echo $sum
}

# Jiffies that all CPUs were idle, and all
idle_of_machine() {
        awk '/^cpu / { for (i = 2; i <= 9; i++) all += $i; print $5 + $6, all; exit }' /proc/stat
}

# memory PID: KiB resident, and KiB of its own
memory() {
        awk '/^Rss:/ { rss = $2 } /^Private/ { own += $2 } END { print rss, own }' \
                "/proc/$1/smaps_rollup"
}

# generate PORT OPTION...: the load. Leaves one line for each generator in $work/load-*; fails if
# any connection failed.
generate() {
        local port=$1 i pids=() failed=0
        shift
        rm -f "$work"/load-*
        for ((i = 0; i < generators; i++)); do
                "$tools/load" --to="tcp:127.0.0.1:$port" --destinations=200 "$@" \
                        >"$work/load-$i" 2>>"$work/err" &
                pids+=($!)
        done
        wait_for "${pids[@]}" || failed=1
        return $failed
}

wait_for() {
        local pid failed=0
        for pid; do
                wait "$pid" || failed=1
        done
        return $failed
}

# in_turns ROUND CANDIDATE...: in another order each round, since the first has it easier
in_turns() {
        local first=$(($1 % ($# - 1)))
        shift
        echo "${@:1+first}" "${@:1:first}"
}

# Shares $1 among the generators
share() {
        echo $(($1 / generators > 0 ? $1 / generators : 1))
}

# wait_until_served PORT [OPTION...]: until one request has been answered, for some seconds
wait_until_served() {
        local deadline=$((SECONDS + 15))
        while [ $SECONDS -lt $deadline ]; do
                "$tools/load" --to="tcp:127.0.0.1:$1" --clients=1 --count=1 --timeout=10 "${@:2}" \
                        >/dev/null 2>&1 && return
                sleep 0.1
        done
        say "Nobody answers on port $1."
        return 1
}

# start PORT COMMAND...: with a listening socket; sets $pid
start() {
        "$tools/listen" "$@" >>"$work/log" 2>&1 &
        pid=$!
        started+=("$pid")
}

# start_acceptd PORT WORKERS [OPTION...] [-- WORKER...]; sets $pid
start_acceptd() {
        local port=$1 workers=$2 options=()
        shift 2
        while [ $# -gt 0 ] && [ "$1" != -- ]; do
                options+=("$1")
                shift
        done
        [ $# -gt 0 ] || set -- -- "$programs/acceptd-echo" --capacity=16384
        start "$port" "$programs/acceptd" -o "Workers=$workers" "${options[@]}" "$@"
}

# stop PID: and wait for its end
stop() {
        kill "$1"
        wait "$1"
} 2>/dev/null

# short NAME PORT PID KEY=VALUE... [-- LOAD_OPTION...]: short connections for $seconds, and what they
# cost the process and its children
short() {
        local name=$1 port=$2 pid=$3 keys=() d0 d1 w0 w1 i0 i1 n ok=0
        shift 3
        while [ $# -gt 0 ] && [ "$1" != -- ]; do
                keys+=("$1")
                shift
        done
        [ $# = 0 ] || shift

        d0=$(cpu_of "$pid")
        # shellcheck disable=SC2046 # several words
        w0=$(cpu_of $(children "$pid"))
        i0=$(idle_of_machine)
        generate "$port" --seconds="$seconds" --clients="$(share $clients)" "$@" || ok=1
        i1=$(idle_of_machine)
        d1=$(cpu_of "$pid")
        # shellcheck disable=SC2046
        w1=$(cpu_of $(children "$pid"))
        n=$(field short_ok "$work"/load-*)

        rate=$(awk '{ n = s = 0; for (i = 1; i <= NF; i++) { split($i, a, "=");
                if (a[1] == "short_ok") n = a[2]; if (a[1] == "seconds") s = a[2] }
                if (s > 0) sum += n / s } END { printf "%.0f", sum }' "$work"/load-*)
        emit candidate="$name" "${keys[@]}" connections="$n" \
                failures="$(field failures "$work"/load-*)" per_second="$rate" \
                first_us="$(awk -v d=$((d1 - d0)) -v n="$n" 'BEGIN { printf "%.3f", n ? d / n / 1000 : 0 }')" \
                others_us="$(awk -v d=$((w1 - w0)) -v n="$n" 'BEGIN { printf "%.3f", n ? d / n / 1000 : 0 }')" \
                idle_percent="$(echo "$i0 $i1" | awk '{ printf "%.0f", ($4 > $2) ? 100 * ($3 - $1) / ($4 - $2) : 0 }')"
        say "$(printf '  %-28s %8d connections/s' "$name" "$rate")"
        [ $ok = 0 ] || say "$(printf '  %-28s %8d failures' "$name" "$(field failures "$work"/load-*)")"
}
