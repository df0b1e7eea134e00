# SPDX-License-Identifier: LGPL-2.1-or-later
#
# bash completion for acceptctl(1)

_acceptctl() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
        local command='' word i root='' COMMANDS='list status reload'
        local OPTIONS='--cancel --json --root --help --version'
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
                -* | =) ;;
                *) [[ $command ]] || command=$word ;;
                esac
        done
        [[ $previous == '=' ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
        [[ $current == '=' ]] && current=

        if [[ $previous == --root ]]; then
                mapfile -t COMPREPLY < <(compgen -d -- "$current")
                compopt -o filenames 2>/dev/null
        elif [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$OPTIONS" -- "$current")
        elif [[ -z $command ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$COMMANDS" -- "$current")
        elif [[ $command == status || $command == reload ]]; then
                # Asking the instances would take longer than looking for their files. No -W: it would
                # expand what is in a name.
                for word in "$root"/etc/acceptd/*.conf "$root"/run/acceptd/*/io.acceptd.Pool; do
                        [[ -e $word ]] || continue
                        word=${word%/io.acceptd.Pool}
                        word=${word##*/}
                        word=${word%.conf}
                        [[ $word == "$current"* && " ${COMPREPLY[*]} " != *" $word "* ]] &&
                                COMPREPLY+=("$word")
                done
        fi
}

complete -F _acceptctl acceptctl
