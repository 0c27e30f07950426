# What can be done here. `tests/setup.sh just RECIPE` installs what a recipe needs first.

# The recipes.
default:
    @just --list --unsorted

# Installs what the tests and lints need, where it is missing.
setup:
    tests/setup.sh

# Everything a change must pass besides the tests.
check: format lint doc deny

# Formatting.
format:
    cargo fmt --all --check

# Clippy, with warnings as errors.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# The docs of every crate, with broken links as errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

# Licences, sources and bans of the dependencies. `just deny advisories` asks the advisory database, over the network.
deny *checks='licenses bans sources':
    command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
    cargo deny --locked check {{ checks }}

# All tests, against private Postgres and MariaDB servers. Arguments go to nextest: `just test -E 'test(g1_)'`.
test *arguments:
    cargo test --workspace --doc --locked --quiet
    tests/servers.sh run -- cargo nextest run --workspace --locked {{ arguments }}

# The tests of one crate, without servers: `just test-crate ebb-plan`.
test-crate crate *arguments:
    cargo nextest run -p {{ crate }} {{ arguments }}

# The tests again, writing what they saw into the golden files. Read the diff before you commit it.
bless *arguments:
    EBB_BLESS=1 INSTA_UPDATE=always tests/servers.sh run -- cargo nextest run --workspace {{ arguments }}

# One seed of the simulation: `just sim 42`.
sim seed:
    EBB_SIM_SEED={{ seed }} cargo nextest run -p ebb-tests --no-capture -E 'test(simulation)'

# Random templates through ebb and through Ruby's Liquid, compared: `just liquid-diff 100000 7` for more, of another seed.
liquid-diff count='30000' seed='1' *arguments:
    cargo build --locked -p ebb
    python3 tests/liquid-diff/compare.py {{ count }} {{ seed }} --ebb "${CARGO_TARGET_DIR:-target}/debug/ebb" --cache "${CARGO_TARGET_DIR:-target}/liquid-diff" {{ arguments }}

# The example project against the sandbox. Needs no keys and no servers.
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# The numbers of the performance goals, with a private Postgres server: `just bench --help`.
bench *arguments:
    cargo build --release --locked -p ebb -p ebb-bench
    tests/servers.sh run -- target/release/ebb-bench {{ arguments }}

# Fuzzes the templates of a language for some seconds: `just fuzz liquid 600`. New inputs go to fuzz/target/, faults to fuzz/artifacts/.
fuzz language seconds='60':
    command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
    mkdir -p fuzz/target/corpus/{{ language }}
    cargo fuzz run -s none {{ language }} fuzz/target/corpus/{{ language }} fuzz/corpus/{{ language }} -- \
        -dict=fuzz/{{ language }}.dict -max_len=2048 -timeout=10 -max_total_time={{ seconds }}

# The main job on real data: the jaffle shop in Postgres, TPC-H in MariaDB, a kill in the middle. Prints docs/trial.md.
trial:
    cargo build --release --locked
    tests/servers.sh run -- python3 tests/trial/run.py

# What CI runs.
ci:
    .ci/run
