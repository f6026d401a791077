//! The operator of this deployment, who uses the same API as any other, of one organisation.

use bytes::Bytes;
use gateway::platform::Platform as _;
use gateway::secret::Secret;
use gateway::{Body, Gateway};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use standalone::platform::{Native, Secrets};

use crate::operate::Failure;

pub(crate) struct Operator<'a> {
    gateway: &'a Gateway,
    org: &'a str,
    platform: &'a Native,
    key: Secret,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(
        gateway: &'a Gateway,
        platform: &'a Native,
        secrets: &Secrets,
        org: &'a str,
    ) -> Result<Self, Failure> {
        let key = secrets.get("AMBIT_OPERATOR_KEY").cloned().ok_or("the operator's key is missing")?;
        Ok(Self { gateway, org, platform, key })
    }

    /// Asks the API below the organisation's address. `None` stands for 404.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Option<Value>, Failure> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1/orgs/{}{path}", self.org))
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .body(body)?;
        let response: http::Response<Body<_>> = self.gateway.handle(self.platform, request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            status if status.is_success() => Ok(Some(value)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let mut told =
                    value.get("detail").and_then(Value::as_str).unwrap_or("the API failed").to_owned();
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
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, body).await?.ok_or_else(|| format!("`{path}` is not there").into())
    }

    /// A one-time link that signs the organisation's first owner in, who is made if they are not there.
    pub(crate) async fn owner_link(&self) -> Result<String, Failure> {
        let links = "/users/owner/links";
        let mut link = self.ask(Method::POST, links, &Value::Null).await?;
        if link.is_none() {
            self.put("/users/owner", &json!({ "roles": ["owner"] })).await?;
            link = self.ask(Method::POST, links, &Value::Null).await?;
        }
        let link = link.unwrap_or_default();
        Ok(link.get("url").and_then(Value::as_str).ok_or("no link was made")?.to_owned())
    }

    pub(crate) async fn sleep(&self, milliseconds: u64) {
        self.platform.sleep(std::time::Duration::from_millis(milliseconds)).await;
    }
}
