//! The envelope: one sealed value under one key of an organisation. Pure; no database, no clock, no randomness of its own.
//!
//! ```text
//! 0x01 | algorithm | key version u32 | wrap nonce 24 | wrapped data key 48 | nonce 12 | ciphertext, tag 16      (base64url)
//! ```
//!
//! Every value has a data key of its own, drawn when it is sealed and used for nothing else: so its nonce can't meet another's under the
//! same key, and a copy of one data key opens one value. The data key is wrapped with XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03), whose 24 bytes of random nonce are safe for as many values as an organisation can have; the value is
//! sealed with ChaCha20-Poly1305 (RFC 8439) rather than AES-GCM: in wasm there is no AES instruction, and AES that does not leak by its
//! timing is several times slower there.
//!
//! Both seals authenticate the place, the format and the algorithm; the wrapping also the key's version. The value's own seal does not, so
//! that re-wrapping touches 72 bytes and never needs the value. It loses nothing: the data key comes out of its wrapping only under
//! the version that the header names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::place::{Place, length_prefixed};

const FORMAT: u8 = 1;
/// ChaCha20-Poly1305, the data key wrapped with XChaCha20-Poly1305. The only one so far.
const ALGORITHM: u8 = 1;
const WRAP_NONCE: usize = 24;
const WRAPPED: usize = 48;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Format, algorithm, and version of the key.
const HEADER: usize = 6;

/// A key of an organisation, unwrapped.
pub struct TenantKey {
    version: u32,
    key: Zeroizing<[u8; 32]>,
}

impl TenantKey {
    /// The key and which one it is.
    pub fn new(version: u32, key: Zeroizing<[u8; 32]>) -> Self {
        Self { version, key }
    }

    /// Which one it is.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl std::fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantKey(version {}, ..)", self.version)
    }
}

/// Why a sealed value did not open. There is nothing more to tell: it was changed, moved or put back, or sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value is not what was sealed for this place")]
pub struct Unopened;

/// Seals a value for a place. `random` fills a buffer with cryptographically secure random bytes.
///
/// # Errors
/// The value is longer than the cipher takes (256 GiB).
pub fn seal(
    key: &TenantKey,
    place: &Place<'_>,
    random: impl Fn(&mut [u8]),
    plain: &[u8],
) -> Result<String, Unopened> {
    let mut data_key = Zeroizing::new([0; 32]);
    let mut nonce = [0; NONCE];
    random(data_key.as_mut_slice());
    random(&mut nonce);
    let payload = Payload { msg: plain, aad: &bound(Seal::Value, place) };
    let sealed = ChaCha20Poly1305::new(&Key::from(*data_key))
        .encrypt(&Nonce::from(nonce), payload)
        .map_err(|_| Unopened)?;
    Ok(join(&wrap(key, place, random, &data_key)?, &nonce, &sealed))
}

/// Opens a value in its place.
///
/// # Errors
/// It is not what was sealed for that place under that key.
pub fn open(key: &TenantKey, place: &Place<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
    let parts = Parts::of(&bytes)?;
    let data_key = unwrap(key, place, &parts)?;
    let payload = Payload { msg: parts.sealed, aad: &bound(Seal::Value, place) };
    let plain = ChaCha20Poly1305::new(&Key::from(*data_key))
        .decrypt(&Nonce::from(parts.nonce), payload)
        .map_err(|_| Unopened)?;
    Ok(Zeroizing::new(plain))
}

/// Wraps the data key of a sealed value under another key. The value itself stays as it is, and sealed.
///
/// # Errors
/// The data key is not wrapped under `old` for that place.
pub fn rewrap(
    old: &TenantKey,
    new: &TenantKey,
    place: &Place<'_>,
    random: impl Fn(&mut [u8]),
    sealed: &str,
) -> Result<String, Unopened> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
    let parts = Parts::of(&bytes)?;
    let data_key = unwrap(old, place, &parts)?;
    Ok(join(&wrap(new, place, random, &data_key)?, &parts.nonce, parts.sealed))
}

/// Which version of the organisation's key a value is sealed under, as it says itself.
///
/// # Errors
/// It is no sealed value.
pub fn key_version(sealed: &str) -> Result<u32, Unopened> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unopened)?;
    Ok(Parts::of(&bytes)?.key_version)
}

/// How every value begins that is sealed under a version: the header, which fills whole letters of base64.
pub(super) fn prefix(key_version: u32) -> String {
    let [a, b, c, d] = key_version.to_be_bytes();
    URL_SAFE_NO_PAD.encode([FORMAT, ALGORITHM, a, b, c, d])
}

/// What comes before the nonce of the value.
struct Wrapping {
    key_version: u32,
    nonce: [u8; WRAP_NONCE],
    wrapped: Vec<u8>,
}

/// The parts of an envelope.
struct Parts<'a> {
    key_version: u32,
    wrap_nonce: [u8; WRAP_NONCE],
    wrapped: [u8; WRAPPED],
    nonce: [u8; NONCE],
    sealed: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Unopened> {
        let ([format, algorithm, version @ ..], rest) =
            bytes.split_first_chunk::<HEADER>().ok_or(Unopened)?;
        if (*format, *algorithm) != (FORMAT, ALGORITHM) {
            return Err(Unopened);
        }
        let (wrap_nonce, rest) = rest.split_first_chunk().ok_or(Unopened)?;
        let (wrapped, rest) = rest.split_first_chunk().ok_or(Unopened)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(Unopened)?;
        if sealed.len() < TAG {
            return Err(Unopened);
        }
        Ok(Self {
            key_version: u32::from_be_bytes(*version),
            wrap_nonce: *wrap_nonce,
            wrapped: *wrapped,
            nonce: *nonce,
            sealed,
        })
    }
}

fn wrap(
    key: &TenantKey,
    place: &Place<'_>,
    random: impl Fn(&mut [u8]),
    data_key: &[u8; 32],
) -> Result<Wrapping, Unopened> {
    let mut nonce = [0; WRAP_NONCE];
    random(&mut nonce);
    let payload = Payload { msg: data_key, aad: &bound(Seal::DataKey(key.version), place) };
    let wrapped = XChaCha20Poly1305::new(&Key::from(*key.key))
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Unopened)?;
    Ok(Wrapping { key_version: key.version, nonce, wrapped })
}

fn unwrap(key: &TenantKey, place: &Place<'_>, parts: &Parts<'_>) -> Result<Zeroizing<[u8; 32]>, Unopened> {
    if parts.key_version != key.version {
        return Err(Unopened);
    }
    let payload = Payload { msg: &parts.wrapped, aad: &bound(Seal::DataKey(key.version), place) };
    let data_key = XChaCha20Poly1305::new(&Key::from(*key.key))
        .decrypt(&XNonce::from(parts.wrap_nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| Unopened)?;
    data_key.as_slice().try_into().map(Zeroizing::new).map_err(|_| Unopened)
}

fn join(wrapping: &Wrapping, nonce: &[u8; NONCE], sealed: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(HEADER + WRAP_NONCE + WRAPPED + NONCE + sealed.len());
    bytes.extend_from_slice(&[FORMAT, ALGORITHM]);
    bytes.extend_from_slice(&wrapping.key_version.to_be_bytes());
    bytes.extend_from_slice(&wrapping.nonce);
    bytes.extend_from_slice(&wrapping.wrapped);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(sealed);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Which of the two seals of an envelope.
#[derive(Clone, Copy)]
enum Seal {
    Value,
    DataKey(u32),
}

/// What a seal authenticates beside what it seals.
fn bound(seal: Seal, place: &Place<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    length_prefixed(
        &mut bytes,
        match seal {
            Seal::Value => b"ambit/v1/vault/value",
            Seal::DataKey(_) => b"ambit/v1/vault/data-key",
        },
    );
    bytes.extend_from_slice(&[FORMAT, ALGORITHM]);
    if let Seal::DataKey(version) = seal {
        bytes.extend_from_slice(&version.to_be_bytes());
    }
    length_prefixed(&mut bytes, &place.to_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use schemas::ids::{ConnectionId, OrgId, ProviderId, Timestamp, UserId};

    use super::*;

    /// Not random, and never the same twice.
    fn counter() -> impl Fn(&mut [u8]) {
        let count = Cell::new(0_u64);
        move |buffer| {
            for chunk in buffer.chunks_mut(8) {
                count.set(count.get() + 1);
                chunk.copy_from_slice(&count.get().to_be_bytes()[..chunk.len()]);
            }
        }
    }

    fn key(version: u32) -> TenantKey {
        TenantKey::new(version, Zeroizing::new([u8::try_from(version).unwrap(); 32]))
    }

    struct Ids {
        orgs: [OrgId; 2],
        connections: [ConnectionId; 2],
        owners: [UserId; 2],
        providers: [ProviderId; 2],
    }

    impl Ids {
        fn new() -> Self {
            let of = |number: u8| (Timestamp(1), [number; 10]);
            let [(at, one), (_, two)] = [of(1), of(2)];
            Self {
                orgs: [OrgId::mint(at, one), OrgId::mint(at, two)],
                connections: [ConnectionId::mint(at, one), ConnectionId::mint(at, two)],
                owners: [UserId::mint(at, one), UserId::mint(at, two)],
                providers: [ProviderId::mint(at, one), ProviderId::mint(at, two)],
            }
        }

        /// All places that differ from the first in any part.
        fn places(&self) -> Vec<Place<'_>> {
            let mut places = Vec::new();
            for version in [7, 6, 8] {
                for (org, provider) in
                    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(o, p)| (&self.orgs[o], &self.providers[p]))
                {
                    for (connection, owner) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let (connection, owner) = (&self.connections[connection], &self.owners[owner]);
                        places.push(Place::Credential { org, connection, owner, provider, version });
                    }
                    places.push(Place::ClientSecret { org, provider, version });
                }
            }
            places
        }
    }

    #[test]
    fn opens_in_its_place_and_in_no_other() {
        let ids = Ids::new();
        let places = ids.places();
        for home in &places {
            let sealed = seal(&key(3), home, counter(), b"gho_canary").unwrap();
            for place in &places {
                let opened = open(&key(3), place, &sealed).map(|plain| plain.to_vec());
                let expected = if place == home { Ok(b"gho_canary".to_vec()) } else { Err(Unopened) };
                assert_eq!(opened, expected, "{home:?} in {place:?}");
            }
        }
    }

    #[test]
    fn no_byte_can_be_changed_added_or_taken() {
        let ids = Ids::new();
        let place = ids.places()[0];
        let sealed = seal(&key(3), &place, counter(), b"gho_canary").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        assert_eq!(bytes.len(), 6 + 24 + 48 + 12 + 10 + 16);
        let opens = |bytes: &[u8]| open(&key(3), &place, &URL_SAFE_NO_PAD.encode(bytes)).is_ok();
        assert!(opens(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(!opens(&changed), "bit {bit} of byte {at}");
            }
            assert!(!opens(&bytes[..at]), "{at} bytes");
            assert!(!opens(&bytes[at + 1..]), "without the first {}", at + 1);
        }
        assert!(!opens(&[&bytes[..], &[0]].concat()));
        for text in ["", "=", "not base64!", &format!("{sealed}="), &format!(" {sealed}"), &sealed.repeat(2)]
        {
            assert_eq!(open(&key(3), &place, text).map(|_| ()), Err(Unopened), "{text}");
        }
    }

    #[test]
    fn only_the_same_key_of_the_same_version_opens() {
        let ids = Ids::new();
        let place = ids.places()[0];
        let sealed = seal(&key(3), &place, counter(), b"x").unwrap();
        assert_eq!(key_version(&sealed), Ok(3));
        assert!(sealed.starts_with(&prefix(3)) && !sealed.starts_with(&prefix(4)));
        assert_eq!(prefix(u32::MAX).len(), 8);
        assert!(open(&key(4), &place, &sealed).is_err());
        assert!(open(&TenantKey::new(4, Zeroizing::new([3; 32])), &place, &sealed).is_err());
        assert!(open(&TenantKey::new(3, Zeroizing::new([4; 32])), &place, &sealed).is_err());
    }

    #[test]
    fn rewrapping_changes_only_the_wrapping() {
        let ids = Ids::new();
        let (place, random) = (ids.places()[0], counter());
        let sealed = seal(&key(3), &place, &random, b"gho_canary").unwrap();
        let moved = rewrap(&key(3), &key(4), &place, &random, &sealed).unwrap();
        assert_eq!(open(&key(4), &place, &moved).unwrap().as_slice(), b"gho_canary");
        assert!(open(&key(3), &place, &moved).is_err());
        let [before, after] = [&sealed, &moved].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        assert_eq!(before[78..], after[78..], "nonce and ciphertext stay");
        assert!(rewrap(&key(3), &key(4), &ids.places()[1], &random, &sealed).is_err(), "elsewhere");
        assert!(rewrap(&key(4), &key(5), &place, &random, &sealed).is_err(), "under another key");
        // The wrapping of one value does not open another, not even in the same place.
        let other = seal(&key(4), &place, &random, b"another").unwrap();
        let other = URL_SAFE_NO_PAD.decode(other).unwrap();
        let mixed = [&after[..78], &other[78..]].concat();
        assert_eq!(open(&key(4), &place, &URL_SAFE_NO_PAD.encode(mixed)).map(|_| ()), Err(Unopened));
    }

    #[test]
    fn keys_and_nonces_are_drawn_anew_each_time() {
        let ids = Ids::new();
        let (place, random) = (ids.places()[0], counter());
        let sealed: std::collections::HashSet<_> =
            (0..100).map(|_| seal(&key(1), &place, &random, b"same").unwrap()).collect();
        let part = |range: std::ops::Range<usize>| {
            let parts =
                sealed.iter().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap()[range.clone()].to_vec());
            parts.collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!([part(6..30), part(30..78), part(78..90), part(90..110)], [100; 4]);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", key(3)), "TenantKey(version 3, ..)");
    }
}
