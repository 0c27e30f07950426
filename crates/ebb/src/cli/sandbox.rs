//! `ebb sandbox`: a local stand-in for Vitally.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ebb_sandbox::{FaultPlan, Sandbox, SandboxConfig, Switches};
use serde_json::Value;

use super::Context;
use crate::exit::{Exit, Failure};

/// The tokens that the example project has by default.
const REST_TOKEN: &str = "sk_live_sandbox";
/// See [`REST_TOKEN`].
const ANALYTICS_TOKEN: &str = "sandbox-analytics-token";
/// Where the example project expects the stand-in.
pub(crate) const LISTEN: &str = "127.0.0.1:8787";

/// Serves a local stand-in for Vitally's two APIs, until it is stopped. It keeps everything in memory.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// A loopback address; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN)]
    listen: SocketAddr,
    /// Requests a minute of each API, or `unlimited`.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    rate: Rate,
    /// A JSON file with a list of faults to inject (docs/sandbox.md).
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Chooses a behaviour that Vitally does not document, such as `put_links=add`; may be repeated.
    #[arg(long = "switch", value_name = "NAME=VALUE", value_parser = switch)]
    switches: Vec<(String, Value)>,
    /// The REST API's token.
    #[arg(long, value_name = "TOKEN", default_value = REST_TOKEN)]
    rest_token: String,
    /// The Analytics API's token.
    #[arg(long, value_name = "TOKEN", default_value = ANALYTICS_TOKEN)]
    analytics_token: String,
}

/// Requests a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<u32>);

fn rate(text: &str) -> Result<Rate, String> {
    if text == "unlimited" {
        return Ok(Rate(None));
    }
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    number.map(|number| Rate(Some(number))).ok_or_else(|| "it is a number from 1, or `unlimited`".to_owned())
}

fn switch(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "it is like put_links=add".to_owned())?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.trim().to_owned(), value))
}

pub(super) async fn main(context: &Context, args: SandboxArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let switches: serde_json::Map<String, Value> = args.switches.into_iter().collect();
    let switches: Switches = serde_json::from_value(Value::Object(switches))
        .map_err(|error| Failure::usage(format!("`--switch`: {error}")))?;
    let faults = match &args.faults {
        Some(path) => faults(path)?,
        None => FaultPlan::default(),
    };
    let config = SandboxConfig {
        listen: args.listen,
        rest_token: args.rest_token.clone(),
        analytics_token: args.analytics_token.clone(),
        rest_per_minute: args.rate.0,
        analytics_per_minute: args.rate.0,
        switches,
        faults,
        ..SandboxConfig::default()
    };
    let sandbox = start(config).await?;
    let mut out = context.out();
    if is_json {
        out.json(&serde_json::json!({ "rest_url": sandbox.rest_url(), "analytics_url": sandbox.analytics_url() }));
    } else {
        out.line(format_args!("a stand-in for Vitally listens on {}; nothing here is Vitally's", sandbox.rest_url()));
        out.line("");
        out.line(format_args!("  VITALLY_REST_URL={}", sandbox.rest_url()));
        out.line(format_args!("  VITALLY_ANALYTICS_URL={}", sandbox.analytics_url()));
        out.line(format_args!("  VITALLY_REST_TOKEN={}", args.rest_token));
        out.line(format_args!("  VITALLY_ANALYTICS_TOKEN={}", args.analytics_token));
        out.line("");
        out.line("what it holds: its address in a browser. Ctrl-C stops it, and forgets everything");
    }
    out.flush();
    context.stop.wait().await;
    sandbox.stop().await;
    out.finish()?;
    Ok(Exit::Done)
}

/// Starts a stand-in.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn start(config: SandboxConfig) -> Result<Sandbox, Failure> {
    let listen = config.listen;
    Sandbox::start(config)
        .await
        .map_err(|error| Failure::failed(format!("the stand-in cannot listen on {listen}: {error}")))
}

fn faults(path: &PathBuf) -> Result<FaultPlan, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_switches_are_read() {
        assert_eq!(rate("unlimited"), Ok(Rate(None)));
        assert_eq!(rate("60"), Ok(Rate(Some(60))));
        assert!(rate("0").is_err() && rate("-1").is_err() && rate("fast").is_err());
        assert_eq!(switch("put_links=add"), Ok(("put_links".to_owned(), Value::from("add"))));
        assert_eq!(switch("missing_status=400"), Ok(("missing_status".to_owned(), Value::from(400))));
        assert!(switch("put_links").is_err());
    }
}
