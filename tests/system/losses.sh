# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # lib.sh and test-chaos.sh set what is not set here
#
# Each connection that is lost under the faults of test-chaos.sh, and why. Read by that.

# Workers that write down what they receive and what they finish, so that each loss has its reason:
# before start_load. `Workers=4`.
note_connections() {
        mkdir -p /run/notes
        : >/run/notes/notes
        chmod 777 /run/notes
        chmod 666 /run/notes/notes
        unit_settings $'[Service]\nReadWritePaths=/run/notes\nEnvironment=NOTES=/run/notes/notes'
        settings $'[Pool]\nWorkers=4\n[Worker]\nCommand=/usr/local/libexec/noting/acceptd-echo'
}

# per_worker MESSAGE: a line "PID COUNT IDLE" for each message of this kind
per_worker() {
        journalctl --quiet --since="$since" -o json MESSAGE_ID="$(message_id "$1")" |
                awk '
                        function field(name) {
                                if (!match($0, "\"" name "\":\"[0-9]+")) return 0
                                at = RSTART + length(name) + 4
                                return substr($0, at, RLENGTH - length(name) - 4)
                        }
                        { print field("ACCEPTD_WORKER_PID"), field("ACCEPTD_COUNT"), field("ACCEPTD_IDLE") }'
}

# Where only workers were killed. Each client that failed had its connection received by a worker
# that was killed, and not finished; a worker lost these, and beyond them only what was idle, and one
# that it had answered in the instant of its death; what was in its queue was not lost. Prints what is
# not so; the figures go to /root/losses.
find_odd_losses() {
        journalctl --sync
        per_worker CONNECTIONS_LOST >/root/lost
        per_worker WORKER_DIED >/root/died
        awk -v lost="$lost" '
                FILENAME == "/root/killed" {
                        killed[$1] = 1
                        victim[++kills] = $1
                        when[kills] = $2
                }
                FILENAME == "/root/lost" { had[$1] += $2; idle[$1] += $3; sum += $2; sum_idle += $3 }
                FILENAME == "/root/died" { died[$1] += $2 }
                FILENAME == "/run/notes/notes" && $1 == "received" {
                        n = ++received[$4]
                        pid[$4, n] = $2
                        id[$4, n] = $3
                        at[$4, n] = $5
                }
                FILENAME == "/run/notes/notes" && $1 == "done" { finished[$3] = 1 }
                # between its receipt and its note: one for each worker at the most, just killed
                function was_received_unnoted(end, k) {
                        for (k = kills; k > 0 && when[k] - offset > end - 1000000; k--)
                                if (when[k] - offset < end && !(victim[k] in unnoted) &&
                                                failed[victim[k]] < had[victim[k]]) {
                                        unnoted[victim[k]] = 1
                                        failed[victim[k]]++
                                        return 1
                                }
                        return 0
                }
                FILENAME == "/root/failures" && $1 == "clock" { offset = $3 - $2; next }
                FILENAME == "/root/failures" {
                        failures++
                        # the first since it was opened: an address comes again, perhaps soon
                        for (n = received[$3]; n > 1 && at[$3, n - 1] >= $4; n--) {}
                        if (n == 0 || at[$3, n] < $4 || at[$3, n] > $5) {
                                rest[++n_rest] = $0
                                next
                        }
                        worker = pid[$3, n]
                        if (!(worker in killed)) print "its worker was not killed: " $0
                        if (id[$3, n] in finished) print "was finished: " $0
                        failed[worker]++
                }
                END {
                        for (n = 1; n <= n_rest; n++) {
                                split(rest[n], part)
                                if (!was_received_unnoted(part[5]))
                                        print "received by nobody: " rest[n]
                        }
                        if (sum != lost) print lost " lost, and " sum " with dead workers"
                        for (p in had) {
                                what = "worker " p ", lost " had[p] ": "
                                beyond = had[p] - idle[p] - failed[p]
                                if (!(p in killed)) print what "it was not killed"
                                if (had[p] != died[p]) print what "it had received " died[p]
                                if (beyond > 1) print what "idle " idle[p] ", clients that failed " failed[p] + 0
                        }
                        for (p in failed)
                                if (failed[p] > had[p])
                                        print "worker " p ", lost " had[p] + 0 ": clients " \
                                                failed[p]
                        print sum + 0 " lost with " kills " workers: " failures + 0 \
                                " failed clients, " sum_idle + 0 " idle; " n_rest + 0 \
                                " received and not noted" >"/root/losses"
                }' /root/killed /root/lost /root/died /run/notes/notes /root/failures
}

check_losses() {
        local odd
        odd=$(find_odd_losses)
        check "losses are accounted for: $(head -n 5 <<<"$odd")" equal "$odd" ""
        figure "$(cat /root/losses)"
}
