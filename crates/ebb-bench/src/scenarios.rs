//! The figures, one function each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ebb_sandbox::{FaultPlan, Sandbox, SandboxConfig};

use crate::machine::{Usage, ebb, measure, median, say, server_cpu};
use crate::workload::{Project, change_sqlite, seed_postgres, seed_sqlite, select, write_project};

/// What to measure, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) figures: Vec<String>,
    pub(crate) rows: u64,
    pub(crate) sent_rows: u64,
    pub(crate) runs: usize,
}

type Figure = fn(&Settings) -> anyhow::Result<()>;

/// Measures the figures asked for, each on its own.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let all: [(&str, Figure); 8] = [
        ("p1", p1),
        ("p3", p3),
        ("p5", p5),
        ("p7", p7),
        ("p9", p9),
        ("p13", p13),
        ("p14", |_| crate::templates::p14()),
        ("p16", p16),
    ];
    for name in &settings.figures {
        if !all.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
            bail!("there is no figure `{name}`; there are {}", known.join(", "));
        }
    }
    for (name, figure) in all {
        if settings.figures.is_empty() || settings.figures.iter().any(|wanted| wanted == name) {
            figure(settings).with_context(|| name.to_uppercase())?;
        }
    }
    Ok(())
}

fn repeated(runs: usize, mut once: impl FnMut() -> anyhow::Result<Usage>) -> anyhow::Result<Usage> {
    once()?;
    let runs = (0..runs.max(1)).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(median(runs))
}

fn ebb_command(root: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(ebb()?);
    command.arg("--project").arg(root).args(arguments);
    Ok(command)
}

fn show(label: &str, usage: &Usage) {
    let server = if usage.server_cpu > 0.0 { format!(", server {:.2} s", usage.server_cpu) } else { String::new() };
    say(&format!(
        "  {label:<34} cpu {:.2} s{server}, wall {:.2} s, peak {:.0} MiB",
        usage.cpu, usage.wall, usage.peak_mib
    ));
}

/// A Postgres server to measure against: its URL and data directory.
fn postgres() -> anyhow::Result<(String, PathBuf)> {
    #[expect(clippy::disallowed_methods, reason = "the runner says where the server is")]
    let url =
        std::env::var("EBB_TEST_POSTGRES_URL").context("EBB_TEST_POSTGRES_URL is not set: run through `just bench`")?;
    let output = Command::new("psql").args([&url, "-Atqc", "show data_directory"]).output()?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((url, PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())))
}

fn psql(url: &str, sql: &str) -> anyhow::Result<()> {
    let output = Command::new("psql").args([url, "-v", "ON_ERROR_STOP=1", "-qc", sql]).output()?;
    if output.status.success() { Ok(()) } else { bail!("psql: {}", String::from_utf8_lossy(&output.stderr)) }
}

/// Nothing changed, on Postgres: engine and server CPU against `psql COPY BINARY`.
fn p1(settings: &Settings) -> anyhow::Result<()> {
    let (url, data) = postgres()?;
    for statement in seed_postgres(settings.rows).split_inclusive(';') {
        if statement.trim().len() > 1 {
            psql(&url, statement)?;
        }
    }
    let folder = tempfile::tempdir()?;
    let project =
        Project { source: "postgres", url: &url, vitally: "http://127.0.0.1:9", per_minute: 1000, concurrency: 64 };
    write_project(folder.path(), &project)?;
    let adopted = measure(&mut ebb_command(folder.path(), &["adopt", "accounts"])?, &[0])?;
    let watched = |command: &mut Command| -> anyhow::Result<Usage> {
        let before = server_cpu(&data)?;
        let mut usage = measure(command, &[0])?;
        usage.server_cpu = server_cpu(&data)? - before;
        Ok(usage)
    };
    let copy = format!("copy ({}) to stdout (format binary)", select());
    let floor = repeated(settings.runs, || {
        let mut command = Command::new("sh");
        command.args(["-c", "exec psql \"$0\" -c \"$1\" > /dev/null", &url, &copy]);
        watched(&mut command)
    })?;
    let own = repeated(settings.runs, || watched(&mut ebb_command(folder.path(), &["run", "accounts"])?))?;
    say(&format!("P1  nothing changed, Postgres, {} rows", settings.rows));
    show("psql COPY BINARY", &floor);
    show("ebb adopt (first read)", &adopted);
    show("ebb run", &own);
    say(&format!("  P1 = {:.2} (bar 1.8, stretch 1.4)", own.total_cpu() / floor.total_cpu()));
    say(&format!("  P5 on Postgres: {:.0} MiB", own.peak_mib));
    Ok(())
}

/// A project over a fresh SQLite warehouse.
fn sqlite_project(rows: u64, vitally: &str, per_minute: u32) -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("warehouse.db");
    seed_sqlite(&file, rows)?;
    let url = format!("sqlite:{}", file.display());
    let project = Project { source: "sqlite", url: &url, vitally, per_minute, concurrency: 64 };
    write_project(folder.path(), &project)?;
    Ok((folder, file))
}

/// Nothing changed, on SQLite, against a plain read of every column.
fn p3(settings: &Settings) -> anyhow::Result<()> {
    let (folder, file) = sqlite_project(settings.rows, "http://127.0.0.1:9", 1000)?;
    measure(&mut ebb_command(folder.path(), &["adopt", "accounts"])?, &[0])?;
    let floor = repeated(settings.runs, || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("read-sqlite").arg(&file).arg(select());
        measure(&mut command, &[0])
    })?;
    let own = repeated(settings.runs, || measure(&mut ebb_command(folder.path(), &["run", "accounts"])?, &[0]))?;
    say(&format!("P3  nothing changed, SQLite, {} rows", settings.rows));
    show("plain read", &floor);
    show("ebb run", &own);
    say(&format!("  P3 = {:.2} (bar 1.6, stretch 1.2)", own.cpu / floor.cpu));
    Ok(())
}

/// Peak memory with nothing changed (B) and with 1.2% changed (C).
fn p5(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(start(None, None))?;
    let (folder, file) = sqlite_project(settings.rows, &sandbox.rest_url(), 100_000_000)?;
    measure(&mut ebb_command(folder.path(), &["adopt", "accounts"])?, &[0])?;
    let unchanged = measure(&mut ebb_command(folder.path(), &["run", "accounts"])?, &[0])?;
    change_sqlite(&file)?;
    let changed = measure(&mut ebb_command(folder.path(), &["run", "accounts"])?, &[0])?;
    say(&format!("P5  peak memory, SQLite, {} rows", settings.rows));
    show("B, nothing changed", &unchanged);
    show("C, 1.2% changed", &changed);
    say(&format!("  P5 = {:.0} MiB and {:.0} MiB (bar at 1M: 80)", unchanged.peak_mib, changed.peak_mib));
    runtime.block_on(sandbox.stop());
    Ok(())
}

async fn start(per_minute: Option<u32>, faults: Option<&str>) -> anyhow::Result<Sandbox> {
    let faults: FaultPlan = match faults {
        Some(text) => serde_json::from_str(text)?,
        None => FaultPlan::default(),
    };
    let config = SandboxConfig {
        rest_token: crate::workload::REST_TOKEN.to_owned(),
        rest_per_minute: per_minute,
        journal_cap: 0,
        faults,
        ..SandboxConfig::default()
    };
    Ok(Sandbox::start(config).await?)
}

/// First sync: every row is sent; CPU and rate against a bare HTTP client that posts the same bodies.
fn p7(settings: &Settings) -> anyhow::Result<()> {
    let rows = settings.sent_rows;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut bare = Vec::new();
    let mut own = Vec::new();
    for _ in 0..settings.runs.max(1) {
        let sandbox = runtime.block_on(start(None, None))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["post", &format!("{}/resources/accounts", sandbox.rest_url()), &rows.to_string(), "64"]);
        bare.push(measure(&mut command, &[0])?);
        runtime.block_on(sandbox.stop());
        let sandbox = runtime.block_on(start(None, None))?;
        let (folder, _) = sqlite_project(rows, &sandbox.rest_url(), 100_000_000)?;
        own.push(measure(&mut ebb_command(folder.path(), &["run", "accounts"])?, &[0])?);
        runtime.block_on(sandbox.stop());
    }
    let (bare, own) = (median(bare), median(own));
    let rows = f64::from(u32::try_from(rows)?);
    say(&format!("P7  first sync, SQLite, {rows} rows, 64 in flight"));
    show("bare client", &bare);
    show("ebb run", &own);
    say(&format!(
        "  P7 = {:.2} ({:.1} and {:.1} us CPU a row; bar 2.0, stretch 1.5)",
        own.cpu / bare.cpu,
        own.cpu / rows * 1e6,
        bare.cpu / rows * 1e6
    ));
    say(&format!(
        "  P8 = {:.2} ({:.0} and {:.0} rows/s; bar 0.5, stretch 0.7)",
        bare.wall / own.wall,
        rows / own.wall,
        rows / bare.wall
    ));
    Ok(())
}

/// First sync at 50 ms of latency, 64 in flight.
fn p9(settings: &Settings) -> anyhow::Result<()> {
    let rows = settings.sent_rows;
    let runtime = tokio::runtime::Runtime::new()?;
    let delay = r#"[{"match":{},"do":{"delay_ms":50},"forever":true}]"#;
    let sandbox = runtime.block_on(start(None, Some(delay)))?;
    let (folder, _) = sqlite_project(rows, &sandbox.rest_url(), 100_000_000)?;
    let own = measure(&mut ebb_command(folder.path(), &["run", "accounts"])?, &[0])?;
    runtime.block_on(sandbox.stop());
    let rows = f64::from(u32::try_from(rows)?);
    say(&format!("P9  first sync at 50 ms latency, {rows} rows, 64 in flight"));
    show("ebb run", &own);
    say(&format!("  P9 = {:.2} (bar 0.9, stretch 0.94)", rows / own.wall / (64.0 / 0.05)));
    Ok(())
}

/// Two minutes under a limit of 1,000 a minute.
fn p13(_: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sandbox = runtime.block_on(start(Some(1000), None))?;
    let (folder, _) = sqlite_project(5000, &sandbox.rest_url(), 1000)?;
    let mut child = ebb_command(folder.path(), &["run", "accounts"])?
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let requests = || sandbox.state().counts().rest.requests;
    runtime.block_on(async {
        while requests() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_mins(2)).await;
    });
    let made = requests();
    child.kill()?;
    child.wait()?;
    let counts = sandbox.state().counts();
    say("P13 two minutes under a limit of 1,000 a minute");
    say(&format!(
        "  P13 = {:.3} ({made} of 2000 requests), {} answers of 429 (bar 0.98 and 0)",
        f64::from(u32::try_from(made)?) / 2000.0,
        counts.rest.throttled
    ));
    runtime.block_on(sandbox.stop());
    Ok(())
}

/// `ebb plan` of the example project from a cold start.
fn p16(settings: &Settings) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("demo");
    let mut demo = Command::new(ebb()?);
    demo.arg("demo").arg(&root);
    measure(&mut demo, &[0, 3])?;
    let own = repeated(settings.runs.max(5), || measure(&mut ebb_command(&root, &["plan"])?, &[0]))?;
    say("P16 `ebb plan` of the example project");
    show("ebb plan", &own);
    say(&format!("  P16 = {:.0} ms (bar 50, stretch 20)", own.wall * 1000.0));
    Ok(())
}
