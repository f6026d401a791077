//! Identifiers we mint: a prefix that names the type, then a ULID (time first, so that rows sort by birth).

use crate::text::text;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant, `milliseconds` later (or earlier, if negative); saturates.
    #[must_use]
    pub fn plus(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// 26 characters of Crockford base32 (lower case): 48 bits of time, then 80 random bits (ULID specification).
pub fn ulid(at: Timestamp, random: [u8; 10]) -> String {
    let time = u128::from(u64::try_from(at.0).unwrap_or(0) & 0xffff_ffff_ffff) << 80;
    let noise = random.iter().fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    let bits = time | noise;
    (0..26_u32)
        .rev()
        .filter_map(|position| {
            let index = usize::try_from((bits >> (position * 5)) & 31).ok()?;
            CROCKFORD.get(index).map(|c| char::from(*c))
        })
        .collect()
}

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|c| CROCKFORD.contains(&c)))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal) => {
        text!(
            $(#[$doc])*
            $name, $what, concat!("`", $prefix, "` and 26 characters of Crockford base32"),
            concat!("^", $prefix, "[0-9a-hjkmnp-tv-z]{26}$"), |text| is_id(text, $prefix)
        );
        impl $name {
            /// Mints an id from the clock and ten random bytes.
            pub fn mint(at: Timestamp, random: [u8; 10]) -> Self {
                Self(format!("{}{}", $prefix, ulid(at, random)).into())
            }
        }
    };
}

id!(/// An organisation.
    OrgId, "organisation id", "org_");
id!(/// A person.
    UserId, "user id", "usr_");
id!(/// An agent.
    AgentId, "agent id", "agt_");
id!(/// An API key (not the key itself).
    ApiKeyId, "API key id", "key_");
id!(/// A team.
    TeamId, "team id", "tem_");
id!(/// A person's account at a provider.
    ConnectionId, "connection id", "con_");
id!(/// A provider of an organisation.
    ProviderId, "provider id", "prv_");
id!(/// A wish to connect an account: the end of a connect URL.
    TicketId, "ticket id", "tkt_");
id!(/// A policy set that waits for a second person.
    ProposalId, "proposal id", "prp_");
id!(/// A toolbox.
    ToolboxId, "toolbox id", "tbx_");
id!(/// An MCP server.
    ServerId, "server id", "srv_");
id!(/// An audit event; the id of an intent is what its outcome refers to.
    EventId, "event id", "evt_");
id!(/// A person's browser that is signed in.
    SessionId, "session id", "ses_");
id!(/// What a client was let do: the family of the codes and tokens it got for that.
    AuthorizationId, "authorization id", "aut_");
id!(/// A person's word on one exact call.
    ApprovalId, "approval id", "apr_");

text!(
    /// SHA-256 as 64 lower-case hexadecimal digits: of a policy set, a tool definition, arguments.
    Sha256Hex, "SHA-256 digest", "64 lower-case hexadecimal digits", "^[0-9a-f]{64}$",
    |text| text.len() == 64 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
);

impl Sha256Hex {
    /// Hashes the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(hex(&sha2::Sha256::digest(bytes)).into())
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |d| char::from(*d));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_birth_and_parse_back() {
        let early = AgentId::mint(Timestamp(1), [255; 10]);
        let late = AgentId::mint(Timestamp(2), [0; 10]);
        assert!(early < late);
        assert_eq!(AgentId::parse(early.as_str()).unwrap(), early);
        assert!(OrgId::parse(early.as_str()).is_err(), "the prefix is the type");
    }

    #[test]
    fn ulid_of_the_specification() {
        // 1469918176385 ms is the example of the ULID specification: 01ARYZ6S41.
        assert!(ulid(Timestamp(1_469_918_176_385), [0; 10]).starts_with("01aryz6s41"));
    }

    #[test]
    fn digests() {
        assert_eq!(
            Sha256Hex::of(b"").as_str(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
