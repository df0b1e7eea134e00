# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154 # tests/system/lib.sh sets what is not set here
#
# What the recipes' tests share: text of the manual page, clients by the hundred, and the look at what
# came of it.

figure() {
        echo "$*" | tee -a /root/figures
}

# recipe_text SECTION: the literal text of a section of the installed manual page, each line after the
# tag of its item and a tabulator
recipe_text() {
        zcat -f /usr/share/man/man7/acceptd-recipes.7* | awk -v section="$1" '
                /^\.S[hs] / { inside = $0 == ".Ss " section }
                /^\.It / { item = substr($0, 5) }
                /^\.Bd / { literal = inside; next }
                /^\.Ed/ { literal = 0 }
                literal { gsub(/\\e/, "\\"); sub(/^\\&/, ""); print item "\t" $0 }'
}

# recipe_commands SECTION ITEM [SED-SCRIPT]: the item is run as it stands
recipe_commands() {
        local text
        text=$(recipe_text "$1" | sed -n "s/^$2\\t//p" | sed "${3-}")
        [ -n "$text" ]
        timeout 60 bash -eux -c "$text"
}

# recipe_install SECTION [SED-SCRIPT]: writes the files of a recipe, and runs its commands
recipe_install() {
        local item line
        declare -A files=()
        while IFS=$'\t' read -r item line; do
                [[ $item == 'Pa '* ]] || continue
                item=${item#Pa }
                mkdir -p "$(dirname "$item")"
                [ -n "${files[$item]-}" ] || : >"$item"
                files[$item]=1
                printf '%s\n' "$line" >>"$item"
        done < <(recipe_text "$1" | sed "${2-}")
        recipe_commands "$1" 'As root' "${2-}"
}

# recipe SECTION: and tries it
recipe() {
        recipe_install "$1"
        recipe_commands "$1" 'To try it'
}

# clients N AT_A_TIME COMMAND: runs it N times, with $1 a number from 1 on, of which none may fail
clients() {
        local began=${EPOCHREALTIME/[.,]/} failed
        rm -rf /root/clients
        mkdir /root/clients
        echo "$3" >/root/client
        seq "$1" | xargs -n 1 -P "$2" sh -c 'timeout 60 sh /root/client $1 >/root/clients/$1 2>&1 ||
                echo "client $1 failed with $?" >/root/clients/$1.failed' sh
        failed=$(find /root/clients -name '*.failed' | wc -l)
        figure "$1 clients, $2 at a time: $failed failed," \
                "$(((${EPOCHREALTIME/[.,]/} - began) / 1000)) ms"
        [ "$failed" = 0 ] || find /root/clients -name "*.failed" | sed "s/.failed$//" | head | xargs tail -n 5
        [ "$failed" = 0 ]
}

# The bar of each recipe
many_clients() {
        clients 200 1 "$1"
        clients 200 50 "$1"
}

# under_load AT_A_TIME CLIENT COMMAND...: runs COMMAND while clients come without an end. Sets `failed`
# to the number of those that did.
under_load() {
        local load status
        rm -rf /root/loading
        mkdir /root/loading
        touch /root/loading/{on,served,failed}
        echo "$2" >/root/client
        seq "$1" | xargs -n 1 -P "$1" sh -c 'cd /root/loading
                while [ -e on ]; do
                        if timeout 60 sh /root/client $1 >out.$1 2>&1; then
                                echo >>served
                        else
                                { echo "client failed with $?"; cat out.$1; } >>failed
                        fi
                done' sh &
        load=$!
        set +e # not in a condition, where -e would not hold
        (
                set -e
                "${@:3}"
        )
        status=$?
        set -e
        rm /root/loading/on
        wait $load
        failed=$(grep -c '^client failed' /root/loading/failed || true)
        figure "meanwhile ${*:3}: $(served) clients, $1 at a time: $failed failed"
        head -n 40 /root/loading/failed
        return $status
}

# during_load: the same, and none may fail
during_load() {
        under_load "$@"
        [ "$failed" = 0 ]
}

served() {
        wc -l </root/loading/served
}

has_served() {
        [ "$(served)" -ge "$1" ]
}

# more_served N: since now
more_served() {
        eventually 60 has_served $(($(served) + $1))
}

# reloads NAME N: and clients before each and after the last
reloads() {
        local i
        for ((i = 0; i < $2; i++)); do
                more_served 10
                systemctl reload "acceptd@$1.service"
        done
        more_served 10
}

# counts_are_clean NAME: nothing failed, was lost or refused
counts_are_clean() {
        acceptctl status "$1" --json >/root/status
        figure "$(tr -d '\n' </root/status | grep -oE '"accepted": [0-9]+,.*"refused": [0-9]+' | tr -s ' ')"
        grep -q '"failed": 0,' /root/status
        grep -q '"lost": 0,' /root/status
        grep -q '"refused": 0' /root/status
}

# run_recipe NAME: sets `trouble` to what went wrong, or to nothing
run_recipe() {
        trouble=
        echo '^$' >/root/expected
        # shellcheck disable=SC2034 # lib.sh reads it
        since=@$EPOCHREALTIME
        # not in a condition, where -e would not hold
        (
                set -eux
                "$1"
        )
        [ $? = 0 ] || trouble="a command failed, the last of these:"
        systemctl stop 'acceptd@*.socket' 'acceptd@*.service'
        eventually 15 not_in_control_group || trouble="${trouble:-in the control group is left:
$(in_control_group | xargs ps)}"
        [ -z "$(unexpected)" ] || trouble="${trouble:-the journal says:
$(unexpected)}"
}
