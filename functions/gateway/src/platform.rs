//! The whole outside world. A host that implements this trait runs Ambit; nothing else is asked of it.
//!
//! Plain `async fn`, static dispatch, no `Send`: an edge isolate is single-threaded, and the native host runs one current-thread
//! runtime per core. Correctness rests on the atomicity of one SQL statement; a batch only saves round trips.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::LocalBoxFuture;
use schemas::ids::Timestamp;

use crate::secret::Secret;

/// What the gateway may ask of its host. Handles are cheap to clone and live as long as the work they are given to.
#[expect(async_fn_in_trait, reason = "the core's futures are not Send, by design: see the module's words")]
pub trait Platform: Clone + 'static {
    /// The body of an HTTP response, as it comes in.
    type Stream: Stream<Item = Result<Bytes, PlatformError>> + Unpin + 'static;

    /// Sends an HTTP request and answers as soon as the response's head is there. Dropping the body cancels the request.
    /// Redirects are never followed.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Self::Stream>, PlatformError>;

    /// Runs statements in order, in one round trip. Either all of a batch's writes took effect or none.
    async fn sql(&self, batch: Batch) -> Result<Vec<Rows>, PlatformError>;

    /// The time. It need not advance while nothing is awaited.
    fn now(&self) -> Timestamp;

    /// Fills the buffer with cryptographically secure random bytes.
    fn fill_random(&self, buffer: &mut [u8]);

    /// A secret of the deployment, such as `AMBIT_ROOT_KEY`.
    fn secret(&self, name: &str) -> Option<Secret>;

    /// Runs work to its end after the answer has left, even if the caller goes away.
    fn later(&self, work: LocalBoxFuture<'static, ()>);

    /// Waits.
    async fn sleep(&self, duration: Duration);

    /// Verifies a signature where the host is faster at it than Rust; `None` where it isn't.
    async fn verify(&self, _check: SignatureCheck<'_>) -> Option<bool> {
        None
    }
}

/// Where a request comes from, among its extensions: the network address of the client, as far as the host knows it for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub std::net::IpAddr);

/// How far a request may go, among its extensions. Without one it goes wherever its address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the public internet only: the host refuses an address that is none of it ([`crate::egress::is_public`]), after resolving
    /// the name, so that no answer of a resolver can lead inside.
    Public,
}

/// Why the outside world failed us.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlatformError {
    /// Nobody answered at that address.
    #[error("`{address}` does not answer: {reason}")]
    Unreachable {
        /// Scheme, host and port; no path, which may hold more than the log should.
        address: String,
        /// The host's own words.
        reason: String,
    },
    /// A body is larger than it may be.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// What it may have.
        limit: usize,
    },
    /// Somebody took too long.
    #[error("it took too long")]
    Late,
    /// A body ended before it was whole.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(String),
}

impl PlatformError {
    /// What a caller may be told: no addresses, and none of the host's own words.
    pub(crate) fn told(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "it can't be reached",
            Self::TooLarge { .. } => "its answer is too large",
            Self::Late => "it took too long",
            Self::Broken(_) => "the connection broke",
            Self::Database(_) => "the database failed",
        }
    }
}

/// A signature to verify.
#[derive(Debug, Clone, Copy)]
pub struct SignatureCheck<'a> {
    /// The JOSE algorithm (RFC 7518 §3.1): `RS256`, `ES256`, `EdDSA`.
    pub algorithm: &'a str,
    /// The public key, as a JWK (RFC 7517) in JSON.
    pub jwk: &'a str,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature, raw (for ES256: 64 bytes r and s).
    pub signature: &'a [u8],
}

/// Statements for one round trip.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What they do.
    pub access: Access,
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// What a batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads; it may be answered by a snapshot.
    Read,
    /// It writes, and is durable when the call returns.
    Write,
    /// It writes, and may become durable up to 100 ms later: the host can put it into the same transaction as others.
    WriteSoon,
}

/// One SQL statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text, with `?1`, `?2` ... for parameters. Only `store` and the migrations hold SQL.
    pub sql: Cow<'static, str>,
    /// Its parameters, in order.
    pub parameters: Vec<Value>,
}

impl Statement {
    /// A statement and its parameters.
    pub fn new(sql: impl Into<Cow<'static, str>>, parameters: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), parameters: parameters.into() }
    }
}

impl Batch {
    /// Reads.
    pub fn read(statements: impl Into<Vec<Statement>>) -> Self {
        Self { access: Access::Read, statements: statements.into() }
    }

    /// Writes, durable on return.
    pub fn write(statements: impl Into<Vec<Statement>>) -> Self {
        Self { access: Access::Write, statements: statements.into() }
    }

    /// Writes, durable soon.
    pub fn write_soon(statements: impl Into<Vec<Statement>>) -> Self {
        Self { access: Access::WriteSoon, statements: statements.into() }
    }
}

/// A value of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows one statement gave.
pub type Rows = Vec<Row>;

/// One row, in the order of the statement's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The text in a column.
    ///
    /// # Errors
    /// There is no such column, or it holds something else.
    pub fn text(&self, column: usize) -> Result<&str, PlatformError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(PlatformError::Database(format!("column {column} holds {other:?}, not text"))),
        }
    }

    /// The text in a column, or nothing.
    ///
    /// # Errors
    /// There is no such column, or it holds a number.
    pub fn maybe_text(&self, column: usize) -> Result<Option<&str>, PlatformError> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// The number in a column.
    ///
    /// # Errors
    /// There is no such column, or it holds something else.
    pub fn integer(&self, column: usize) -> Result<i64, PlatformError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(*number),
            other => Err(PlatformError::Database(format!("column {column} holds {other:?}, not a number"))),
        }
    }

    /// The number in a column, or nothing.
    ///
    /// # Errors
    /// There is no such column, or it holds text.
    pub fn maybe_integer(&self, column: usize) -> Result<Option<i64>, PlatformError> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.integer(column).map(Some),
        }
    }

    /// The column, parsed by the type that owns its form.
    ///
    /// # Errors
    /// There is no such column, or what it holds does not parse.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: usize,
    ) -> Result<T, PlatformError> {
        self.text(column)?.parse().map_err(|error: T::Err| PlatformError::Database(error.to_string()))
    }
}
