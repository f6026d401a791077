//! How often somebody may ask: token buckets.
//!
//! A bucket lives in the memory of one instance of the gateway (a core of the native server, an isolate of a Worker), so that asking it
//! costs nothing; a deployment of n instances lets through up to n times the rate. What must not be exceeded at any price is a quota,
//! which the store keeps.
//!
//! Whoever proved who they are is charged afterwards ([`Limits::charge`]), and is looked at before ([`Limits::ask`]): so nobody can use
//! up another's rate by pretending to be them. Whoever proves nothing is known by their network address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderValue, Response, header};
use schemas::ids::Timestamp;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// An agent calls a tool, gets a prompt, reads a resource.
    Call,
    /// An agent lists what there is.
    List,
    /// A person manages.
    Manage,
    /// Somebody tried to prove who they are, and failed: at sign-in, or with a credential that is not good.
    SignIn,
    /// A client asks for tokens.
    Token,
    /// A client registers itself.
    Register,
}

impl Class {
    const ALL: [Self; 6] = [Self::Call, Self::List, Self::Manage, Self::SignIn, Self::Token, Self::Register];

    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::List => "list",
            Self::Manage => "manage",
            Self::SignIn => "sign-in",
            Self::Token => "token",
            Self::Register => "register",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// All of an organisation, by its name or id. Together they may do ten times what one may.
    Org(String),
    /// One agent or person, by whatever tells them apart.
    One(String),
    /// One network address; of IPv6, the network of 64 bits that one subscriber has.
    Peer(IpAddr),
}

impl Who {
    /// Whoever is at that address.
    pub(crate) fn peer(address: IpAddr) -> Self {
        Self::Peer(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            },
        })
    }

    fn share(&self) -> f64 {
        if matches!(self, Self::Org(_)) { 10.0 } else { 1.0 }
    }
}

/// How much one caller (for sign-in, token and register: one network address) may ask for in a minute. A tenth of that, and at least 20,
/// may come at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates([Option<u32>; 6]);

impl Default for Rates {
    /// `call=12000 list=12000 manage=6000 sign-in=60 token=600 register=30`.
    fn default() -> Self {
        Self([Some(12_000), Some(12_000), Some(6_000), Some(60), Some(600), Some(30)])
    }
}

impl std::str::FromStr for Rates {
    type Err = String;

    /// Reads `call=12000 manage=off`, with spaces or commas between; the rest stays as it is by default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rates = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let wrong = || {
                format!(
                    "`{word}` is no rate: write `call=12000`, a number a minute or `off`, of {}",
                    Class::ALL.map(Class::as_str).join(", ")
                )
            };
            let (class, rate) = word.split_once('=').ok_or_else(wrong)?;
            let known = Class::ALL.iter().position(|known| known.as_str() == class).ok_or_else(wrong)?;
            let rate = match rate {
                "off" => None,
                rate => Some(rate.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)?),
            };
            *rates.0.get_mut(known).ok_or_else(wrong)? = rate;
        }
        Ok(rates)
    }
}

impl Rates {
    fn of(&self, class: Class) -> Option<f64> {
        self.0.get(class as usize).copied().flatten().map(f64::from)
    }
}

/// Somebody asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that was too often: try again in {seconds} s")]
pub(crate) struct TooOften {
    /// When it is worth another try.
    pub(crate) seconds: u32,
}

impl TooOften {
    /// Says when in the answer (RFC 9110 §10.2.3).
    pub(crate) fn mark<B>(self, response: &mut Response<B>) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.seconds));
    }
}

/// Buckets at most: about 2 MiB.
const MOST: usize = 16_384;

/// A bucket: what was in it, and when that was. It may be in debt, by whatever was under way when it ran dry.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// The buckets of one instance.
#[derive(Debug)]
pub(crate) struct Limits {
    rates: Rates,
    buckets: RefCell<HashMap<(Class, Who), Bucket>>,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self { rates, buckets: RefCell::default() }
    }

    /// Whether they may ask; nothing is taken.
    ///
    /// # Errors
    /// They asked too often of late.
    pub(crate) fn ask(&self, now: Timestamp, class: Class, who: &Who) -> Result<(), TooOften> {
        let Some(rate) = self.rate(class, who) else { return Ok(()) };
        let buckets = self.buckets.borrow();
        let Some(bucket) = buckets.get(&(class, who.clone())) else { return Ok(()) };
        let tokens = rate.level(bucket, now);
        if tokens >= 1.0 {
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits: whole seconds from 1 to 3600"
        )]
        let seconds = ((1.0 - tokens) / rate.a_second).ceil().clamp(1.0, 3600.0) as u32;
        Err(TooOften { seconds })
    }

    /// Takes one, whether or not there is one.
    pub(crate) fn charge(&self, now: Timestamp, class: Class, who: Who) {
        let Some(rate) = self.rate(class, &who) else { return };
        let mut buckets = self.buckets.borrow_mut();
        if buckets.len() >= MOST {
            self.forget(&mut buckets, now);
        }
        let bucket = buckets.entry((class, who)).or_insert(Bucket { tokens: rate.burst, at: now });
        *bucket = Bucket { tokens: rate.level(bucket, now) - 1.0, at: now };
    }

    /// Takes one, if they may ask.
    ///
    /// # Errors
    /// They asked too often of late.
    pub(crate) fn admit(&self, now: Timestamp, class: Class, who: Who) -> Result<(), TooOften> {
        self.ask(now, class, &who)?;
        self.charge(now, class, who);
        Ok(())
    }

    /// Full buckets are as good as none. If the others are too many, the emptier half stays.
    fn forget(&self, buckets: &mut HashMap<(Class, Who), Bucket>, now: Timestamp) {
        let fill = |(class, who): &(Class, Who), bucket: &Bucket| {
            self.rate(*class, who).map_or(1.0, |rate| rate.level(bucket, now) / rate.burst)
        };
        buckets.retain(|key, bucket| fill(key, bucket) < 1.0);
        if buckets.len() >= MOST {
            buckets.retain(|key, bucket| fill(key, bucket) < 0.5);
        }
        if buckets.len() >= MOST {
            buckets.clear();
        }
    }

    fn rate(&self, class: Class, who: &Who) -> Option<Rate> {
        let a_minute = self.rates.of(class)?;
        let burst = (a_minute / 10.0).max(20.0);
        Some(Rate { a_second: a_minute / 60.0 * who.share(), burst: burst * who.share() })
    }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    a_second: f64,
    burst: f64,
}

impl Rate {
    fn level(self, bucket: &Bucket, now: Timestamp) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since a bucket was used are few")]
        let seconds = now.0.saturating_sub(bucket.at.0).max(0) as f64 / 1000.0;
        seconds.mul_add(self.a_second, bucket.tokens).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Who {
        Who::One(name.to_owned())
    }

    #[test]
    fn a_burst_then_a_rate_and_others_are_not_touched() {
        let limits = Limits::new("call=60".parse().unwrap());
        let at = Timestamp(1_000_000);
        for _ in 0..20 {
            limits.admit(at, Class::Call, one("a")).unwrap();
        }
        assert_eq!(limits.admit(at, Class::Call, one("a")), Err(TooOften { seconds: 1 }));
        limits.admit(at, Class::Call, one("b")).unwrap();
        limits.admit(at, Class::List, one("a")).unwrap();
        limits.admit(at.plus(1000), Class::Call, one("a")).unwrap();
        assert!(limits.admit(at.plus(1000), Class::Call, one("a")).is_err());
        // A clock that goes back gives nothing and takes nothing.
        assert!(limits.admit(at, Class::Call, one("a")).is_err());
    }

    #[test]
    fn what_was_under_way_is_paid_back() {
        let limits = Limits::new("call=60".parse().unwrap());
        let at = Timestamp(0);
        for _ in 0..25 {
            limits.charge(at, Class::Call, one("a"));
        }
        assert_eq!(limits.ask(at, Class::Call, &one("a")), Err(TooOften { seconds: 6 }));
        assert!(limits.ask(at.plus(6000), Class::Call, &one("a")).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits::new(Rates::default());
        for number in 0..100_000_u32 {
            let peer = Who::peer(IpAddr::V4(number.into()));
            let _ = limits.admit(Timestamp(0), Class::Register, peer);
        }
        assert!(limits.buckets.borrow().len() <= MOST);
    }

    #[test]
    fn addresses_and_words() {
        let peer = |text: &str| Who::peer(text.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_eq!("call=off, list=7".parse::<Rates>().unwrap().0[..2], [None, Some(7)]);
        for wrong in ["call", "call=", "call=0", "call=-1", "calls=1"] {
            assert!(wrong.parse::<Rates>().unwrap_err().contains("sign-in"), "{wrong}");
        }
    }
}
