#!/usr/bin/env bash
# Private PostgreSQL and MariaDB servers for the tests.
#
#   tests/servers.sh run -- COMMAND...   start them, run COMMAND with their URLs in the environment, stop them
#   tests/servers.sh env                 the same, but print the URLs as `export` lines and wait until ended
#
# EBB_TEST_POSTGRES_URL and EBB_TEST_MYSQL_URL are what COMMAND gets; one that is already set is used as it is, and
# no server is started for it. The servers listen on 127.0.0.1 at free ports, keep their files in a temporary folder,
# and are stopped and removed at the end, also on Ctrl-C. Nothing of theirs is durable.
#
# When the programs are missing, Debian's packages are installed (as root, or through sudo).
set -euo pipefail

say() { printf 'servers: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

work=
server_pids=()
command_pid=

cleanup() {
    trap - EXIT INT TERM HUP
    if [ -n "$command_pid" ]; then
        kill -TERM "$command_pid" 2>/dev/null || true
        wait "$command_pid" 2>/dev/null || true
    fi
    for pid in "${server_pids[@]}"; do
        # SIGINT is Postgres's fast shutdown; MariaDB takes SIGTERM. Both are gone in well under a second.
        kill -INT "$pid" 2>/dev/null || true
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${server_pids[@]}"; do
        for _ in $(seq 1 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ -n "$work" ]; then rm -rf "$work"; fi
}

# Runs apt-get as root.
apt_get() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "$1: installing needs root, and there is no sudo"
        root=(sudo)
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" >&2
}

install_packages() {
    command -v apt-get >/dev/null || fail "missing: $*; install them, or set EBB_TEST_POSTGRES_URL and EBB_TEST_MYSQL_URL"
    say "installing Debian's packages: $*"
    # A server of the machine's own is not wanted: no cluster is made, and no service is started where policy-rc.d says so.
    apt_get update -qq || say "apt-get update failed; going on with the lists there are"
    apt_get install -y -qq --no-install-recommends "$@" || fail "could not install: $*"
}

# Prints the folder of Postgres's programs, newest version first.
postgres_programs() {
    local folder
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn) \
        "$(pg_config --bindir 2>/dev/null || true)" /usr/local/bin /usr/bin; do
        if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then
            printf '%s\n' "$folder"
            return
        fi
    done
    return 1
}

mariadb_program() {
    local name
    for name in mariadbd mysqld; do
        PATH="$PATH:/usr/sbin:/usr/libexec" command -v "$name" && return
    done
    return 1
}

# A port that nothing listens on now. Another process may take it before the server does; then the start is tried again.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return
        fi
    done
}

# The account that servers run under: Postgres refuses root.
account() {
    local name
    if [ "$(id -u)" -ne 0 ]; then
        id -un
        return
    fi
    for name in "$@" nobody; do
        if id "$name" >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
}

# as ACCOUNT COMMAND...: runs COMMAND as ACCOUNT, in place of this shell's child.
as() {
    local name=$1
    shift
    if [ "$(id -un)" = "$name" ]; then
        exec "$@"
    fi
    exec setpriv --reuid "$name" --regid "$(id -g "$name")" --clear-groups --inh-caps=-all "$@"
}

# wait_until PID CHECK...: until CHECK succeeds; fails when the process ends or 30 seconds pass.
wait_until() {
    local pid=$1
    shift
    for _ in $(seq 1 600); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

start_postgres() {
    local programs owner port data pid attempt
    programs=$(postgres_programs) || { install_packages postgresql; programs=$(postgres_programs) || fail "no postgres after the installation"; }
    owner=$(account postgres)
    data=$work/postgres
    mkdir "$data"
    chown "$owner" "$data"
    printf 'ebb-test' >"$work/postgres.password"
    chmod 644 "$work/postgres.password"
    (as "$owner" "$programs/initdb" --pgdata "$data/db" --username ebb_owner --pwfile "$work/postgres.password" \
        --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --no-sync) >"$work/postgres.log" 2>&1 \
        || { cat "$work/postgres.log" >&2; fail "initdb failed"; }
    for attempt in 1 2 3 4 5; do
        port=$(free_port)
        (as "$owner" "$programs/postgres" -D "$data/db" -h 127.0.0.1 -p "$port" -k "$data" \
            -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 \
            -c shared_buffers=64MB -c autovacuum=off) >>"$work/postgres.log" 2>&1 &
        pid=$!
        server_pids+=("$pid")
        if wait_until "$pid" "$programs/pg_isready" -q -h 127.0.0.1 -p "$port"; then
            export EBB_TEST_POSTGRES_URL="postgres://ebb_owner:ebb-test@127.0.0.1:$port/postgres"
            say "$("$programs/postgres" --version) on 127.0.0.1:$port"
            return
        fi
        kill -KILL "$pid" 2>/dev/null || true
        unset 'server_pids[-1]'
        say "postgres did not start on port $port (attempt $attempt)"
    done
    cat "$work/postgres.log" >&2
    fail "postgres did not start"
}

start_mariadb() {
    local program owner port data pid attempt
    program=$(mariadb_program) && command -v mariadb-install-db >/dev/null || {
        install_packages mariadb-server
        program=$(mariadb_program) || fail "no mariadbd after the installation"
    }
    owner=$(account mysql)
    data=$work/mariadb
    mkdir -p "$data/tmp"
    chown -R "$owner" "$data"
    (as "$owner" mariadb-install-db --no-defaults --datadir="$data/db" --auth-root-authentication-method=normal \
        --skip-test-db --skip-name-resolve --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync) \
        >"$work/mariadb.log" 2>&1 || { cat "$work/mariadb.log" >&2; fail "mariadb-install-db failed"; }
    printf '%s\n' "create user ebb_owner@'127.0.0.1' identified by 'ebb-test';" \
        "grant all on *.* to ebb_owner@'127.0.0.1' with grant option;" >"$work/mariadb.sql"
    chmod 644 "$work/mariadb.sql"
    for attempt in 1 2 3 4 5; do
        port=$(free_port)
        (as "$owner" "$program" --no-defaults --datadir="$data/db" --tmpdir="$data/tmp" --bind-address=127.0.0.1 \
            --port="$port" --socket="$data/socket" --pid-file="$data/pid" --init-file="$work/mariadb.sql" \
            --skip-name-resolve --skip-log-bin --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync \
            --innodb-buffer-pool-size=64M --innodb-log-file-size=32M --max-connections=200 \
            --character-set-server=utf8mb4 --secure-file-priv="$data/tmp") >>"$work/mariadb.log" 2>&1 &
        pid=$!
        server_pids+=("$pid")
        # The port opens only after the init file has run.
        if wait_until "$pid" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"; then
            export EBB_TEST_MYSQL_URL="mysql://ebb_owner:ebb-test@127.0.0.1:$port/mysql"
            say "$("$program" --version 2>/dev/null | head -n 1) on 127.0.0.1:$port"
            return
        fi
        kill -KILL "$pid" 2>/dev/null || true
        unset 'server_pids[-1]'
        # The account exists if the server got as far as its init file.
        : >"$work/mariadb.sql"
        say "mariadbd did not start on port $port (attempt $attempt)"
    done
    cat "$work/mariadb.log" >&2
    fail "mariadbd did not start"
}

start_all() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/ebb-servers.XXXXXX")
    # The servers' accounts must get through, and nobody else needs to list it.
    chmod 711 "$work"
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [ -n "${EBB_TEST_POSTGRES_URL:-}" ]; then say "using EBB_TEST_POSTGRES_URL as it is set"; else start_postgres; fi
    if [ -n "${EBB_TEST_MYSQL_URL:-}" ]; then say "using EBB_TEST_MYSQL_URL as it is set"; else start_mariadb; fi
}

case "${1:-}" in
run)
    shift
    if [ "${1:-}" = -- ]; then shift; fi
    [ $# -gt 0 ] || fail "usage: tests/servers.sh run -- COMMAND..."
    start_all
    # In the background, so that a signal to this script is taken at once.
    "$@" <&0 &
    command_pid=$!
    status=0
    wait "$command_pid" || status=$?
    command_pid=
    exit "$status"
    ;;
env)
    start_all
    printf 'export EBB_TEST_POSTGRES_URL=%q\nexport EBB_TEST_MYSQL_URL=%q\n' "$EBB_TEST_POSTGRES_URL" "$EBB_TEST_MYSQL_URL"
    exec 1>&-
    sleep infinity &
    command_pid=$!
    wait "$command_pid"
    ;;
*)
    fail "usage: tests/servers.sh run -- COMMAND...  |  tests/servers.sh env"
    ;;
esac
