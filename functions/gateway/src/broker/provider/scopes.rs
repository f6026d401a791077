//! Scopes as providers spell them. What was asked for and what was granted are compared in one spelling: the one that was asked for.

use std::collections::BTreeSet;

use super::profile::Profile;

/// What was granted.
///
/// `said` is the `scope` of the answer; without one everything that was asked for was granted (RFC 6749 §5.1).
pub(super) fn granted(profile: &Profile, asked: &BTreeSet<String>, said: Option<&str>) -> BTreeSet<String> {
    let Some(said) = said else { return asked.clone() };
    let separator = profile.granted_separator.as_str();
    let words = said.split(separator).flat_map(str::split_whitespace).filter(|word| !word.is_empty());
    let mut granted: BTreeSet<String> = words.map(|word| spelt(profile, asked, word)).collect();
    granted.extend(asked.iter().filter(|scope| profile.implied.contains(scope)).cloned());
    granted
}

fn spelt(profile: &Profile, asked: &BTreeSet<String>, word: &str) -> String {
    let word = profile.aliases.get(word).map_or(word, String::as_str);
    if profile.fold_scopes {
        let bare = word.rsplit('/').next().unwrap_or(word);
        let same = |scope: &&String| scope.eq_ignore_ascii_case(word) || scope.eq_ignore_ascii_case(bare);
        if let Some(scope) = asked.iter().find(same) {
            return scope.clone();
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn answers_spell_them_otherwise() {
        let granted = |kind: &str, asked: &[&str], said: Option<&str>| {
            super::granted(Profile::find(kind).unwrap(), &set(asked), said)
        };
        assert_eq!(granted("github", &["repo", "user"], Some("repo,user")), set(&["repo", "user"]));
        assert_eq!(granted("github", &["repo"], Some("")), set(&[]), "nothing was granted");
        assert_eq!(granted("gitlab", &["api"], None), set(&["api"]), "what is not said is as asked");
        assert_eq!(
            granted(
                "microsoft",
                &["Mail.Read", "offline_access"],
                Some("https://graph.microsoft.com/mail.read")
            ),
            set(&["Mail.Read", "offline_access"])
        );
        assert_eq!(
            granted(
                "google",
                &["openid", "email"],
                Some("https://www.googleapis.com/auth/userinfo.email openid")
            ),
            set(&["openid", "email"])
        );
    }
}
