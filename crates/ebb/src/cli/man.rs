//! `ebb man`: manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::{Cli, Context};
use crate::exit::{Exit, Failure};
use crate::output::escape;

/// Writes manual pages: `ebb.1`, and one for each command.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder to write them into, such as `/usr/local/share/man/man1`.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn main(context: &Context, args: &ManArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    std::fs::create_dir_all(&args.dir).map_err(|error| Failure::file(&args.dir, error))?;
    let mut command = Cli::command();
    command.build();
    let mut written = Vec::new();
    write(&command, "ebb", args, &mut written)?;
    let mut out = context.out();
    if is_json {
        out.json_document(&serde_json::json!({ "written": written }));
    } else {
        for file in &written {
            out.line(format_args!("wrote {}", escape::terminal(file)));
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// Writes the page of a command and those of its commands.
fn write(command: &clap::Command, name: &str, args: &ManArgs, written: &mut Vec<String>) -> Result<(), Failure> {
    let path = args.dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    let source = concat!("ebb ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone())
        .source(source)
        .render(&mut page)
        .map_err(|error| Failure::file(&path, error))?;
    std::fs::write(&path, page).map_err(|error| Failure::file(&path, error))?;
    written.push(path.display().to_string());
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        write(inner, &format!("{name}-{}", inner.get_name()), args, written)?;
    }
    Ok(())
}
