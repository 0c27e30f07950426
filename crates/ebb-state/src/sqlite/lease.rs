//! Leases, and the proof that a holder is dead: each open store holds the lock of a file of its own, and the system
//! gives that lock up when the process ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::disk::{private, remove_if_there, storage};
use crate::store::{Acquire, Lease, LeaseTerm, StateError};

/// This open store as a holder of leases.
#[derive(Debug)]
pub(super) struct Holder {
    folder: PathBuf,
    /// The name of its lock file, unique to it.
    pub(super) lock: String,
    /// The locked file; `None` once it is given up.
    file: Mutex<Option<File>>,
    host: String,
    boot: String,
    process: u32,
}

impl Holder {
    /// Makes and locks a file in `folder`, and removes those of dead holders that hold nothing.
    pub(super) fn new(folder: &Path, connection: &Connection) -> Result<Self, StateError> {
        remove_dead(folder, connection)?;
        let lock = format!("{}.lock", Uuid::new_v4().simple());
        // The file gets its name when it is locked, so that no one can lock it first.
        let (temporary, path) = (folder.join(format!("{lock}.tmp")), folder.join(&lock));
        let file =
            private().create_new(true).write(true).open(&temporary).map_err(|error| storage(&temporary, &error))?;
        file.lock().map_err(|error| storage(&temporary, &error))?;
        std::fs::rename(&temporary, &path).map_err(|error| storage(&path, &error))?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let process = std::process::id();
        Ok(Self { folder: folder.to_owned(), lock, file: Mutex::new(Some(file)), host, boot, process })
    }

    /// Gives the lock up and removes its file.
    pub(super) fn give_up(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if file.is_some()
            && let Err(error) = remove_if_there(&self.folder.join(&self.lock))
        {
            tracing::warn!(%error, "the lock file could not be removed");
        }
    }

    fn words(&self) -> String {
        format!("process {} on {}", self.process, self.host)
    }

    /// Returns whether the holder of a lease is provably dead.
    fn is_dead(&self, held: &HeldLease) -> bool {
        held.lock != self.lock
            && held.host == self.host
            && held.boot == self.boot
            && is_free(&self.folder.join(&held.lock))
    }
}

/// Returns whether a lock file is missing or no process holds its lock.
fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn remove_dead(folder: &Path, connection: &Connection) -> Result<(), StateError> {
    let mut statement = connection.prepare("SELECT lock FROM lease WHERE held = 1")?;
    let needed: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let files = std::fs::read_dir(folder).map_err(|error| storage(folder, &error))?;
    for file in files {
        let path = file.map_err(|error| storage(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if is_lock && !needed.iter().any(|lock| *lock == name) && is_free(&path) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// A lease as the table has it.
struct HeldLease {
    epoch: u64,
    held: bool,
    holder: String,
    host: String,
    boot: String,
    lock: String,
    expires_at: i64,
}

fn find(connection: &Connection, scope: &str) -> Result<Option<HeldLease>, StateError> {
    let found = connection
        .prepare_cached("SELECT epoch, held, holder, host, boot, lock, expires_at FROM lease WHERE scope = ?1")?
        .query_row([scope], |row| {
            Ok(HeldLease {
                epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                held: row.get(1)?,
                holder: row.get(2)?,
                host: row.get(3)?,
                boot: row.get(4)?,
                lock: row.get(5)?,
                expires_at: row.get(6)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Returns when a term that starts now ends.
fn expiry(now: DateTime<Utc>, term: LeaseTerm) -> i64 {
    now.timestamp_millis().saturating_add(i64::try_from(term.ttl.as_millis()).unwrap_or(i64::MAX))
}

/// Takes a lease that is free, whose holder is provably dead, or that ran out.
pub(super) fn acquire(
    connection: &Connection,
    holder: &Holder,
    scope: &str,
    now: DateTime<Utc>,
    term: LeaseTerm,
) -> Result<Acquire, StateError> {
    let before = find(connection, scope)?;
    let mut after_expiry = false;
    if let Some(held) = before.as_ref().filter(|lease| lease.held)
        && !holder.is_dead(held)
    {
        let left = held.expires_at.saturating_sub(now.timestamp_millis());
        if left > 0 {
            let expires_in = Duration::from_millis(left.cast_unsigned());
            return Ok(Acquire::Busy { holder: held.holder.clone(), expires_in });
        }
        after_expiry = true;
    }
    let lease = Lease {
        scope: scope.to_owned(),
        epoch: before.map_or(0, |lease| lease.epoch).saturating_add(1),
        holder: holder.words(),
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO lease (scope, epoch, held, holder, host, boot, process, lock, expires_at)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            scope,
            lease.epoch.cast_signed(),
            &lease.holder,
            &holder.host,
            &holder.boot,
            holder.process,
            &holder.lock,
            expiry(now, term),
        ))?;
    Ok(Acquire::Held { lease, after_expiry })
}

/// Puts a lease's expiry off.
pub(super) fn renew(
    connection: &Connection,
    lease: &Lease,
    now: DateTime<Utc>,
    term: LeaseTerm,
) -> Result<(), StateError> {
    let changed = connection
        .prepare_cached(
            "UPDATE lease SET expires_at = max(expires_at, ?3) WHERE scope = ?1 AND epoch = ?2 AND held = 1",
        )?
        .execute((&lease.scope, lease.epoch.cast_signed(), expiry(now, term)))?;
    if changed == 1 { Ok(()) } else { Err(StateError::LeaseLost { scope: lease.scope.clone() }) }
}

/// Gives a lease back; its epoch stays.
pub(super) fn release(connection: &Connection, lease: &Lease) -> Result<(), StateError> {
    connection
        .prepare_cached("UPDATE lease SET held = 0 WHERE scope = ?1 AND epoch = ?2")?
        .execute((&lease.scope, lease.epoch.cast_signed()))?;
    Ok(())
}

/// Returns whether a run's lease is held by someone who may be alive.
pub(super) fn is_alive(
    connection: &Connection,
    holder: &Holder,
    (scope, epoch): (&str, u64),
    now: DateTime<Utc>,
) -> Result<bool, StateError> {
    Ok(find(connection, scope)?.is_some_and(|held| {
        held.held && held.epoch == epoch && held.expires_at > now.timestamp_millis() && !holder.is_dead(&held)
    }))
}
