//! Diagnostics: to stderr, as text or JSON lines; and traces of runs, to a collector. They hold no cell values and no secrets.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};

use ebb_engine::TRACE;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::cli::Globals;

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The variables by which traces are asked for; the exporter reads them, and the others of OpenTelemetry, by itself.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The traces of runs, on their way to a collector.
#[derive(Debug)]
pub(crate) struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what is left; a collector that does not answer is waited for a few seconds.
    pub(crate) fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces may not have reached the collector");
        }
    }
}

/// Starts the diagnostics, and the traces where a variable of OpenTelemetry says where they go. `EBB_LOG` takes precedence
/// over `-v` and `-q`. Must be called before there is a runtime, and after a provider of TLS was installed.
pub(crate) fn start(globals: &Globals, variables: &BTreeMap<String, String>) -> Traces {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => {
            "warn,ebb=info,ebb_daemon=info,ebb_engine=info,ebb_source=info,ebb_state=info,ebb_sandbox=info,ebb::trace=warn"
        }
        (false, 2) => {
            "info,ebb=debug,ebb_daemon=debug,ebb_engine=debug,ebb_source=debug,ebb_state=debug,ebb_sandbox=debug"
        }
        (false, _) => "trace",
    };
    let wanted = variables.get("EBB_LOG");
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = match globals.log_format {
        LogFormat::Text => lines.with_ansi(globals.color.is_on(stderr().is_terminal())).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let (provider, refused) = match exporter(variables) {
        Ok(provider) => (provider, None),
        Err(error) => (None, Some(error)),
    };
    let traces = provider.as_ref().map(|provider| {
        let only = Targets::new().with_target(TRACE, Level::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("ebb")).with_filter(only)
    });
    let started = tracing_subscriber::registry().with(lines).with(traces).try_init();
    debug_assert!(started.is_ok(), "diagnostics start once");
    if let Some(error) = refused {
        tracing::warn!(%error, "no traces are sent: the settings of OpenTelemetry are wrong");
    }
    Traces(provider)
}

/// Returns what sends traces by OTLP over HTTP, where a variable says to where.
fn exporter(variables: &BTreeMap<String, String>) -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    if ENDPOINTS.iter().all(|name| variables.get(*name).is_none_or(String::is_empty)) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_detectors(&[Box::new(EnvResourceDetector::new())]);
    let resource = match variables.get("OTEL_SERVICE_NAME") {
        Some(name) if !name.is_empty() => resource.with_service_name(name.clone()),
        Some(_) | None => resource.with_service_name("ebb"),
    };
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build()))
}
