//! Names people choose. They are immutable once used: policies and audit records refer to them.

use crate::ids::{ConnectionId, Sha256Hex};
use crate::text::text;

fn is_slug(text: &str, longest: usize) -> bool {
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
}

text!(
    /// An organisation: the tenant. First segment of `/mcp/{org}/{toolbox}`.
    OrgName, "organisation name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// A toolbox: what an MCP client connects to. Second segment of `/mcp/{org}/{toolbox}`.
    ToolboxName, "toolbox name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// An MCP server. Short, because it prefixes the public names of its tools (64 characters in all); no underscore,
    /// because `__` separates prefix and tool.
    ServerName, "server name", "1 to 22 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$", |text| is_slug(text, 22)
);
text!(
    /// An agent: the principal of every policy decision about tools.
    AgentName, "agent name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// A team of people and agents.
    TeamName, "team name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// What a person does in an organisation, such as `owner` or `auditor`. What a role may do stands in policies.
    RoleName, "role name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// An OAuth client that an organisation registers; its `client_id` is the organisation's name, a dot, and this.
    ClientName, "client name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// Where people have accounts, such as `github`.
    ProviderName, "provider name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// Where people of an organisation sign in, such as `okta`: an OpenID Connect provider of theirs.
    IdentityProviderName, "identity provider's name", "1 to 40 of a-z, 0-9 and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", |text| is_slug(text, 40)
);
text!(
    /// A person, as the identity provider's subject (or chosen at creation).
    UserName, "user name", "1 to 128 visible characters without spaces, quotes and backslashes",
    "^[^\\s\"'\\\\]{1,128}$",
    |text| !text.is_empty()
        && text.chars().count() <= 128
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\'))
);
text!(
    /// The name an MCP server gives its tool (MCP 2026-07-28, `server/tools`: 1 to 128 of `[A-Za-z0-9_.-]`).
    ToolName, "tool name", "1 to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`",
    "^[A-Za-z0-9_.-]{1,128}$",
    |text| !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-'))
);
text!(
    /// The name of a workload, which is also its container's name and its idempotency key.
    WorkloadName, "workload name", "1 to 110 of a-z, 0-9, `.` and inner hyphens",
    "^[a-z0-9][a-z0-9.-]{0,109}$",
    |text| text.len() <= 110
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-'))
);

impl WorkloadName {
    /// One workload per organisation, toolbox and server: a container is never shared between toolboxes.
    ///
    /// # Errors
    /// Never for three well-formed names; the parser keeps the last word.
    pub fn of(org: &OrgName, toolbox: &ToolboxName, server: &ServerName) -> Result<Self, crate::ParseError> {
        Self::parse(&format!("{org}.{toolbox}.{server}"))
    }

    /// The workload of the same server for one account: a fourth part, as long as fits (5 to 12 characters). Two accounts that
    /// share it take turns, since what a container is made from names the account in full.
    ///
    /// # Errors
    /// Never for a workload of three well-formed names; the parser keeps the last word.
    pub fn for_subject(&self, subject: &ConnectionId) -> Result<Self, crate::ParseError> {
        let room = 110_usize.saturating_sub(self.0.len() + 1).min(12);
        let digest = Sha256Hex::of(subject.as_str().as_bytes());
        // More letters than hexadecimal has: three digits of the digest, reduced, make one.
        let letters = "0123456789abcdefghijklmnopqrstuvwxyz".as_bytes();
        let part: String = digest
            .as_str()
            .as_bytes()
            .chunks(3)
            .take(room)
            .filter_map(|digits| usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .filter_map(|number| letters.get(number % letters.len()).map(|letter| char::from(*letter)))
            .collect();
        Self::parse(&format!("{self}.{part}"))
    }

    /// Whether this is the workload, or one of a subject of it.
    pub fn covers(&self, other: &Self) -> bool {
        other == self || other.as_str().strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    /// `org.toolbox`: the servers of one toolbox live together.
    pub fn toolbox(&self) -> &str {
        let end = self.0.match_indices('.').nth(1).map_or(self.0.len(), |(at, _)| at);
        self.0.get(..end).unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_have_edges_and_a_length() {
        for good in ["a", "demo", "a-b", "0", "support-bot-2"] {
            assert!(OrgName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "\u{e9}", &"a".repeat(41)] {
            assert!(OrgName::parse(bad).is_err(), "{bad}");
        }
        assert!(ServerName::parse(&"a".repeat(23)).is_err());
    }

    #[test]
    fn a_tool_may_be_called_anything_the_spec_allows() {
        assert!(ToolName::parse("get.Weather_2-x").is_ok());
        for bad in ["", "a b", "a/b", "\u{fc}", &"a".repeat(129)] {
            assert!(ToolName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_subject_has_a_workload_of_its_own_however_long_the_names() {
        let subjects: Vec<_> =
            (0..200).map(|n| ConnectionId::mint(crate::ids::Timestamp(1), [n; 10])).collect();
        for length in [1, 40] {
            let part = "a".repeat(length);
            let base = WorkloadName::of(
                &OrgName::parse(&part).unwrap(),
                &ToolboxName::parse(&part).unwrap(),
                &ServerName::parse(part.get(..length.min(22)).unwrap()).unwrap(),
            )
            .unwrap();
            let names: std::collections::BTreeSet<_> =
                subjects.iter().map(|subject| base.for_subject(subject).unwrap()).collect();
            assert_eq!(names.len(), subjects.len());
            assert!(names.iter().all(|name| base.covers(name) && name.toolbox() == format!("{part}.{part}")));
        }
        let name = |text| WorkloadName::parse(text).unwrap();
        assert!(!name("o.t.s").covers(&name("o.t.s2")) && !name("o.t.s.1").covers(&name("o.t.s")));
        assert_eq!(name("o.t.s").toolbox(), "o.t");
    }

    #[test]
    fn serde_goes_through_the_parser() {
        assert!(serde_json::from_str::<ToolboxName>("\"demo\"").is_ok());
        let refused = serde_json::from_str::<ToolboxName>("\"De mo\"").unwrap_err().to_string();
        assert!(refused.contains("1 to 40 of a-z"), "{refused}");
    }
}
