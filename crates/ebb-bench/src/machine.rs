//! What a process used, by the operating system's own accounting, and where the programs are.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};

/// What one run of a command used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system seconds of the process and its children.
    pub(crate) cpu: f64,
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Peak memory of the largest process, in MiB.
    pub(crate) peak_mib: f64,
    /// CPU seconds of a database server over the same span, where one was watched.
    pub(crate) server_cpu: f64,
}

impl Usage {
    /// Returns the process's and the server's CPU together.
    pub(crate) fn total_cpu(&self) -> f64 {
        self.cpu + self.server_cpu
    }
}

pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

pub(crate) fn say_error(text: &str) {
    drop(writeln!(std::io::stderr(), "error: {text}"));
}

/// Runs a command as the only child of this process and prints what it used.
pub(crate) fn measure_here(command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("a command is missing")?;
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let start = std::time::Instant::now();
    let status = Command::new(program).args(arguments).status().with_context(|| format!("cannot start {program}"))?;
    let wall = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| -> f64 {
        let micros = i32::try_from(time.tv_usec()).unwrap_or_default();
        f64::from(i32::try_from(time.tv_sec()).unwrap_or_default()) + f64::from(micros) / 1e6
    };
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let code = status.code().unwrap_or(-1);
    let line = serde_json::json!({ "cpu": cpu, "wall": wall, "peak_kib": usage.max_rss(), "code": code });
    writeln!(std::io::stderr(), "\n{line}")?;
    Ok(())
}

/// Runs a command in a process of its own and returns what it used; `expected` lists the exit codes that are fine.
pub(crate) fn measure(command: &mut Command, expected: &[i64]) -> anyhow::Result<Usage> {
    let me = std::env::current_exe()?;
    let mut outer = Command::new(me);
    outer.arg("measure").arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    let output = outer.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_default();
    let used: serde_json::Value = serde_json::from_str(line).with_context(|| format!("no usage in: {text}"))?;
    let code = used.get("code").and_then(serde_json::Value::as_i64).unwrap_or(-1);
    if !expected.contains(&code) {
        bail!("{command:?} ended with {code}:\n{}\n{text}", String::from_utf8_lossy(&output.stdout));
    }
    let number = |name: &str| used.get(name).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    Ok(Usage { cpu: number("cpu"), wall: number("wall"), peak_mib: number("peak_kib") / 1024.0, server_cpu: 0.0 })
}

/// Returns the run with the median CPU of several.
pub(crate) fn median(mut runs: Vec<Usage>) -> Usage {
    runs.sort_by(|left, right| left.total_cpu().total_cmp(&right.total_cpu()));
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

/// The `ebb` binary beside this one.
pub(crate) fn ebb() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("ebb");
    if !path.try_exists()? {
        bail!("{} is missing: build it with `cargo build --release -p ebb`", path.display());
    }
    Ok(path)
}

/// CPU seconds that a Postgres server and its children have used so far, those that ended included.
pub(crate) fn server_cpu(data_directory: &Path) -> anyhow::Result<f64> {
    let pid_file = std::fs::read_to_string(data_directory.join("postmaster.pid"))?;
    let postmaster = pid_file.lines().next().context("no process id")?.trim().to_owned();
    let mut ticks = 0_u32;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(&name).join("stat")) else { continue };
        // The command name may hold spaces; fields count from after its closing parenthesis.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        let is_postmaster = name.to_string_lossy() == postmaster;
        if is_postmaster {
            ticks += number(11) + number(12) + number(13) + number(14);
        } else if fields.get(1) == Some(&postmaster.as_str()) {
            ticks += number(11) + number(12);
        }
    }
    Ok(f64::from(ticks) / 100.0)
}
