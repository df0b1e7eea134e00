# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # others set what is not set here
#
# 30 seconds of kills, with the recipe for git daemon and clones all the while.

dispatcher_of_git() {
        systemctl show --property MainPID --value acceptd@git.service
}

counter() {
        acceptctl status git --json | grep -oE "\"$1\": [0-9]+" | head -n 1 | grep -oE '[0-9]+$'
}

kill_dispatchers() {
        local end=$((SECONDS + 30)) killed=0
        while [ $SECONDS -lt $end ]; do
                more_served 3
                sleep 1 # more than so often closes the port: acceptd@.socket
                kill -KILL "$(dispatcher_of_git)"
                killed=$((killed + 1))
                eventually 20 is acceptd@git.service running
        done
        more_served 10
        figure "dispatchers killed: $killed"
}

test_kills_of_dispatchers() {
        expect .
        repository
        recipe 'git daemon'
        mkdir -p /root/clones
        during_load 12 "$clone" kill_dispatchers
        eventually 10 eval '[ "$(counter open)" = 0 ]'
        counts_are_clean git
}

# kill_adapter PID: when it can neither start programs nor say that one has ended. Notes how many it
# had, and how many of these had not ended yet.
kill_adapter() {
        local programs running
        kill -STOP "$1"
        eventually 5 eval "ps -o stat= -p $1 | grep -q T"
        programs=$(pgrep -P "$1" | xargs -r ps -o pid=,comm= -p | awk '$2 !~ /^acceptd/ { print $1 }')
        running=$(pgrep -P "$1" --runstates D,R,S,T | wc -l)
        kill -KILL "$1"
        echo "$(wc -w <<<"$programs") $((running - 1))" >>/root/killed # less the guard
}

kill_adapters() {
        local end=$((SECONDS + 30)) pid
        while [ $SECONDS -lt $end ]; do
                more_served 10
                pid=$(workers "$(dispatcher_of_git)" | shuf -n 1)
                [ -z "$pid" ] || kill_adapter "$pid"
        done
        more_served 10
}

test_kills_of_adapters() {
        local killed programs running lost
        expect .
        rm -f /root/killed
        repository
        recipe 'git daemon'
        mkdir -p /root/clones
        under_load 12 "$clone" kill_adapters
        eventually 10 eval '[ "$(counter open)" = 0 ]'
        lost=$(counter lost)
        killed=$(wc -l </root/killed)
        programs=$(awk '{ n += $1 } END { print n }' /root/killed)
        running=$(awk '{ n += $2 } END { print n }' /root/killed)
        figure "adapters killed: $killed, with $programs programs, of which $running still ran;" \
                "lost: $lost, clients that failed: $failed"
        [ "$(counter failed)" = 0 ]
        [ "$(counter refused)" = 0 ]
        [ "$lost" = "$programs" ]
        [ "$failed" -le "$lost" ]
        [ "$lost" -gt 0 ]
}
