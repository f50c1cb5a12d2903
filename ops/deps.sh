#!/bin/sh
# Installs every Debian package needed to build, run and test Signalbox, and nothing that is there already. Safe to run
# again; quick when all is there. Starts no service: Signalbox runs a PostgreSQL and a Redis of its own. For the tests also
# the npm clients of tests/clients, as their lock file says; when they cannot be had, the tests that need them are skipped.
#
#   ops/deps.sh          install what is missing (needs root; otherwise says what to install and exits 1)
#   ops/deps.sh --run    the same, but only what `make run` needs
#   ops/deps.sh --bench  the same, with the servers that `make bench-stream` measures beside ours
#   ops/deps.sh --list   print the packages
set -eu

# What `make run` needs, and what the tests need besides.
packages_run="
gcc libc6-dev make pkg-config binutils git ca-certificates python3
libevent-dev libzmq3-dev libpq-dev libhiredis-dev libjansson-dev libsodium-dev libssl-dev libconfuse-dev libcurl4-openssl-dev libmsgpack-dev libwslay-dev libseccomp-dev
postgresql-15 postgresql-client-15 redis-server tzdata
"
packages_test="
clang-14 libclang-rt-14-dev clang-format-14 libcmocka-dev
python3-pytest python3-pytest-xdist python3-pytest-timeout python3-httpx python3-h11 python3-psycopg python3-zmq
python3-redis python3-hypothesis python3-jsonschema python3-msgpack json-schema-test-suite python3-yaml python3-cryptography
openssl node-typescript wrk gcovr prometheus python3-websockets python3-wsproto python3-autobahn
"
packages_bench="nginx libnginx-mod-nchan pushpin"
# A Node.js that is there already, whoever installed it, is good enough; the two of Debian do not go with another's.
command -v npm >/dev/null 2>&1 || packages_test="$packages_test nodejs npm"

clients=$(dirname "$0")/../tests/clients
# npm ci installs exactly the lock file; the copy of it says that it was done to the end.
install_clients() {
    command -v npm >/dev/null 2>&1 || return 0
    cmp -s "$clients/package-lock.json" "$clients/node_modules/.installed" && return 0
    echo "Installing: the npm clients of tests/clients" >&2
    if timeout 180 npm ci --prefix "$clients" --ignore-scripts --no-update-notifier --loglevel=error --fetch-retries=1 </dev/null >&2; then
        cp "$clients/package-lock.json" "$clients/node_modules/.installed"
    else
        echo "The npm clients could not be installed: the tests that need them will be skipped." >&2
    fi
}

case "${1:-}" in
--run) packages=$packages_run clients= ;;
--bench) packages="$packages_run $packages_test $packages_bench" clients= ;;
--list) printf '%s\n' $packages_run $packages_test && exit 0 ;;
'') packages="$packages_run $packages_test" ;;
*) echo "ops/deps.sh: unknown argument $1" >&2 && exit 2 ;;
esac

missing=
# One query for all; a package is there when its state is "installed".
there=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $packages 2>/dev/null | sed -n 's/^installed //p' || true)
for package in $packages; do
    printf '%s\n' "$there" | grep -qxF "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
    [ -z "$clients" ] || install_clients
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    echo "Missing packages. As root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# While we install: no service starts (policy-rc.d says 101, "not allowed"), no PostgreSQL cluster is made.
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d/signalbox-deps.conf
kept=
restore() {
    rm -f "$policy" "$clusters"
    [ -z "$kept" ] || mv "$kept" "$policy"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$policy" ]; then
    kept=$policy.before-signalbox
    mv "$policy" "$kept"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"
mkdir -p "${clusters%/*}"
echo 'create_main_cluster = false' >"$clusters"

echo "Installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 $missing
}
{
    install || { apt-get update -q && install; }
} </dev/null >&2

# A service that came with its package shall not start at the next boot either.
for service in redis-server nginx pushpin; do
    case "$missing" in *"$service"*) update-rc.d "$service" disable >/dev/null 2>&1 || true ;; esac
done
[ -z "$clients" ] || install_clients
