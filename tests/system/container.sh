# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154
#
# Trees of a Debian release, the package built in one and installed in another one, which is booted
# in a container. Before: $release, and $dir, where the tree `machine` is, and the log. The trees
# stay for the next run; that of the compiler is the same for all.

builder=$PWD/build/system/$release/builder

skip() {
        echo "1..0 # SKIP Debian $release in a container: $*"
        exit 0
}

fail() {
        printf '1..1\nnot ok 1 - %s\n' "$1"
        tail -n 100 "$2" | sed 's/^/# /'
        exit 1
}

# Makes the tree $1 unless there is one for the same recipe $2. The rest goes to mmdebstrap.
make_tree() {
        local tree=$1 recipe=$2
        shift 2
        [ "$(cat "$tree.recipe" 2>/dev/null)" = "$recipe" ] && return
        rm -rf "$tree.recipe"
        # again, for the case that a mirror has a bad moment
        for _ in 1 2 3; do
                rm -rf "$tree"
                mmdebstrap --quiet --format=directory --variant=minbase \
                        --aptopt='Acquire::Retries "5"' "$@" "$release" "$tree" \
                        >"$dir/log" 2>&1 && echo "$recipe" >"$tree.recipe" && return
                sleep 5
        done
        return 1
}

# What runs at a time has control groups of its own, from a service manager or from `boot`.
apart() {
        [ -d /run/systemd/system ] || [ -w /sys/fs/cgroup/cgroup.procs ] ||
                [ -w /sys/fs/cgroup/systemd/cgroup.procs ]
}

# boot SECONDS [NUMBER]: the tree machine$NUMBER; what stands in its /root/main runs as a service,
# and its output, which is this function's too, ends the container.
boot() {
        local tree=$dir/machine${2-} name=acceptd-test-$$${2:+-$2} group groups=()
        rm -rf "$tree/root/out" "$tree"/var/log/journal/*
        # Without a service manager on this side there is nobody to give it control groups of its own:
        # two at a time would get into each other's way.
        [ -d /run/systemd/system ] ||
                for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
                        [ ! -w $group/cgroup.procs ] || groups+=("$group/$name")
                done
        (
                for group in "${groups[@]}"; do
                        mkdir -p "$group" && echo "$BASHPID" >"$group/cgroup.procs"
                done
                # version 2, as on machines of today, whatever this side has
                UNIFIED_CGROUP_HIERARCHY=1 timeout -k 5 "$1" systemd-nspawn --quiet --directory="$tree" --boot \
                        --machine="$name" --bind="$dir/results:/root/results" \
                        --private-network --console=pipe --link-journal=no "${nspawn[@]}" \
                        </dev/null >"$dir/log${2-}" 2>&1
        )
        for group in "${groups[@]}"; do
                find "$group" -depth -type d -exec rmdir {} \;
        done 2>/dev/null
        cat "$tree/root/out" 2>/dev/null
}

# make_machine PACKAGES: a new one, of a tree with these, that runs its /root/main
make_machine() {
        make_tree "$dir/base" "$1" --include="$1" ||
                skip "mmdebstrap failed: $(tail -n 1 "$dir/log")"

        rm -rf "$dir"/machine* "$dir/results"
        mkdir "$dir/results"
        cp -a "$dir/base" "$dir/machine"
        cat >"$dir/machine/etc/systemd/system/tests.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/bin/bash /root/main >/root/out 2>/root/err'
ExecStopPost=/usr/bin/systemctl exit 0
UNIT
        ln -s ../tests.service "$dir/machine/etc/systemd/system/multi-user.target.wants/"

        # A container in a container may boot, and have no loopback interface.
        echo '[ -n "$(ip link show lo up)" ] && echo loopback || echo booted' \
                >"$dir/machine/root/main"
        case $(boot 60) in
        loopback) ;;
        booted) skip "systemd-nspawn boots it without a loopback interface" ;;
        *) skip "systemd-nspawn cannot boot it: $(tail -n 1 "$dir/log")" ;;
        esac
}

make_builder() {
        # shellcheck disable=SC2016 # the hook's own shell expands it
        make_tree "$builder" "$(cat debian/control)" \
                --customize-hook='mkdir "$1/src"' --customize-hook='copy-in debian /src' \
                --customize-hook='chroot "$1" apt-get build-dep -y --no-install-recommends /src' ||
                fail "a tree with the build dependencies" "$dir/log"
}

# install_package TARGET...: makes these, too, and installs the package in the machine
install_package() {
        rm -rf "$builder/src"
        mkdir "$builder/src"
        tar -cf - --exclude=./build --exclude=./.git . |
                tar -xf - -C "$builder/src" --no-same-owner
        # The package's own tests are those that ran before. Once more, with this release's compiler
        # and libraries: DEB_BUILD_OPTIONS= tests/system/run RELEASE
        systemd-nspawn --quiet --directory="$builder" --private-network --console=pipe \
                "${nspawn[@]}" --setenv=DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-nocheck}" \
                --chdir=/src make deb "$@" </dev/null >"$dir/log" 2>&1 || fail "make deb" "$dir/log"
        cp "$builder"/src/build/acceptd_*.deb "$dir/machine/root/acceptd.deb"
        systemd-nspawn --quiet --directory="$dir/machine" --private-network --console=pipe \
                "${nspawn[@]}" apt-get install -y /root/acceptd.deb </dev/null >"$dir/log" 2>&1 ||
                fail "apt-get install" "$dir/log"
}

[ "$(id -u)" = 0 ] || skip "needs root"
for tool in mmdebstrap systemd-nspawn; do
        command -v $tool >/dev/null || skip "$tool is not installed"
done
# Workers lock themselves in, and nspawn's own filter has none of these.
nspawn=(--system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self")
# Without a service manager on this side there is nobody to register the container with.
[ -d /run/systemd/system ] || nspawn+=(--register=no --keep-unit)

mkdir -p "$dir" "${builder%/*}"
exec 9>"${builder%/*}/lock"
flock 9
