# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016 # clients are commands for another shell
#
# "SERVERS THAT ACCEPT BY THEMSELVES" of acceptd-recipes(7).

# says URL VERSION
says() {
        [ "$(curl -fsS "$1")" = "Hello, version $2" ]
}

# replaced NAME PROGRAM URL: a new version takes the place of the old one, and one that cannot work
# does not
replaced() {
        more_served 10
        sed -i 's/version 1/version 2/' "$2"
        systemctl reload "acceptd@$1.service"
        eventually 20 says "$3" 2
        cp "$2" /root/program
        echo '(' >>"$2"
        expect 'orker [0-9]*|acceptd-listen|Reload|reload'
        not systemctl reload "acceptd@$1.service"
        cp /root/program "$2"
        more_served 10
        says "$3" 2
        # all are of version 2 by now
        sed -i 's/version 2/version 3/' "$2"
        systemctl reload "acceptd@$1.service"
        eventually 20 says "$3" 3
        more_served 10
}

# server SECTION NAME PROGRAM PORT
server() {
        local get='curl -fsS http://127.0.0.1:'$4'/ | grep -q "^Hello, version"'
        recipe "$1"
        many_clients "$get"
        during_load 8 "$get" replaced "$2" "$3" "http://127.0.0.1:$4/"
}

test_gunicorn() {
        server gunicorn wsgi /srv/wsgi/app.py 8001
}

test_node() {
        server Node node /srv/node/server.js 8002
}

test_uvicorn() {
        server uvicorn asgi /srv/asgi/app.py 8003
}

test_php_behind_nginx() {
        recipe 'PHP over FastCGI, behind nginx'
        get='curl -fsS http://127.0.0.1:8004/ | grep -q "^Hello, version"'
        many_clients "$get"
        during_load 8 "$get" reloads php 5
        systemctl stop nginx
}
