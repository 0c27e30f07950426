//! The floors: what the machine must spend on the work whatever the engine.

use std::path::Path;

use anyhow::Context as _;
use futures::StreamExt as _;
use rusqlite::OpenFlags;
use rusqlite::types::ValueRef;

/// Steps through a query and touches every column.
pub(crate) fn read_sqlite(file: &Path, sql: &str) -> anyhow::Result<()> {
    let connection = rusqlite::Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut bytes = 0_usize;
    while let Some(row) = rows.next()? {
        for at in 0..columns {
            bytes += match row.get_ref(at)? {
                ValueRef::Null => 0,
                ValueRef::Integer(_) | ValueRef::Real(_) => 8,
                ValueRef::Text(text) | ValueRef::Blob(text) => text.len(),
            };
        }
    }
    crate::machine::say(&format!("{bytes} bytes"));
    Ok(())
}

/// Posts bodies of about 600 bytes, `in_flight` at a time, and reads the answers.
pub(crate) fn post(url: &str, requests: u64, in_flight: usize) -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().pool_max_idle_per_host(256).tcp_nodelay(true).build()?;
        let mut sent = futures::stream::iter(0..requests)
            .map(|number| {
                let body = crate::workload::bare_body(number);
                let request = client
                    .post(url)
                    .header("content-type", "application/json")
                    .header("authorization", crate::workload::REST_AUTHORIZATION)
                    .body(body);
                tokio::spawn(async move {
                    let response = request.send().await?;
                    let status = response.status();
                    let bytes = response.bytes().await?;
                    anyhow::ensure!(status.is_success(), "HTTP {status}: {}", String::from_utf8_lossy(&bytes));
                    Ok(())
                })
            })
            .buffer_unordered(in_flight);
        while let Some(done) = sent.next().await {
            done.context("a request's task ended")??;
        }
        Ok(())
    })
}
