//! A running gateway, over its management API.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use standalone::fetch::Fetch;

use crate::operate::Failure;

/// Which gateway, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct At {
    /// The gateway's URL.
    #[arg(long, env = "AMBIT_GATEWAY", default_value = "http://127.0.0.1:8787")]
    pub(crate) gateway: String,
    /// The organisation.
    #[arg(long, env = "AMBIT_ORG")]
    pub(crate) org: String,
    /// A file with your key for the management API; or put the key into `AMBIT_KEY`.
    #[arg(long, env = "AMBIT_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The organisation, over the API.
pub(crate) struct Gateway {
    runtime: tokio::runtime::Runtime,
    fetch: Fetch,
    base: String,
    key: String,
}

impl At {
    pub(crate) fn open(&self) -> Result<Gateway, Failure> {
        let key = match (&self.key_file, std::env::var("AMBIT_KEY")) {
            (Some(path), _) => std::fs::read_to_string(path)
                .map_err(|error| format!("`{}` can't be read: {error}", path.display()))?,
            (None, Ok(key)) => key,
            (None, Err(_)) => {
                return Err(
                    "there is no key: put one into AMBIT_KEY, or name its file with --key-file".into()
                );
            }
        };
        let org = schemas::names::OrgName::parse(&self.org)?;
        Ok(Gateway {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            fetch: Fetch::default(),
            base: format!("{}/api/v1/orgs/{org}", self.gateway.trim_end_matches('/')),
            key: key.trim().to_owned(),
        })
    }
}

impl Gateway {
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, &Value::Null)
    }

    /// Asks for something below the organisation. What went wrong is told in the gateway's words.
    pub(crate) fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let (status, text) = self.runtime.block_on(async {
            let response = self.fetch.send(request).await?;
            let status = response.status();
            let mut body = response.into_body();
            let mut bytes = Vec::new();
            while let Some(chunk) = body.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            Ok::<_, Failure>((status, bytes))
        })?;
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status == StatusCode::OK { Ok(value) } else { Err(told(status, &value).into()) }
    }
}

/// A problem (RFC 9457) as lines.
fn told(status: StatusCode, problem: &Value) -> String {
    let title = problem.get("title").and_then(Value::as_str);
    let mut told = title.map_or_else(|| format!("the gateway answers {status}"), str::to_owned);
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        told.push_str("\n  ");
        told.push_str(&error.as_str().map_or_else(|| error.to_string(), |text| text.replace('\n', "\n  ")));
    }
    told
}
