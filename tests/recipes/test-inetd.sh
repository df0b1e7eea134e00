# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016 # clients are commands for another shell
#
# "PROGRAMS FOR INETD" of acceptd-recipes(7).

# commit REPOSITORY N: with as many files
commit() {
        local i
        for ((i = 0; i < $2; i++)); do
                head -c 3000 /dev/urandom | base64 >"$1/file-$i"
        done
        git -C "$1" add .
        git -C "$1" -c user.name=test -c user.email=test@example.org commit -q -m "$2 files"
}

# A repository that all may read, whatever the umask here
repository() {
        rm -rf /srv/git /root/project
        git init -q /root/project
        commit /root/project 20
        commit /root/project 20
        mkdir -p /srv/git
        git clone -q --bare /root/project /srv/git/project.git
}

clone='git clone -q git://127.0.0.1/project.git /root/clones/$$ && git -C /root/clones/$$ fsck --strict &&
        rm -rf /root/clones/$$'

test_from_nothing() {
        recipe 'From nothing'
        many_clients '[ "$(echo hello $1 | socat -t 10 - TCP:127.0.0.1:7007)" = "hello $1" ]'
        counts_are_clean cat
        recipe_commands 'From nothing' 'To be rid of it'
        not systemctl is-active acceptd@cat.socket
        not test -e /etc/acceptd/cat.conf
}

test_git_daemon() {
        repository
        recipe 'git daemon'
        mkdir -p /root/clones
        many_clients "$clone"
        during_load 8 "$clone" reloads git 5
        counts_are_clean git
}

test_tang() {
        recipe tang
        many_clients 'curl -fsS http://127.0.0.1/adv | grep -q payload'
        during_load 8 'curl -fsS http://127.0.0.1/adv | grep -q payload' reloads tang 5
        clients 20 5 '[ "$(echo secret $1 | clevis encrypt tang "{\"url\": \"http://127.0.0.1\"}" -y |
                clevis decrypt)" = "secret $1" ]'
        counts_are_clean tang
}

test_rsync_daemon() {
        mkdir -p /srv/rsync/deep/er
        head -c 300000 /dev/urandom >/srv/rsync/large
        cp /etc/*.conf /srv/rsync/deep/er
        (cd /srv/rsync && find . -type f -exec sha256sum {} +) >/root/sums
        recipe 'rsync daemon'
        mkdir -p /root/copies
        copy='rsync -a rsync://127.0.0.1/srv/ /root/copies/$$ && cd /root/copies/$$ &&
                sha256sum --quiet --check /root/sums && cd / && rm -rf /root/copies/$$'
        many_clients "$copy"
        during_load 8 "$copy" reloads rsync 5
        counts_are_clean rsync
}

test_micro_httpd() {
        mkdir -p /srv/www
        head -c 30000 /dev/urandom | base64 >/srv/www/index.html
        recipe micro-httpd
        get='curl -fsS http://127.0.0.1:8000/ | cmp - /srv/www/index.html'
        many_clients "$get"
        during_load 8 "$get" reloads www 5
        counts_are_clean www
}
