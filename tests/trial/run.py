"""The main job on real data, as a user would do it: two warehouses, two projects, one stand-in for Vitally.

Run it with `just trial`. It loads the jaffle shop (made by `jafgen`) into Postgres and TPC-H (made by `tpchgen-cli`)
into MariaDB, syncs both over HTTP to an `ebb sandbox` process, changes some rows, syncs exactly those, and kills a first
run of 100,500 rows in its middle. Every claim is checked against what the stand-in received. What it prints is
`docs/trial.md`.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EBB = ROOT / "target" / "release" / "ebb"
VENV = ROOT / "target" / "trial" / "venv"
SLOTS = 64


def say(text=""):
    print(text, flush=True)


def check(condition, text):
    if not condition:
        sys.exit(f"trial: {text}")


def tools():
    """Installs the two generators into a folder of the build's own."""
    if not (VENV / "bin" / "tpchgen-cli").exists():
        print("trial: installing jafgen and tpchgen-cli from PyPI", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "jafgen==0.4.14", "tpchgen-cli==4.0.0"], check=True)


class Sandbox:
    """A stand-in in a process of its own."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [EBB, "sandbox", "--listen", f"127.0.0.1:{port}", "--rate", "unlimited"],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                self.counts()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("trial: the sandbox does not answer")

    def counts(self):
        with urllib.request.urlopen(f"{self.url}/sandbox/counts") as answer:
            return json.load(answer)

    def requests(self):
        counts = self.counts()
        return counts["rest"]["requests"] + counts["analytics"]["requests"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Project:
    """A copy of a trial project, with its environment."""

    def __init__(self, name, folder, warehouse, sandbox):
        self.root = pathlib.Path(folder) / name
        shutil.copytree(HERE / name, self.root)
        self.environment = dict(
            os.environ,
            WAREHOUSE_URL=warehouse,
            VITALLY_REST_URL=sandbox.url,
            VITALLY_ANALYTICS_URL=sandbox.url,
            VITALLY_REST_TOKEN="sk_live_sandbox",
            VITALLY_ANALYTICS_TOKEN="sandbox-analytics-token",
        )

    def command(self, *arguments):
        return [str(EBB), "--project", str(self.root), *arguments]

    def ebb(self, *arguments, expected=(0,)):
        done = subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True)
        check(done.returncode in expected, f"ebb {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def run(self, *arguments, expected=(0,)):
        started = time.monotonic()
        output = json.loads(self.ebb("run", *arguments, "--output", "json", expected=expected))
        for report in output["runs"]:
            counts = report["counts"]
            fates = [f"{counts[fate]:,} {fate}" for fate in ("unchanged", "accepted", "rejected", "skipped", "pending") if counts[fate]]
            say(f"| {report['sync']} | {report['status']} | {counts['read']:,} | {', '.join(fates)} | {counts['calls']:,} | {counts['duration_ms'] / 1000:.1f} s |")
        return output["runs"], time.monotonic() - started


def header():
    say("| sync | status | rows | fates | calls | time |")
    say("|---|---|---|---|---|---|")


def jaffle(folder, url, sandbox):
    subprocess.run([VENV / "bin" / "jafgen", "1"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    data = pathlib.Path(folder) / "jaffle-data"

    def psql(sql):
        subprocess.run(["psql", url, "-qv", "ON_ERROR_STOP=1", "-c", sql], check=True, stdout=subprocess.DEVNULL)

    psql("""drop table if exists raw_stores, raw_customers, raw_orders;
        create table raw_stores(id uuid primary key, name text, opened_at timestamp, tax_rate numeric);
        create table raw_customers(id uuid primary key, name text);
        create table raw_orders(id uuid primary key, customer uuid, ordered_at timestamp, store_id uuid, subtotal integer,
            tax_paid integer, order_total integer);
        create index on raw_orders(customer)""")
    for table in ("raw_stores", "raw_customers", "raw_orders"):
        psql(f"\\copy {table} from '{data / (table + '.csv')}' csv header")
    project = Project("jaffle", folder, url, sandbox)
    say("## The jaffle shop: Postgres to Vitally\n")
    say("Stores are organizations and accounts, customers are users of the store where they ordered last, orders are events.\n")
    say("First run:\n")
    header()
    first, _ = project.run("organizations", "accounts", "users")
    events, _ = project.run("orders", "--first-run", "send")
    counts = sandbox.counts()
    for name, report in zip(("organizations", "accounts", "users"), first):
        check(counts["records"][name] == report["counts"]["accepted"], f"{name}: the stand-in holds {counts['records'][name]}")
    check(counts["records"]["events"] == events[0]["counts"]["accepted"], "the stand-in holds another number of events")
    say("\nThe same again, with nothing changed:\n")
    header()
    before = sandbox.requests()
    project.run()
    check(sandbox.requests() == before, "a run without changes made calls")
    say("\nThen one store is renamed, one customer too, and 25 orders arrive. The plan, and the run of it:\n")
    psql("update raw_stores set name = name || ' II' where id = (select min(id::text)::uuid from raw_stores)")
    psql("update raw_customers set name = 'Renamed ' || name where id = (select customer from raw_orders order by ordered_at, id limit 1)")
    psql("""insert into raw_orders select gen_random_uuid(), customer, timestamp '2030-01-01' + n * interval '1 minute', store_id, 100, 6, 106
        from (select customer, store_id, row_number() over (order by ordered_at, id) as n from raw_orders) o where n <= 25""")
    plan = json.loads(project.ebb("plan", "--output", "json"))
    planned = sum(sync["counts"]["add"] + sync["counts"]["change"] for sync in plan["syncs"])
    changed_users = next(sync for sync in plan["syncs"] if sync["sync"] == "users")["counts"]
    header()
    reports, _ = project.run()
    accepted = sum(report["counts"]["accepted"] for report in reports)
    check(accepted == planned, f"{planned} operations were planned and {accepted} rows accepted")
    say(f"\nThe plan showed {planned} operations ({changed_users['change']} customers changed, since their new orders count) and the run accepted those {accepted} rows and no other.\n")
    return project


def tpch(folder, url, sandbox):
    data = pathlib.Path(folder) / "tpch-data"
    subprocess.run(
        [VENV / "bin" / "tpchgen-cli", "csv", "-s", "0.67", "--tables=customer,orders,nation,region", f"--output-dir={data}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    parts = urllib.parse.urlsplit(url)
    client = ["mariadb", "--local-infile=1", "-h", parts.hostname, "-P", str(parts.port or 3306), "-u", parts.username]
    if parts.password:
        client.append(f"-p{urllib.parse.unquote(parts.password)}")

    def sql(text, database="tpch"):
        subprocess.run([*client, *([database] if database else []), "-e", text], check=True)

    sql("drop database if exists tpch; create database tpch", database=None)
    sql("""create table region(r_regionkey int primary key, r_name varchar(25), r_comment varchar(152));
        create table nation(n_nationkey int primary key, n_name varchar(25), n_regionkey int, n_comment varchar(152));
        create table customer(c_custkey int primary key, c_name varchar(25), c_address varchar(40), c_nationkey int,
            c_phone char(15), c_acctbal decimal(15,2), c_mktsegment char(10), c_comment varchar(117));
        create table orders(o_orderkey bigint primary key, o_custkey int, o_orderstatus char(1), o_totalprice decimal(15,2),
            o_orderdate date, o_orderpriority char(15), o_clerk char(15), o_shippriority int, o_comment varchar(79))""")
    for table in ("region", "nation", "customer", "orders"):
        sql(f"""load data local infile '{data / (table + '.csv')}' into table {table}
            fields terminated by ',' optionally enclosed by '"' ignore 1 lines""")
    database = urllib.parse.urlunsplit(parts._replace(path="/tpch"))
    project = Project("tpch", folder, database, sandbox)
    say("## TPC-H at scale 0.67: MariaDB to Vitally, with a `kill -9`\n")
    say("Nations are organizations and accounts, customers are users, the orders of the last weeks are events.\n")
    header()
    project.run("organizations", "accounts")
    users_before = sandbox.counts()["records"]["users"]
    rewritten_before = sandbox.counts()["rewritten"]["users"]
    process = subprocess.Popen(
        project.command("run", "users"), env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while sandbox.counts()["records"]["users"] - users_before < 45_000:
        check(process.poll() is None, "the first run ended before it could be killed")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    at_kill = sandbox.counts()["records"]["users"] - users_before
    reports, seconds = project.run("users")
    counts = reports[0]["counts"]
    twice = sandbox.counts()["rewritten"]["users"] - rewritten_before
    held = sandbox.counts()["records"]["users"] - users_before
    check(held == counts["read"], f"the stand-in holds {held} of {counts['read']} users")
    check(twice <= SLOTS, f"{twice} users were sent twice, more than the {SLOTS} slots")
    project.run("orders", "--first-run", "send")
    say(f"\nThe first run of `users` ({counts['read']:,} rows) was killed with SIGKILL when the stand-in held {at_kill:,} of them. "
        f"The next run found {counts['unchanged']:,} accepted, sent {counts['accepted']:,} and ended {reports[0]['status']} in {seconds:.1f} s. "
        f"**{twice} rows were sent twice** (at most {SLOTS}, the writes in flight), none was lost.\n")
    say("Then 1,000 balances change, 50 customers are new and 20 are gone:\n")
    sql("update customer set c_acctbal = c_acctbal + 1 where c_custkey <= 1000")
    sql("insert into customer select c_custkey + 1000000, c_name, c_address, c_nationkey, c_phone, c_acctbal, c_mktsegment, c_comment from customer where c_custkey <= 50")
    sql("delete from customer where c_custkey between 2001 and 2020")
    header()
    reports, _ = project.run("users")
    counts = reports[0]["counts"]
    check((counts["accepted"], counts["removed"]) == (1050, 20), f"the change set became {counts}")
    say("\nExactly the 1,050 changed and new customers were sent; nothing was sent for the 20 that left (`on_removed: ignore`).")


def main():
    check(EBB.exists(), "build first: cargo build --release")
    tools()
    version = subprocess.run([EBB, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    say("# The main job on real data\n")
    say(f"What `just trial` printed ({version}, release build, 2 cores, client, stand-in and databases on one machine, rates unlimited).\n")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox()
        try:
            jaffle(folder, os.environ["EBB_TEST_POSTGRES_URL"], sandbox)
            tpch(folder, os.environ["EBB_TEST_MYSQL_URL"], sandbox)
        finally:
            sandbox.stop()


main()
