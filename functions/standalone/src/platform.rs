//! The gateway's port on this host. One handle per thread.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use gateway::platform::{Access, Batch, Platform, PlatformError, Rows};
use gateway::secret::Secret;
use schemas::ids::Timestamp;

use crate::database::{Database, Session};
use crate::fetch::{Fetch, Inbound};

/// The secrets of a deployment, by name.
pub type Secrets = Arc<HashMap<String, Secret>>;

/// This host, on one thread.
#[derive(Debug, Clone)]
pub struct Native(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    reader: Session,
    fetch: Fetch,
    secrets: Secrets,
}

impl Native {
    /// This host on the current thread, which must run a tokio `LocalSet`.
    ///
    /// # Errors
    /// The database can't be opened for reading.
    pub fn new(database: Database, secrets: Secrets) -> Result<Self, PlatformError> {
        let reader = database.reader()?;
        Ok(Self(Rc::new(Inner { database, reader, fetch: Fetch::default(), secrets })))
    }
}

impl Platform for Native {
    type Stream = Inbound;

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Inbound>, PlatformError> {
        self.0.fetch.send(request).await
    }

    async fn sql(&self, batch: Batch) -> Result<Vec<Rows>, PlatformError> {
        match batch.access {
            // Microseconds against a file that is in memory: a hand-over to another thread would cost more.
            Access::Read => self.0.reader.run(&batch),
            Access::Write | Access::WriteSoon => self.0.database.write(batch).await,
        }
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            // Without randomness nothing here is safe, and there is no way on.
            tracing::error!("the operating system gives no randomness");
            std::process::abort();
        }
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.0.secrets.get(name).cloned()
    }

    fn later(&self, work: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(work);
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
