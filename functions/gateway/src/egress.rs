//! Addresses that somebody else made us ask: of a client's document, of a key set, of an identity provider. They must lead out to the
//! public internet, never in to a neighbour of ours (OWASP, "Server-Side Request Forgery").
//!
//! Two looks: at the address as it is written, here; and at what its name resolves to, by the host, for requests that are marked with
//! [`Reach::Public`]. A Worker can't see addresses: there the flag `global_fetch_strictly_public` does it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use url::{Host, Url};

use crate::body::read_whole;
use crate::platform::{Platform, PlatformError, Reach};
use crate::settings::Settings;

/// Names that mean something to a resolver of the house only (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`).
const HOUSE: [&str; 10] =
    ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "test"];

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is not asked: {why}")]
pub(crate) struct Refused {
    address: String,
    why: &'static str,
}

/// An address that may be asked: https, at the ordinary port, by a name of the public internet. A gateway that is itself on loopback,
/// where somebody tries it out, may ask loopback too.
///
/// # Errors
/// It may not; the text says why.
pub(crate) fn public_url(settings: &Settings, text: &str) -> Result<Url, Refused> {
    let refuse = |why| Refused { address: text.chars().filter(|c| !c.is_control()).take(200).collect(), why };
    let url = Url::parse(text).map_err(|_| refuse("it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user name"));
    }
    if is_loopback(&url) && settings.is_local() && matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(refuse("it must be https"));
    }
    if url.port().is_some() {
        return Err(refuse("it must be at port 443"));
    }
    match url.host() {
        Some(Host::Domain(name)) if is_public_name(name) => Ok(url),
        Some(Host::Domain(_)) => Err(refuse("its name is none of the public internet")),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(refuse("it must have a name, not an IP address")),
        None => Err(refuse("it has no host")),
    }
}

/// How long an answer may take that somebody else made us ask for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks, and reads the whole answer: of so many bytes at most, and soon or not at all.
///
/// # Errors
/// Nobody answers, or too late, or too much.
pub(crate) async fn ask<P: Platform>(
    platform: &P,
    request: http::Request<Bytes>,
    limit: usize,
) -> Result<http::Response<Bytes>, PlatformError> {
    let asking = async {
        let (head, body) = platform.send(request).await?.into_parts();
        Ok(http::Response::from_parts(head, read_whole(platform, body, limit, PATIENCE).await?))
    };
    let deadline = platform.sleep(PATIENCE);
    pin_mut!(asking, deadline);
    match select(asking, deadline).await {
        Either::Left((answered, _)) => answered,
        Either::Right(_) => Err(PlatformError::Late),
    }
}

/// A request that the host sends to the public internet only; on a gateway that is being tried out on loopback, anywhere.
pub(crate) fn guarded<B>(settings: &Settings, mut request: http::Request<B>) -> http::Request<B> {
    if !settings.is_local() {
        request.extensions_mut().insert(Reach::Public);
    }
    request
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.contains('.') && !HOUSE.iter().any(|house| name == *house || name.ends_with(&format!(".{house}")))
}

/// Whether an address is one of the public internet (IANA special-purpose registries, RFC 6890): for hosts that resolve names
/// themselves. Addresses that embed another are judged by that one too.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    !(special
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    if let Some(v4) = address.to_ipv4() {
        return is_public_v4(v4);
    }
    let bits = address.to_bits();
    let embedded =
        |shift: u32| Ipv4Addr::from_bits(u32::try_from((bits >> shift) & 0xffff_ffff).unwrap_or(0));
    match (first, second) {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        (0x64, 0xff9b) => is_public_v4(embedded(0)),
        (0x2002, _) => is_public_v4(embedded(80)),
        // Documentation, benchmarking, ORCHID, Teredo.
        (0x2001, 0xdb8 | 2 | 0 | 0x10..=0x3f) | (0x3fff, 0..=0xfff) => false,
        // Everything that is allocated as global unicast.
        (first, _) => (first & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inside_are_not_asked() {
        let settings = Settings::new("https://gw.example").unwrap();
        for good in ["https://idp.example.com/x", "https://login.example.co.uk"] {
            assert!(public_url(&settings, good).is_ok(), "{good}");
        }
        for bad in [
            "http://idp.example.com",
            "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://localhost/",
            "https://localhost./",
            "https://metadata.google.internal/",
            "https://printer.local",
            "https://intranet/",
            "https://idp.example.com:8443/",
            "https://user@idp.example.com/",
            "ftp://idp.example.com/",
            "file:///etc/passwd",
            "https://127.0.0.1/",
            "x",
            "https://a.localhost/",
            "https://router.home.arpa/",
            "https://017700000001/",
        ] {
            assert!(public_url(&settings, bad).is_err(), "{bad}");
        }
        let local = Settings::new("http://127.0.0.1:8787").unwrap();
        assert!(public_url(&local, "http://127.0.0.1:9999/jwks").is_ok(), "somebody tries it out");
        assert!(public_url(&local, "http://10.0.0.1/").is_err());
    }

    #[test]
    fn special_addresses_are_not_public() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for good in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(public(good), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "203.0.113.1",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001:0:1::",
        ] {
            assert!(!public(bad), "{bad}");
        }
    }
}
