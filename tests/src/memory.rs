//! The gateway in memory, on a host whose every call can be made to fail, before or after it took effect.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{LocalBoxStream, Stream, StreamExt};
use gateway::platform::{Batch, Platform, PlatformError, Rows};
use gateway::secret::Secret;
use gateway::{Body, Gateway, Settings};
use schemas::ids::Timestamp;
use standalone::database::Session;
use standalone::fetch::Fetch;

/// Where it seems to be.
pub const URL: &str = "http://127.0.0.1:1";

/// When a call of the host fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing happened.
    Before,
    /// It happened, and nobody was told.
    After,
}

/// What a call of the host was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `send`.
    Send,
    /// `sql`.
    Sql,
}

/// Anything that answers HTTP in the place of the network.
pub type Network = Rc<
    dyn Fn(http::Request<Bytes>) -> LocalBoxFuture<'static, Result<http::Response<Inbound>, PlatformError>>,
>;
/// A body from the network.
pub type Inbound = LocalBoxStream<'static, Result<Bytes, PlatformError>>;

/// The host.
#[derive(Clone)]
pub struct MemoryPlatform(Rc<Inner>);

struct Inner {
    database: Session,
    network: Network,
    secrets: HashMap<String, Secret>,
    asked: RefCell<Vec<Asked>>,
    fault: Cell<Option<(usize, Moment)>>,
    /// Milliseconds that the clock is ahead of the machine's.
    ahead: Cell<i64>,
    /// Whether others get their turn before each batch.
    takes_turns: Cell<bool>,
}

impl std::fmt::Debug for MemoryPlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryPlatform(..)")
    }
}

impl MemoryPlatform {
    /// A host with an empty database, these secrets, and this network.
    pub fn new(secrets: HashMap<String, Secret>, network: Network) -> Self {
        Self(Rc::new(Inner {
            database: Session::in_memory().unwrap(),
            network,
            secrets,
            asked: RefCell::default(),
            fault: Cell::new(None),
            ahead: Cell::new(0),
            takes_turns: Cell::new(false),
        }))
    }

    /// Forgets what was asked, and fails the call with that number (from 0) from now on.
    pub fn fail(&self, fault: Option<(usize, Moment)>) {
        self.0.asked.borrow_mut().clear();
        self.0.fault.set(fault);
    }

    /// What was asked since.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.borrow().clone()
    }

    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        self.0.ahead.set(self.0.ahead.get() + i64::try_from(by.as_millis()).unwrap());
    }

    /// Lets other tasks have their turn before each batch of statements from now on, as on a database that is elsewhere.
    pub fn take_turns(&self) {
        self.0.takes_turns.set(true);
    }

    /// Runs statements beside the gateway, for looking.
    pub fn look(&self, batch: &Batch) -> Vec<Rows> {
        self.0.database.run(batch).unwrap()
    }

    fn count(&self, asked: Asked) -> Option<Moment> {
        let number = self.0.asked.borrow().len();
        self.0.asked.borrow_mut().push(asked);
        self.0.fault.get().filter(|(at, _)| *at == number).map(|(_, moment)| moment)
    }
}

/// What a statement counts.
pub fn count(platform: &MemoryPlatform, sql: &'static str) -> i64 {
    platform.look(&Batch::read([gateway::platform::Statement::new(sql, [])]))[0][0].integer(0).unwrap()
}

/// The real network.
pub fn real_network() -> Network {
    let fetch = Fetch::default();
    Rc::new(move |request| {
        let fetch = fetch.clone();
        Box::pin(async move { Ok(fetch.send(request).await?.map(StreamExt::boxed_local)) })
    })
}

impl Platform for MemoryPlatform {
    type Stream = Inbound;

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Inbound>, PlatformError> {
        let lost = || PlatformError::Unreachable {
            address: "http://nowhere".into(),
            reason: "a fault of the test".into(),
        };
        match self.count(Asked::Send) {
            Some(Moment::Before) => Err(lost()),
            Some(Moment::After) => {
                let answered = (self.0.network)(request).await;
                drop(answered);
                Err(lost())
            }
            None => (self.0.network)(request).await,
        }
    }

    async fn sql(&self, batch: Batch) -> Result<Vec<Rows>, PlatformError> {
        let lost = || PlatformError::Database("a fault of the test".into());
        if self.0.takes_turns.get() {
            tokio::task::yield_now().await;
        }
        match self.count(Asked::Sql) {
            Some(Moment::Before) => Err(lost()),
            Some(Moment::After) => {
                self.0.database.run(&batch)?;
                Err(lost())
            }
            None => self.0.database.run(&batch),
        }
    }

    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap() + self.0.ahead.get())
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).unwrap();
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

/// A gateway in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Its host.
    pub platform: MemoryPlatform,
    /// Itself.
    pub gateway: Rc<Gateway>,
}

impl Memory {
    /// Starts one; the current thread must run a `LocalSet`.
    pub async fn start(settings: Settings, platform: MemoryPlatform) -> Self {
        let gateway = Gateway::new(settings, &platform).unwrap();
        gateway.migrate(&platform).await.unwrap();
        Self { platform, gateway: Rc::new(gateway) }
    }

    /// Answers a request.
    pub async fn handle(
        &self,
        request: http::Request<impl gateway::body::Incoming>,
    ) -> http::Response<Body<Inbound>> {
        self.gateway.handle(&self.platform, request).await
    }
}

/// What a network in memory answers with.
pub fn inbound(body: impl Stream<Item = Result<Bytes, PlatformError>> + 'static) -> Inbound {
    body.boxed_local()
}
