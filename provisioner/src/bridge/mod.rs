//! Serves whatever runs in a container, stdio or HTTP, of any era, as a stateless MCP 2026-07-28 server.
//!
//! Reading order: [`envelope`] (what is parsed), [`lines`], [`link`] (one pipe, many calls), [`era`] and [`translate`]
//! (old and new), [`listeners`], [`exchange`] (the response), [`stdio`] and [`http`] (the two kinds of server).

mod ask;
pub(crate) mod envelope;
pub(crate) mod era;
pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod link;
pub(crate) mod listeners;
pub(crate) mod logs;
mod pushed;
pub(crate) mod stdio;
mod target;
pub(crate) mod translate;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;

use crate::bridge::envelope::Posted;
use crate::bridge::era::Greeting;
use crate::bridge::exchange::{Busy, accepted};
use crate::bridge::http::HttpServer;
use crate::bridge::link::End;
use crate::bridge::stdio::StdioServer;
use crate::credential::Given;
use crate::error::Error;
use crate::secrets::Secrets;

/// A server that is up and has greeted us.
#[derive(Debug)]
pub(crate) enum Server {
    Stdio(StdioServer),
    Http(Box<HttpServer>),
}

impl Server {
    pub(crate) fn greeting(&self) -> &Greeting {
        match self {
            Self::Stdio(server) => server.known(),
            Self::Http(server) => server.known(),
        }
    }

    /// How it ended, as far as its connection shows.
    pub(crate) fn ended(&self) -> Option<End> {
        match self {
            Self::Stdio(server) => server.ended(),
            Self::Http(server) => server.ended(),
        }
    }

    /// Ends what is under way, because the container is about to go.
    pub(crate) fn close(&self) {
        match self {
            Self::Stdio(server) => server.close(),
            Self::Http(server) => server.close(),
        }
    }

    /// Answers what the gateway sent.
    pub(crate) async fn answer(&self, body: Bytes, call: Call<'_>) -> Result<Response<Body>, Error> {
        let Posted::Request(mut request) = Posted::parse(&body)? else { return Ok(accepted()) };
        for (key, value) in call.given.map(Given::meta).unwrap_or_default() {
            request.meta.set(key, value.expose().to_owned());
        }
        match self {
            Self::Stdio(server) => server.answer(request, call).await,
            Self::Http(server) => server.answer(request, &body, call).await,
        }
    }
}

/// What a request comes with.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The gateway's headers.
    pub(crate) headers: &'a HeaderMap,
    /// How long it may take.
    pub(crate) limit: Duration,
    pub(crate) busy: Busy,
    /// On whose account it is made.
    pub(crate) given: Option<&'a Given>,
}

impl Call<'_> {
    /// What must not come back to the caller.
    pub(crate) fn secrets(&self) -> Secrets {
        self.given.map(|given| given.secrets().clone()).unwrap_or_default()
    }
}
