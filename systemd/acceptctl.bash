# SPDX-License-Identifier: LGPL-2.1-or-later
#
# bash completion for acceptctl(1)

# Asking the instances would take longer than looking for their files. No -W: it would expand what is
# in a name.
_acceptctl_instances() {
        local current=$1 root=$2 word
        for word in "$root"/etc/acceptd/*.conf "$root"/run/acceptd/*/io.acceptd.Pool; do
                [[ -e $word ]] || continue
                word=${word%/io.acceptd.Pool}
                word=${word##*/}
                word=${word%.conf}
                [[ $word == "$current"* && " ${COMPREPLY[*]} " != *" $word "* ]] &&
                        COMPREPLY+=("$word")
        done
}

# The numbers of an instance's workers: only it knows them
_acceptctl_workers() {
        local current=$1 root=$2 instance=$3
        mapfile -t COMPREPLY < <(compgen -W "$(
                ${COMP_WORDS[0]} ${root:+"--root=$root"} --json=short status "$instance" 2>/dev/null |
                        grep -o '"number":[0-9]*' | tr -dc '0-9\n'
        )" -- "$current")
}

_acceptctl_options() {
        local ALL='--help --version --json= --no-pager --no-legend --plain --root='
        case $1 in
        status) echo "$ALL --lines= --worker= --listener=" ;;
        connections) echo "$ALL --worker= --listener=" ;;
        wait) echo "$ALL --ready --idle --no-old --generation= --timeout=" ;;
        reload) echo "$ALL --cancel" ;;
        top) echo "$ALL --interval= --iterations= --sort=" ;;
        metrics) echo "$ALL --http --openmetrics" ;;
        *) echo "$ALL" ;;
        esac
}

_acceptctl() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
        local command='' names=() word i root=''
        local COMMANDS='list status connections sources settings is-ready wait reload drain pause resume monitor top metrics'
        COMPREPLY=()

        # `--root=DIR` is three words where = breaks words
        for ((i = 1; i < COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                case $word in
                --root)
                        [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                        ((i++))
                        root=${COMP_WORDS[i]}
                        ;;
                --*) [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i += 2)) ;;
                -* | =) ;;
                *) if [[ $command ]]; then names+=("$word"); else command=$word; fi ;;
                esac
        done
        [[ $previous == '=' ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
        [[ $current == '=' ]] && current=

        case $previous in
        --root)
                mapfile -t COMPREPLY < <(compgen -d -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        --json)
                mapfile -t COMPREPLY < <(compgen -W 'pretty short off' -- "$current")
                return
                ;;
        --worker)
                [[ ${names[0]} ]] && _acceptctl_workers "$current" "$root" "${names[0]}"
                return
                ;;
        esac

        if [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_acceptctl_options "$command")" -- "$current")
                [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        elif [[ -z $command ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$COMMANDS" -- "$current")
        elif [[ $command == drain && ${#names[@]} == 1 ]]; then
                _acceptctl_workers "$current" "$root" "${names[0]}"
        elif [[ $command != drain || ${#names[@]} == 0 ]]; then
                _acceptctl_instances "$current" "$root"
        fi
}

complete -F _acceptctl acceptctl
