# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the tests in the container share: see `inside`.

units=('acceptd@*.service' 'acceptd@*.socket' 'acceptd-control@*' 'acceptd-pace@*.service'
        'acceptd-reap@*.service' acceptd.target)

# Leaves the test out, with the reason.
skip() {
        echo "$*" >/root/skipped
        exit 0
}

# eventually SECONDS COMMAND...: tries until it succeeds
eventually() {
        local deadline=$((SECONDS + $1))
        shift
        until "$@"; do
                [ $SECONDS -lt "$deadline" ] || return 1
                sleep 0.05
        done
}

not() {
        ! "$@"
}

# Sends a line and succeeds when the same comes back: ask HOST PORT, ask_unix PATH
ask() {
        local fd answer
        exec {fd}<>"/dev/tcp/$1/$2" || return
        echo "hello $BASHPID" >&"$fd"
        read -r -t 10 -u "$fd" answer || return
        exec {fd}>&-
        [ "$answer" = "hello $BASHPID" ]
}

ask_unix() {
        [ "$(echo hello | socat -t 10 - "UNIX-CONNECT:$1")" = hello ]
}

property() {
        systemctl show --property "$2" --value "$1"
}

# is UNIT STATE: an ActiveState or a SubState
is() {
        case " $(property "$1" ActiveState,SubState | tr '\n' ' ')" in
        *" $2 "*) ;;
        *) return 1 ;;
        esac
}

main_pid() {
        local pid
        pid=$(property acceptd@echo.service MainPID)
        [ "$pid" != 0 ] && echo "$pid"
}

# The workers of a dispatcher
workers() {
        pgrep -P "$1"
}

has_workers() {
        [ "$(workers "$1" | wc -l)" = "$2" ]
}

# A connection that is served and stays open, on descriptor 3
hold() {
        exec 3<>/dev/tcp/127.0.0.1/7
        echo held >&3
        read -r -t 10 _ <&3
}

# Processes of all instances, whatever they are called; 0 is one of another container
in_control_group() {
        find /sys/fs/cgroup -path '*acceptd@*.service/cgroup.procs' -exec cat {} + 2>/dev/null |
                sort -u | grep -vx 0
}

not_in_control_group() {
        [ -z "$(in_control_group)" ]
}

processes() {
        pgrep -a '^acceptd' | grep -v acceptd.deb
}

# settings TEXT: for the instance echo, until the end of the test
settings() {
        mkdir -p /etc/acceptd/echo.conf.d
        echo "$1" >/etc/acceptd/echo.conf.d/test.conf
}

# unit_settings TEXT: the same for the unit
unit_settings() {
        mkdir -p /run/systemd/system/acceptd@echo.service.d
        echo "$1" >/run/systemd/system/acceptd@echo.service.d/test.conf
        systemctl daemon-reload
}

# profile strict|generic: which one the instance echo has, until the end of the test
profile() {
        local masked=/run/systemd/system/acceptd@echo.service.d/10-strict.conf
        if [ "$1" = generic ]; then
                mkdir -p "${masked%/*}"
                ln -sf /dev/null "$masked"
        else
                rm -f "$masked"
        fi
        systemctl daemon-reload
}

# The MESSAGE_ID of a message, by the name above its text in the catalog
message_id() {
        awk -v name="$1" '$1 == "#" { found = $2 == name } found && $1 == "--" { print $2; exit }' \
                /usr/lib/systemd/catalog/acceptd.catalog
}

# said NAME FIELD[=VALUE]...: since the test began there is a message of this kind, of which the
# latest has these fields, and `journalctl -x` explains it. Sets SAID_PID to its sender.
said() {
        local id entry field
        id=$(message_id "$1")
        [ -n "$id" ] || return
        shift
        journalctl --sync
        entry=$(journalctl --quiet --since="$since" -o json MESSAGE_ID="$id" | tail -n 1)
        # shellcheck disable=SC2034
        SAID_PID=$(sed -n 's/.*"_PID":"\([0-9]*\)".*/\1/p' <<<"$entry")
        for field; do
                case $field in
                *=*) grep -F "\"${field%%=*}\":\"${field#*=}\"" <<<"$entry" || return ;;
                *) grep -F "\"$field\":\"" <<<"$entry" || return ;;
                esac
        done >/dev/null
        entry=$(journalctl --quiet --since="$since" -x MESSAGE_ID="$id")
        grep -q ' Subject: ' <<<"$entry" && grep -q 'Defined-By: acceptd' <<<"$entry" &&
                not grep @ACCEPTD_ <<<"$entry"
}

# expect REGEX: this may stand in the journal at warning or above
expect() {
        echo "$1" >>/root/expected
}

# All of the journal about acceptd since the test began, or of a priority
journal() {
        journalctl --sync
        journalctl --quiet --since="$since" -o short-precise --no-hostname \
                "${units[@]/#/--unit=}" "$@"
}

unexpected() {
        journal --priority=warning | grep -v -E -f /root/expected
}

# run_test NAME [:generic]: sets `trouble` to what went wrong, or to nothing
run_test() {
        trouble=
        [ -z "$2" ] || profile "${2#:}"
        echo '^$' >/root/expected
        # Tests stop instances more often than 16 times in 10 s, systemd's limit for StopWhenUnneeded=.
        expect 'acceptd-reap@.*not stopping since we tried this too often recently'
        # not a cursor: with a match, journalctl of systemd 252 leaves out the first entry after it
        since=@$EPOCHREALTIME
        # not in a condition, where -e would not hold
        (
                set -eux
                systemctl enable --now acceptd@echo.socket
                "$1"
        )
        [ $? = 0 ] || trouble="a command failed, the last of these:"

        # disabled, the socket is unloaded, and with it goes what it counted for its trigger limit
        systemctl disable acceptd@echo.socket
        systemctl stop 'acceptd@*.socket' 'acceptd@*.service'
        systemctl reset-failed "${units[@]}"
        rm -rf /etc/acceptd/echo.conf.d /run/systemd/system/acceptd@echo.{service,socket}.d
        systemctl daemon-reload

        eventually 5 not processes || trouble="${trouble:-processes are left:
$(processes)}"
        eventually 15 not test -e /run/acceptd/echo/io.acceptd.Pool ||
                trouble="${trouble:-the control socket is left}"
        eventually 5 not_in_control_group || trouble="${trouble:-in the control group is left:
$(in_control_group | xargs ps)}"
        [ -z "$(unexpected)" ] || trouble="${trouble:-the journal says:
$(unexpected)}"
}
