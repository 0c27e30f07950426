#!/usr/bin/env bash
# What the tests and lints need, installed where it is missing, and then a command that uses it.
#
#   tests/setup.sh                 set up only
#   tests/setup.sh COMMAND...      set up, then run COMMAND with the tools on its PATH, for instance `just test`
#
# It needs Rust (rustup reads the version from rust-toolchain.toml) and says how to get it. It installs a C compiler
# and git by Debian's apt (as root, or through sudo), `just` from PyPI or else crates.io, and cargo-nextest from
# crates.io; the database servers are tests/servers.sh's to install. What is there already is left alone, so a second
# call does nothing.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Tools that are for this checkout only; `cargo clean` removes them too.
tools=$root/target/tools
export PATH="$tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

has() { command -v "$1" >/dev/null 2>&1; }

# packages NAME...: installs Debian's packages.
packages() {
    local as_root=()
    has apt-get || fail "missing: $*; install them and run this again"
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "installing $* needs root, and there is no sudo"
        as_root=(sudo)
    fi
    say "installing Debian's packages: $*"
    "${as_root[@]}" apt-get update -qq || say "apt-get update failed; going on with the lists there are"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

missing=()
has git || missing+=(git ca-certificates)
has cc || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then packages "${missing[@]}"; fi

has cargo || fail "Rust is missing: install rustup (https://rustup.rs), open a new shell, and run this again"
(cd "$root" && cargo --version >/dev/null) || fail "cargo does not start; rust-toolchain.toml names the version it needs"

if ! has just; then
    if has python3 && python3 -m pip --version >/dev/null 2>&1; then
        say "installing just into target/tools (PyPI: rust-just)"
        PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
            python3 -m pip install --quiet --upgrade --target "$tools" rust-just >&2
    else
        say "installing just into target/tools (crates.io: just); this takes about two minutes"
        cargo install just --locked --quiet --root "$tools" >&2
    fi
fi

if ! has cargo-nextest; then
    say "installing cargo-nextest (crates.io); this takes four to seven minutes on two cores, once"
    cargo install cargo-nextest --locked --quiet >&2
fi

if [ $# -eq 0 ]; then
    say "ready: $(cargo --version), $(just --version), $(cargo nextest --version | head -n 1)"
    exit 0
fi
cd "$root"
exec "$@"
