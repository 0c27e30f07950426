//! SIGINT and SIGTERM: the first stops cleanly, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;

/// Tells whether, and by what, the process was asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    receiver: watch::Receiver<bool>,
    code: Arc<AtomicU8>,
}

impl Stop {
    /// Starts to listen. Must be called within a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let code = Arc::new(AtomicU8::new(0));
        let interrupts = signal(SignalKind::interrupt())?;
        let terminations = signal(SignalKind::terminate())?;
        tokio::spawn(watch_signals(sender, Arc::clone(&code), interrupts, terminations));
        Ok(Self { receiver, code })
    }

    /// Returns the flag that runs watch.
    pub(crate) fn flag(&self) -> watch::Receiver<bool> {
        self.receiver.clone()
    }

    /// Returns once the process was asked to stop.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.receiver.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            // The listener is gone: nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the exit code of the signal that came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.code.load(Ordering::Acquire) {
            0 => None,
            143 => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }
}

async fn watch_signals(
    sender: watch::Sender<bool>,
    code: Arc<AtomicU8>,
    mut interrupts: Signal,
    mut terminations: Signal,
) {
    loop {
        let exit = tokio::select! {
            _ = interrupts.recv() => Exit::Interrupted,
            _ = terminations.recv() => Exit::Terminated,
        };
        if code.swap(exit.code(), Ordering::AcqRel) != 0 {
            leave_at_once(exit);
        }
        sender.send_replace(true);
    }
}

#[expect(clippy::exit, reason = "the second signal ends the process; the next run continues from what was confirmed")]
fn leave_at_once(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}
