# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# What the tests share.

# step WORDS...: says what comes next
step() {
        echo "== $*"
}

# die WORDS...: the test has failed
die() {
        echo "FAILED: $*"
        systemctl --no-pager --full status 'acceptd@*' || true
        journalctl --no-pager -u 'acceptd@*' -n 100 || true
        exit 1
}

# eventually COMMAND...: tries for ten seconds
eventually() {
        i=0
        until "$@"; do
                i=$((i + 1))
                [ $i -lt 100 ] || return 1
                sleep 0.1
        done
}

# ask ADDRESS: sends a line with socat and gives the answer
ask() {
        echo hello | socat -t 10 - "$1"
}

answers() {
        [ "$(ask "$1")" = hello ]
}

property() {
        systemctl show --property "$2" --value "$1"
}
