//! `ebb completions`: a shell's completion script.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Context};
use crate::exit::{Exit, Failure};

/// Prints a shell's completion script.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub(super) fn main(context: &Context, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ebb", &mut script);
    let mut out = context.out();
    out.text(&String::from_utf8_lossy(&script));
    out.finish()?;
    Ok(Exit::Done)
}
