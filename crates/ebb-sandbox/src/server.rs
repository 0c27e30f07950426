//! Listens, and hands each connection to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::config::SandboxConfig;
use crate::connection;
use crate::exchange::Keys;
use crate::inspect::SandboxState;
use crate::limit::Elapsed;
use crate::world::World;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    started: Instant,
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Elapsed {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A running stand-in for Vitally's two APIs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Sandbox {
    /// Listens and begins to answer, on the current tokio runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the address is not a loopback address; otherwise why the address
    /// cannot be listened on.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        if !config.listen.ip().is_loopback() {
            let message = "the sandbox listens on loopback addresses only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let id_seed = config.id_seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let shared = Arc::new(Shared {
            keys: Keys::new(&config.rest_token, &config.analytics_token),
            started: Instant::now(),
            world: Mutex::new(World::new(config, id_seed)),
        });
        let (stop, stopping) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared), stopping));
        Ok(Self { address, shared, stop, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the REST API, without a slash at its end.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL of the Analytics API, without a slash at its end. The same as the REST API's: the two
    /// differ in their paths.
    pub fn analytics_url(&self) -> String {
        self.rest_url()
    }

    /// A look inside, and the controls. Stays usable after a stop.
    pub fn state(&self) -> SandboxState {
        SandboxState::new(Arc::clone(&self.shared))
    }

    /// Stops listening, lets the answers under way finish for up to half a second, and closes all
    /// connections.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(fault) = (&mut self.listening).await {
            tracing::warn!(%fault, "the sandbox did not stop cleanly");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection::serve(Arc::clone(&shared), stream, stop.clone()));
            }
            Err(fault) => {
                // Out of file descriptors, most likely: others must close before the next can come.
                tracing::warn!(%fault, "failed to accept a connection");
                tokio::task::yield_now().await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
