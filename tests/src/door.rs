//! One way to ask, whatever the gateway runs on: an HTTP request in, an HTTP answer out, its body as it comes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{LocalBoxStream, StreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;

use crate::memory::Memory;

/// The way in.
#[derive(Debug, Clone)]
pub enum Door {
    /// Over a socket.
    Socket {
        /// Not our client: a well-known one.
        client: reqwest::Client,
        /// Scheme, host and port.
        url: String,
    },
    /// A function call.
    Memory(Memory),
}

/// An answer, its body still on its way.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: LocalBoxStream<'static, Bytes>,
    buffered: String,
}

impl Door {
    /// A way in over a socket.
    pub fn socket(url: &str) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_mins(2)).no_proxy().build().unwrap();
        Self::Socket { client, url: url.to_owned() }
    }

    /// Scheme, host and port, as clients know them.
    pub fn url(&self) -> &str {
        match self {
            Self::Socket { url, .. } => url,
            Self::Memory(_) => crate::memory::URL,
        }
    }

    /// Sends a request whose URI is a path.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        match self {
            Self::Socket { client, url } => {
                let (head, body) = request.into_parts();
                let response = client
                    .request(head.method, format!("{url}{}", head.uri))
                    .headers(head.headers)
                    .body(body)
                    .send()
                    .await
                    .expect("the gateway must answer");
                Answer {
                    status: response.status(),
                    headers: response.headers().clone(),
                    body: response.bytes_stream().map(Result::unwrap_or_default).boxed_local(),
                    buffered: String::new(),
                }
            }
            Self::Memory(memory) => {
                // On the heap: the futures of every test that asks hold this one.
                let response = Box::pin(memory.handle(request)).await;
                let (head, body) = response.into_parts();
                let body = http_body_util::BodyStream::new(body)
                    .filter_map(async |frame| frame.ok()?.into_data().ok())
                    .boxed_local();
                Answer { status: head.status, headers: head.headers, body, buffered: String::new() }
            }
        }
    }
}

impl Answer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The whole body.
    pub async fn text(mut self) -> String {
        let mut bytes = std::mem::take(&mut self.buffered).into_bytes();
        while let Some(chunk) = self.body.next().await {
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).expect("answers are UTF-8")
    }

    /// The whole body, which is JSON.
    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }

    /// The next message of a stream of events; `None` at its end.
    pub async fn next_event(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.buffered.split_once("\n\n") {
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .map(str::trim_start)
                    .collect();
                let event = data.join("\n");
                self.buffered = rest.to_string();
                if event.is_empty() {
                    continue;
                }
                return Some(serde_json::from_str(&event).expect("events are JSON"));
            }
            let chunk = self.body.next().await?;
            self.buffered.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Every message: the one of a JSON body, or those of a stream.
    pub async fn messages(mut self) -> Vec<Value> {
        if !self.header("content-type").starts_with("text/event-stream") {
            return vec![self.json().await];
        }
        let mut messages = Vec::new();
        while let Some(message) = self.next_event().await {
            messages.push(message);
        }
        messages
    }

    /// The final message.
    pub async fn last(self) -> Value {
        self.messages().await.pop().expect("there is an answer")
    }
}
