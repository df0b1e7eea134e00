# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh sets what is not set here
#
# "A worker takes over the dispatcher" in the moment before a reload or a restart has protected it.
# Two workers try all the time: stub-worker-race.c. The long form, outside of `make check`:
#
#         tests/system/run bookworm,trixie race_long race_long:generic

# attacker N: a client of worker N, which races as long as the client holds the connection
attacker() {
        mkfifo "/root/hold$1"
        # without the other one's end, which would outlive this shell's
        socat -t 60 - UNIX-CONNECT:/run/acceptd/echo.sock <"/root/hold$1" >"/root/race$1" 5>&- &
        eval "exec $((4 + $1))>/root/hold$1"
        eventually 10 grep -q '^worker=' "/root/race$1"
}

end_attacker() {
        eval "exec $((4 + $1))>&-"
        eventually 60 grep '^race' "/root/race$1"
        grep -q ' dispatcher=0 ' "/root/race$1"
        # where the kernel confines workers in all ways: Linux 6.12
        if [ "$(printf '%s\n' 6.12 "$(uname -r)" | sort -V | head -n 1)" = 6.12 ]; then
                grep -q ' neighbours=0 signals=0$' "/root/race$1"
        fi
}

crash_dispatcher() {
        local pid
        pid=$(main_pid)
        kill -KILL "$pid"
        # systemd knows first, or `main_pid` may still say the old one
        eventually 10 not kill -0 "$pid"
        eventually 10 changed "$pid"
        eventually 10 is acceptd@echo.service running
}

changed() {
        local pid
        pid=$(main_pid) && [ "$pid" != "$1" ]
}

# race RELOADS CRASHES: that many, evenly mixed
race() {
        local reload crashes=0
        rm -f /root/hold? /root/race?
        expect 'acceptd@echo.service: (Main process exited|Failed with result|.*left)'
        expect '(Found left-over process|This usually indicates)'
        expect 'remains running after unit stopped'
        settings '[Pool]
Workers=2
[Worker]
Command=/usr/local/libexec/stub-worker --serve=race'
        attacker 1
        attacker 2
        for ((reload = 1; reload <= $1; reload++)); do
                acceptctl reload echo >/dev/null
                if [ $((reload * $2 / $1)) -gt $crashes ]; then
                        crash_dispatcher
                        crashes=$((crashes + 1))
                fi
        done
        end_attacker 1
        end_attacker 2
        echo "$1 reloads, $crashes crashes: $(cut -d ' ' -f 2- /root/race1 | tail -n 1);" \
                "$(cut -d ' ' -f 2- /root/race2 | tail -n 1)" >>/root/figures
}

test_worker_does_not_take_over_the_dispatcher() {
        race 20 4
}

race_long() {
        set +x
        race 1000 100
}
