//! Names as clients see them: `^[a-zA-Z0-9_-]{1,64}$`, deterministic, and one for each tool.

use schemas::ids::Sha256Hex;

/// What separates a server's prefix from a name. Server names hold no underscore, so the first one always splits.
const SEPARATOR: &str = "__";
/// The longest name hosts take.
const LONGEST: usize = 64;
/// Hexadecimal digits that tell shortened names apart.
const DIGITS: usize = 8;

/// A server's name for something, made fit for clients: illegal characters become `_`, and if anything was changed or cut, digits of
/// the original's hash keep it apart from its neighbours.
pub(crate) fn alias(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= LONGEST && name.chars().all(legal) {
        return name.to_owned();
    }
    let cleaned: String =
        name.chars().map(|c| if legal(c) { c } else { '_' }).take(LONGEST - DIGITS - 1).collect();
    format!("{cleaned}-{}", digits(name))
}

/// The public name of something whose server has this prefix.
pub(crate) fn public(prefix: &str, alias: &str) -> String {
    if prefix.is_empty() {
        return alias.to_owned();
    }
    let whole = format!("{prefix}{SEPARATOR}{alias}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let kept: String = whole.chars().take(LONGEST - DIGITS - 1).collect();
    format!("{kept}-{}", digits(&whole))
}

/// Prefix and alias of a public name that was not shortened.
pub(crate) fn split(public: &str) -> (&str, &str) {
    public.split_once(SEPARATOR).unwrap_or(("", public))
}

/// Whether [`public`] may have shortened it, so that only comparing with every name of the toolbox tells whose it is.
pub(crate) fn may_be_shortened(public: &str) -> bool {
    public.len() == LONGEST
}

fn digits(text: &str) -> String {
    Sha256Hex::of(text.as_bytes()).as_str().chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_apart() {
        assert_eq!(public("", &alias("test_simple_text")), "test_simple_text");
        assert_eq!(public("time", &alias("get_current_time")), "time__get_current_time");
        assert_ne!(alias("a.b"), alias("a_b"));
        assert_ne!(alias("a.b"), alias("a/b"));
        for name in ["x".repeat(128), "a.b".into(), "é".into(), "x".repeat(64)] {
            let public = public("a-server-of-22-letters", &alias(&name));
            assert!(
                public.len() <= 64 && public.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)),
                "{public}"
            );
            assert!(public.len() < 64 || may_be_shortened(&public));
        }
        assert_ne!(
            public("a-server-of-22-letters", &format!("{}1", "x".repeat(60))),
            public("a-server-of-22-letters", &format!("{}2", "x".repeat(60)))
        );
    }
}
