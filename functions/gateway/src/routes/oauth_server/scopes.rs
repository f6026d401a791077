//! Scopes: how much of what an agent may do a client is let do. They only ever narrow; policies decide what there is.

/// Lists, prompts, resources, and tools that an administrator confirmed as read-only.
pub(crate) const READ: &str = "mcp:read";
/// All tools.
pub(crate) const WRITE: &str = "mcp:write";
/// The management API, as the person who signed in.
pub(crate) const MANAGE: &str = "manage";

/// What a toolbox has, in the order they are shown.
pub(crate) const ALL: [&str; 2] = [READ, WRITE];

/// What a request for `asked` gets at a toolbox or, if `managing`, at the management API. Scopes that mean nothing here, such as
/// `offline_access`, are left out (RFC 6749 §3.3); who asks for none gets all, and who writes reads.
pub(crate) fn granted(asked: &str, managing: bool) -> Vec<String> {
    if managing {
        return vec![MANAGE.to_owned()];
    }
    let known: Vec<&str> =
        ALL.into_iter().filter(|scope| asked.split(' ').any(|word| word == *scope)).collect();
    let scopes = match known.as_slice() {
        [] => ALL.to_vec(),
        [only] if *only == WRITE => ALL.to_vec(),
        _ => known,
    };
    scopes.into_iter().map(str::to_owned).collect()
}

/// What a scope lets a client do, for people.
pub(super) fn words(scope: &str) -> &'static str {
    match scope {
        READ => "Look: lists, prompts, resources, and tools that change nothing",
        WRITE => "Act: call every tool that the agent may call",
        _ => "Manage the organisation as you, as far as your roles go",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_narrow_and_never_surprise() {
        assert_eq!(granted("", false), ALL);
        assert_eq!(granted("offline_access openid", false), ALL);
        assert_eq!(granted("mcp:read offline_access", false), [READ]);
        assert_eq!(granted("mcp:write", false), ALL);
        assert_eq!(granted("mcp:write mcp:read", false), ALL);
        assert_eq!(granted("mcp:read", true), [MANAGE]);
    }
}
