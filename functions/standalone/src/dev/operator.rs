//! The operator of the demo, who uses the same API as any other.

use bytes::Bytes;
use gateway::platform::Platform as _;
use gateway::secret::Secret;
use gateway::{Body, Gateway};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use standalone::platform::{Native, Secrets};

use crate::operate::Failure;

pub(super) struct Operator<'a> {
    gateway: &'a Gateway,
    platform: &'a Native,
    key: Secret,
}

impl<'a> Operator<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        platform: &'a Native,
        secrets: &Secrets,
    ) -> Result<Self, Failure> {
        let key = secrets.get("AMBIT_OPERATOR_KEY").cloned().ok_or("the operator's key is missing")?;
        Ok(Self { gateway, platform, key })
    }

    /// Asks the API below `/api/v1/orgs/demo`. `None` stands for 404.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Option<Value>, Failure> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1/orgs/demo{path}"))
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .body(body)?;
        let response: http::Response<Body<_>> = self.gateway.handle(self.platform, request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            StatusCode::OK => Ok(Some(value)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let mut told =
                    value.get("title").and_then(Value::as_str).unwrap_or("the API failed").to_owned();
                for error in value
                    .get("errors")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    told.push('\n');
                    told.push_str(error);
                }
                Err(told.into())
            }
        }
    }

    /// Changes something that is there.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, body).await?.ok_or_else(|| format!("`{path}` is not there").into())
    }

    pub(super) async fn sleep(&self, milliseconds: u64) {
        self.platform.sleep(std::time::Duration::from_millis(milliseconds)).await;
    }
}
