//! JSON-RPC errors with the codes and HTTP statuses of MCP 2026-07-28 (basic/transports, "error codes").

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;

use crate::body::Body;
use crate::error::Fault;
use crate::json;
use crate::protocol::Era;

/// -32700: no JSON, or keys that come twice.
pub(crate) const PARSE: i32 = -32700;
/// -32600: JSON, but no request.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// -32601: no such method.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// -32602: no such tool, or parameters that make no sense.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// -32603: somebody behind the caller failed.
pub(crate) const INTERNAL: i32 = -32603;
/// -32020: a header says something else than the body.
pub(crate) const HEADER_MISMATCH: i32 = -32020;
/// -32022: a revision we do not serve.
pub(crate) const UNSUPPORTED_VERSION: i32 = -32022;
/// -32042: the caller must open a URL first (2025-11-25 only).
pub(crate) const URL_ELICITATION_REQUIRED: i32 = -32042;

/// An error as JSON-RPC says it. The message is safe for the caller.
#[derive(Debug, Clone)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<serde_json::Value>,
    /// The HTTP status, where the code alone does not say it.
    pub(crate) status: Option<StatusCode>,
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status: None }
    }

    pub(crate) fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = Some(data);
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The error a fault becomes.
    pub(crate) fn of(fault: Fault, message: impl Into<String>) -> Self {
        match fault {
            Fault::Caller | Fault::Denied => Self::new(INVALID_PARAMS, message),
            Fault::Unproven => Self::new(INVALID_REQUEST, message).with_status(StatusCode::UNAUTHORIZED),
            Fault::Upstream | Fault::Provisioner => Self::new(INTERNAL, message).with_status(StatusCode::OK),
            Fault::Platform => Self::new(INTERNAL, message).with_status(StatusCode::SERVICE_UNAVAILABLE),
            Fault::Ours => Self::new(INTERNAL, message).with_status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The HTTP status. A legacy client reads errors in a 200; a modern one expects the status of the code.
    fn status(&self, era: Option<Era>) -> StatusCode {
        if let Some(status) = self.status {
            return status;
        }
        match (era, self.code) {
            (Some(Era::Legacy(_)), METHOD_NOT_FOUND | INVALID_PARAMS) => StatusCode::OK,
            (_, METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            (
                _,
                PARSE | INVALID_REQUEST | INVALID_PARAMS | HEADER_MISMATCH | -32021 | UNSUPPORTED_VERSION,
            ) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }

    /// The message, alone.
    pub(crate) fn to_json(&self, id: Option<&RawValue>) -> String {
        let mut out = String::from(r#"{"jsonrpc":"2.0","#);
        if let Some(id) = id {
            out.push_str("\"id\":");
            out.push_str(id.get());
            out.push(',');
        }
        out.push_str("\"error\":{\"code\":");
        out.push_str(&self.code.to_string());
        out.push_str(",\"message\":");
        json::push_text(&mut out, &self.message);
        if let Some(data) = &self.data {
            out.push_str(",\"data\":");
            out.push_str(&data.to_string());
        }
        out.push_str("}}");
        out
    }

    /// The whole HTTP answer.
    pub(crate) fn answer<S>(&self, era: Option<Era>, id: Option<&RawValue>) -> http::Response<Body<S>> {
        answer(self.status(era), self.to_json(id))
    }
}

/// A JSON answer.
pub(crate) fn answer<S>(status: StatusCode, body: String) -> http::Response<Body<S>> {
    let mut response = http::Response::new(Body::Whole(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
