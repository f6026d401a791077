//! HTTP out: a pooled client. Bodies stream; dropping one cancels its request.

mod trust;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use gateway::egress::is_public;
use gateway::platform::{PlatformError, Reach};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

/// A client. One per thread, so that a connection never changes cores.
#[derive(Debug, Clone)]
pub struct Fetch {
    anywhere: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Its own pool, so that no connection inside is ever taken for one that leads out.
    public: Client<HttpsConnector<HttpConnector<PublicNames>>, Full<Bytes>>,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            anywhere: client(HttpConnector::new()),
            public: client(HttpConnector::new_with_resolver(PublicNames(GaiResolver::new()))),
        }
    }
}

fn client<R>(mut tcp: HttpConnector<R>) -> Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>
where
    R: Clone + Send + Sync + 'static,
    HttpConnector<R>: Clone,
    HttpsConnector<HttpConnector<R>>: hyper_util::client::legacy::connect::Connect,
{
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(5)));
    tcp.enforce_http(false);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(trust::configuration())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(256)
        .build(https)
}

/// Resolves names to addresses of the public internet, and to no others: what is connected to is what was looked at.
#[derive(Debug, Clone)]
struct PublicNames(GaiResolver);

impl Service<Name> for PublicNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let public: Vec<SocketAddr> = resolving.await?.filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                return Err(std::io::Error::other("it has no address on the public internet"));
            }
            Ok(public.into_iter())
        })
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
        let answered = match request.extensions().get() {
            // An address in the place of a name is resolved by nobody.
            Some(Reach::Public) if request.uri().host().is_some_and(is_address) => {
                let reason = "an address is no name of the public internet".to_owned();
                return Err(PlatformError::Unreachable { address, reason });
            }
            Some(Reach::Public) => self.public.request(request.map(Full::new)).await,
            None => self.anywhere.request(request.map(Full::new)).await,
        };
        match answered {
            Ok(response) => Ok(response.map(Inbound)),
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                Err(PlatformError::Unreachable { address, reason: format!("{error}{cause}") })
            }
        }
    }
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
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
