//! HTTP out: a pooled client. Bodies stream; dropping one cancels its request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use gateway::platform::PlatformError;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A client. One per thread, so that a connection never changes cores.
#[derive(Debug, Clone)]
pub struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Default for Fetch {
    fn default() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        tcp.enforce_http(false);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(256)
            .build(https);
        Self { client }
    }
}

impl Fetch {
    /// Sends a request.
    ///
    /// # Errors
    /// Nobody answers there, or what answers does not speak HTTP.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Inbound>, PlatformError> {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let address = format!("{}://{authority}", request.uri().scheme_str().unwrap_or("http"));
        match self.client.request(request.map(Full::new)).await {
            Ok(response) => Ok(response.map(Inbound)),
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                Err(PlatformError::Unreachable { address, reason: format!("{error}{cause}") })
            }
        }
    }
}

/// A body as it comes in.
#[derive(Debug)]
pub struct Inbound(Incoming);

impl Stream for Inbound {
    type Item = Result<Bytes, PlatformError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    Poll::Ready(Some(Err(PlatformError::Broken(error.to_string()))))
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers say nothing to us.
                    Err(_) => continue,
                },
            };
        }
    }
}
