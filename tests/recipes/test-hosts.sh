# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2016 # clients are commands for another shell
#
# "SEVERAL HOSTS" of acceptd-recipes(7). A host is a network namespace, in which the socket unit of its
# pool listens.

# host NAME ADDRESS: with the recipe for Node, in which the instance has the host's name
host() {
        local text="s/acceptd@node/acceptd@$1/; s,/srv/node,/srv/$1,; s,acceptd/node,acceptd/$1,"
        ip netns add "$1"
        ip link add "to-$1" type veth peer name eth0 netns "$1"
        ip addr add 192.0.2.254 peer "$2" dev "to-$1"
        ip link set "to-$1" up
        ip -n "$1" addr add "$2" peer 192.0.2.254 dev eth0
        ip -n "$1" link set eth0 up
        ip -n "$1" link set lo up
        mkdir -p "/etc/systemd/system/acceptd@$1.socket.d"
        printf '[Socket]\nNetworkNamespacePath=/run/netns/%s\n' "$1" \
                >"/etc/systemd/system/acceptd@$1.socket.d/host.conf"
        recipe_install Node "$text"
        eventually 10 curl -fsS "http://$2:8002/"
}

# Taken out, a restarts with a new program, and both hosts get another package
upgrade_a() {
        more_served 10
        recipe_commands 'HAProxy with TLS' 'To take out host a'
        sed -i 's/version 1/version 2/' /srv/a/server.js
        systemctl restart acceptd@a.service
        more_served 10
        says http://192.0.2.1:8002/ 2
        recipe_commands 'HAProxy with TLS' 'To take it back'
        more_served 10
        dpkg --install /root/acceptd.deb
        more_served 10
        eventually 20 says https://localhost/ 2
}

test_haproxy_in_front_of_two_hosts() {
        host a 192.0.2.1
        host b 192.0.2.2
        recipe 'HAProxy with TLS'
        export CURL_CA_BUNDLE=/etc/haproxy/site.crt
        get='curl -fsS https://localhost/ | grep -q "^Hello, version"'
        many_clients "$get"
        during_load 8 "$get" upgrade_a
        systemctl stop haproxy
}
