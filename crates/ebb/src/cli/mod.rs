//! The command line. Each command has its file: it parses, calls the engine, prints.

mod adopt;
mod check;
mod completions;
mod demo;
mod docs;
mod due;
mod init;
mod logs;
mod man;
mod pause;
mod plan;
mod preview;
mod rejected;
mod reset;
mod resume;
mod retry;
mod run;
mod runs;
mod sandbox;
mod schema;
mod serve;
mod show;
mod template;
pub(crate) mod validate;

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};
use ebb_project::Environment;

use crate::exit::{Exit, Failure};
use crate::logging::{self, LogFormat};
use crate::output::paint::{Color, Paint};
use crate::output::{Format, Notes, Out};
use crate::signals::Stop;

/// Moves rows from a data warehouse into the tools where customer-facing people work.
#[derive(Debug, Parser)]
#[command(name = "ebb", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done · 1 failed · 2 project or command line wrong · 3 done, with rejected or \
    pending rows · 4 refused by a guard or a plan that moved · 130, 143 stopped by a signal")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The project's folder; by default the nearest one upwards that has an `ebb.yaml`.
    #[arg(short = 'C', long = "project", value_name = "DIR", global = true)]
    pub(crate) project: Option<PathBuf>,
    /// The form of results; `markdown` is for `plan`.
    #[arg(long, value_name = "FORM", value_enum, default_value = "text", global = true)]
    pub(crate) output: Format,
    /// Colours: `auto` means on a terminal and without `NO_COLOR`.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", global = true)]
    pub(crate) color: Color,
    /// Says more on stderr; twice and three times for more still.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Says only errors on stderr, and shows no progress.
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub(crate) quiet: bool,
    /// The form of the diagnostics on stderr.
    #[arg(long, value_name = "FORM", value_enum, default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new project.
    Init(init::InitArgs),
    /// Check the project's files; offline unless `--online`.
    Validate(validate::ValidateArgs),
    /// Show rows of a model.
    Preview(preview::PreviewArgs),
    /// Show what a run would change, row by row and field by field; sends nothing.
    Plan(plan::PlanArgs),
    /// Run syncs.
    Run(run::RunArgs),
    /// Run syncs when they are due, until it is stopped.
    Serve(serve::ServeArgs),
    /// Keep a sync from running by itself, until it is resumed.
    Pause(pause::PauseArgs),
    /// Let a paused sync run by itself again.
    Resume(resume::ResumeArgs),
    /// List runs, newest first.
    Runs(runs::RunsArgs),
    /// Show one run.
    Show(show::ShowArgs),
    /// Show the calls of a run, or of all runs of a sync.
    Logs(logs::LogsArgs),
    /// List the rows that a sync could not deliver, with their reasons.
    Rejected(rejected::RejectedArgs),
    /// Try rejected rows again, quarantined and unknown ones too.
    Retry(retry::RetryArgs),
    /// Take a sync's rows as accepted, and send nothing.
    Adopt(adopt::AdoptArgs),
    /// Forget what a sync sent; its next run sends everything.
    Reset(reset::ResetArgs),
    /// Check connections, tokens and columns; writes nothing.
    Check(check::CheckArgs),
    /// Write JSON Schemas for editors.
    Schema(schema::SchemaArgs),
    /// Serve a local stand-in for Vitally.
    Sandbox(sandbox::SandboxArgs),
    /// Make a project with data, and run it against a stand-in.
    Demo(demo::DemoArgs),
    /// Print a shell's completion script.
    Completions(completions::CompletionsArgs),
    /// Write manual pages.
    Man(man::ManArgs),
    /// Work with templates.
    Template(template::TemplateArgs),
    /// Show reference pages, such as the filters of templates.
    Docs(docs::DocsArgs),
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// Options of every command.
    pub(crate) globals: Globals,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// Whether it was asked to stop.
    pub(crate) stop: Stop,
}

impl Context {
    /// Opens stdout.
    pub(crate) fn out(&self) -> Out {
        Out::new(self.paint(stdout().is_terminal()))
    }

    /// Opens stderr.
    pub(crate) fn notes(&self) -> Notes {
        Notes::new(self.paint(stderr().is_terminal()), self.globals.quiet)
    }

    /// Returns whether progress is shown.
    pub(crate) fn shows_progress(&self) -> bool {
        stderr().is_terminal() && !self.globals.quiet && self.globals.verbose == 0
    }

    /// Returns whether results are for machines.
    ///
    /// # Errors
    /// The form is one that the command does not have.
    pub(crate) fn is_json(&self) -> Result<bool, Failure> {
        match self.globals.output {
            Format::Text => Ok(false),
            Format::Json => Ok(true),
            Format::Markdown => Err(Failure::usage("`--output markdown` is for `ebb plan`")),
        }
    }

    fn paint(&self, is_terminal: bool) -> Paint {
        paint(&self.globals, &self.environment, is_terminal)
    }
}

fn paint(globals: &Globals, environment: &Environment, is_terminal: bool) -> Paint {
    let is_unwanted = environment.variables.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    Paint::new(globals.color.is_on(is_terminal && !is_unwanted))
}

/// Parses the command line, runs the command, and returns its exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed stdout is nobody's fault.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Wrong.code()));
        }
    };
    let environment = process_environment();
    let mut notes = Notes::new(paint(&cli.globals, &environment, stderr().is_terminal()), cli.globals.quiet);
    let installed = rustls::crypto::ring::default_provider().install_default();
    debug_assert!(installed.is_ok(), "one provider of TLS is installed, here");
    let traces = logging::start(&cli.globals, &environment.variables);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            notes.failure(&Failure::failed(format!("the process could not start its threads: {error}")));
            return ExitCode::from(Exit::Failed.code());
        }
    };
    let exit = runtime.block_on(async {
        let stop = match Stop::listen() {
            Ok(stop) => stop,
            Err(error) => {
                notes.failure(&Failure::failed(format!("signals cannot be heard: {error}")));
                return Exit::Failed;
            }
        };
        let context = Context { globals: cli.globals, environment, stop: stop.clone() };
        let ended = Box::pin(dispatch(&context, cli.command)).await;
        match ended {
            Ok(exit) => exit,
            Err(failure) => {
                notes.failure(&failure);
                stop.exit().filter(|_| matches!(failure, Failure::Stopped)).unwrap_or(failure.exit())
            }
        }
    });
    // Threads that still wait for a server must not keep the process.
    runtime.shutdown_background();
    traces.finish();
    ExitCode::from(exit.code())
}

/// Commands that run syncs or serve heed a signal themselves; any other ends at once.
async fn dispatch(context: &Context, command: Command) -> Result<Exit, Failure> {
    let heeds_signals = matches!(
        command,
        Command::Run(_)
            | Command::Serve(_)
            | Command::Retry(_)
            | Command::Adopt(_)
            | Command::Demo(_)
            | Command::Sandbox(_)
    );
    let ending = Box::pin(start(context, command));
    if heeds_signals {
        return ending.await;
    }
    tokio::select! {
        ended = ending => ended,
        () = context.stop.wait() => Err(Failure::Stopped),
    }
}

async fn start(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::main(context, &args),
        Command::Validate(args) => validate::main(context, args).await,
        Command::Preview(args) => preview::main(context, args).await,
        Command::Plan(args) => plan::main(context, args).await,
        Command::Run(args) => Box::pin(run::main(context, args)).await,
        Command::Serve(args) => Box::pin(serve::main(context, args)).await,
        Command::Pause(args) => pause::main(context, args).await,
        Command::Resume(args) => resume::main(context, args).await,
        Command::Runs(args) => runs::main(context, args).await,
        Command::Show(args) => show::main(context, args).await,
        Command::Logs(args) => logs::main(context, args).await,
        Command::Rejected(args) => rejected::main(context, args).await,
        Command::Retry(args) => Box::pin(retry::main(context, args)).await,
        Command::Adopt(args) => Box::pin(adopt::main(context, args)).await,
        Command::Reset(args) => reset::main(context, args).await,
        Command::Check(args) => check::main(context, args).await,
        Command::Schema(args) => schema::main(context, &args),
        Command::Sandbox(args) => sandbox::main(context, args).await,
        Command::Demo(args) => Box::pin(demo::main(context, args)).await,
        Command::Completions(args) => completions::main(context, &args),
        Command::Man(args) => man::main(context, &args),
        Command::Template(args) => template::main(context, args),
        Command::Docs(args) => docs::main(context, args),
    }
}

/// Returns the process's environment; names and values that are not UTF-8 cannot be written in a project.
fn process_environment() -> Environment {
    let pairs = std::env::vars_os();
    let variables: BTreeMap<String, String> =
        pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    Environment { variables }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_surface_lists_every_command_and_flag() {
        let surface = include_str!("../../../../docs/surface.md");
        let cli = Cli::command();
        let mut missing = Vec::new();
        let mut commands: Vec<(String, clap::Command)> =
            cli.get_subcommands().map(|command| (command.get_name().to_owned(), command.clone())).collect();
        commands.extend(cli.get_subcommands().flat_map(|outer| {
            outer.get_subcommands().map(|inner| (format!("{} {}", outer.get_name(), inner.get_name()), inner.clone()))
        }));
        for (name, command) in commands {
            if !surface.contains(&format!("`ebb {name}")) {
                missing.push(name.clone());
            }
            for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                if !surface.contains(&format!("--{long}")) {
                    missing.push(format!("{name} --{long}"));
                }
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }
}
