//! One TCP connection: HTTP/1.1 until the client leaves, the sandbox stops, or a fault ends it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::exchange::exchange;
use crate::server::Shared;

/// How long a stopping sandbox waits for the answers under way.
const GRACE: Duration = Duration::from_millis(500);

/// How a fault ends a connection.
#[derive(Debug)]
pub(crate) enum Ending {
    /// TCP reset, nothing sent.
    Reset,
    /// These bytes, then a close.
    Cut(Bytes),
}

/// By which a request under way ends its connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    ending: Mutex<Option<Ending>>,
    ended: Notify,
}

impl Line {
    /// Ends the connection. Never returns: the request is dropped with the connection.
    pub(crate) async fn end<T>(&self, ending: Ending) -> Result<T, Infallible> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        self.ended.notify_one();
        std::future::pending().await
    }

    fn take(&self) -> Option<Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, mut stop: watch::Receiver<bool>) {
    if let Err(fault) = stream.set_nodelay(true) {
        tracing::debug!(%fault, "failed to set TCP_NODELAY");
    }
    let line = Arc::new(Line::default());
    let service = {
        let line = Arc::clone(&line);
        service_fn(move |request| exchange(Arc::clone(&shared), Arc::clone(&line), request))
    };
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let is_ended = tokio::select! {
        served = poll_fn(|context| Pin::new(&mut connection).poll(context)) => {
            if let Err(fault) = served {
                tracing::debug!(%fault, "a connection broke");
            }
            return;
        }
        () = line.ended.notified() => true,
        _ = stop.wait_for(|is_stopping| *is_stopping) => false,
    };
    if !is_ended {
        Pin::new(&mut connection).graceful_shutdown();
        let rest = tokio::time::timeout(GRACE, poll_fn(|context| Pin::new(&mut connection).poll(context)));
        if rest.await.is_err() {
            tracing::debug!("a request was still under way when the sandbox stopped");
        }
        return;
    }
    let stream = connection.into_parts().io.into_inner();
    match line.take() {
        Some(Ending::Cut(bytes)) => cut(stream, &bytes).await,
        Some(Ending::Reset) | None => reset(&stream),
    }
}

/// Makes the close that follows a TCP reset.
fn reset(stream: &TcpStream) {
    if let Err(fault) = stream.set_zero_linger() {
        tracing::debug!(%fault, "failed to reset a connection; closing it");
    }
}

async fn cut(mut stream: TcpStream, bytes: &[u8]) {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await
    };
    if let Err(fault) = sent.await {
        tracing::debug!(%fault, "failed to send half an answer");
    }
}
