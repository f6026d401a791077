//! What an organisation says about its provider: values for the settings of its kind, and endpoints of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::profile::{Discovery, Profile, SettingForm};
use crate::egress;
use crate::settings::Settings as Deployment;

/// Values, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    values: BTreeMap<String, Vec<String>>,
    endpoints: BTreeMap<String, String>,
}

/// Where a provider's own endpoints stand among its settings.
const ENDPOINTS: &str = "endpoints";

impl Values {
    /// Reads and checks them.
    ///
    /// # Errors
    /// The text says what is wrong.
    pub(crate) fn read(
        deployment: &Deployment,
        profile: &Profile,
        given: &Map<String, Value>,
    ) -> Result<Self, String> {
        let mut read = Self::default();
        for (name, value) in given {
            if name == ENDPOINTS && profile.discovery != Some(Discovery::Mcp) {
                read.endpoints = endpoints(deployment, profile, value)?;
                continue;
            }
            let setting = profile.settings.get(name).ok_or_else(|| {
                let known: Vec<&str> = profile.settings.keys().map(String::as_str).collect();
                format!("`{}` has no setting `{name}`; it has: {}", profile.kind, listed(&known))
            })?;
            let values =
                words(value).filter(|values| setting.form == SettingForm::Words || values.len() == 1);
            let values = values.ok_or_else(|| format!("setting `{name}` must be text"))?;
            for value in &values {
                check(deployment, setting.form, value).map_err(|why| format!("setting `{name}`: {why}"))?;
            }
            read.values.insert(name.clone(), values);
        }
        for (name, setting) in profile.settings.iter().filter(|(_, setting)| setting.required) {
            if !read.values.contains_key(name) {
                return Err(format!("setting `{name}` is missing: {}", setting.title));
            }
        }
        Ok(read)
    }

    /// One value, or the kind's own.
    pub(crate) fn get<'a>(&'a self, profile: &'a Profile, name: &str) -> Option<&'a str> {
        let given = self.values.get(name).and_then(|values| values.first()).map(String::as_str);
        given.or_else(|| profile.settings.get(name)?.default.as_deref())
    }

    /// All values of one that has several.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// An endpoint: this organisation's own, or the table's with the settings filled in.
    pub(crate) fn endpoint(&self, profile: &Profile, client_id: &str, name: &str) -> Option<String> {
        if let Some(own) = self.endpoints.get(name) {
            return Some(own.clone());
        }
        let by_default = profile.settings.get("host").and_then(|setting| setting.default.as_deref());
        let elsewhere = self.get(profile, "host") != by_default;
        let template = profile.elsewhere.get(name).filter(|_| elsewhere);
        let template = template.or_else(|| profile.endpoints.get(name))?;
        Some(self.fill(profile, client_id, template))
    }

    /// A template, with the settings filled in.
    pub(crate) fn fill(&self, profile: &Profile, client_id: &str, template: &str) -> String {
        let client = percent_encoding::utf8_percent_encode(client_id, percent_encoding::NON_ALPHANUMERIC);
        let client = client.to_string().replace("%2D", "-").replace("%2E", ".");
        let mut filled = template.replace("{client_id}", &client);
        for setting in profile.settings.keys() {
            filled =
                filled.replace(&format!("{{{setting}}}"), self.get(profile, setting).unwrap_or_default());
        }
        filled
    }
}

fn listed(words: &[&str]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Text, or a list of texts.
fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn endpoints(
    deployment: &Deployment,
    profile: &Profile,
    given: &Value,
) -> Result<BTreeMap<String, String>, String> {
    let given = given.as_object().ok_or_else(|| "`endpoints` must be an object".to_owned())?;
    let known: Vec<&str> = profile.endpoints.keys().map(String::as_str).collect();
    let mut read = BTreeMap::new();
    for (name, value) in given {
        if !known.contains(&name.as_str()) {
            return Err(format!("`{}` has no endpoint `{name}`; it has: {}", profile.kind, listed(&known)));
        }
        let url = value.as_str().ok_or_else(|| format!("endpoint `{name}` must be text"))?;
        // An issuer is compared, never asked, and one for several tenants has a gap in it.
        egress::public_url(deployment, &url.replace("{tenantid}", "tenant"))
            .map_err(|error| format!("endpoint `{name}`: {error}"))?;
        read.insert(name.clone(), url.to_owned());
    }
    Ok(read)
}

fn check(deployment: &Deployment, form: SettingForm, value: &str) -> Result<(), String> {
    let all = |fits: fn(u8) -> bool| !value.is_empty() && value.len() <= 512 && value.bytes().all(fits);
    let fits = match form {
        SettingForm::Host => {
            let name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-');
            if !all(name) {
                return Err(format!(
                    "`{value}` is no name of a host: write it in lower case, without `https://`"
                ));
            }
            return egress::public_url(deployment, &format!("https://{value}/"))
                .map(drop)
                .map_err(|error| error.to_string());
        }
        SettingForm::Url => {
            return egress::public_url(deployment, value).map(drop).map_err(|error| error.to_string());
        }
        SettingForm::Segment => {
            all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_')) && !value.starts_with('.')
        }
        SettingForm::Words => all(|c| c.is_ascii_graphic()),
        SettingForm::Header => all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')),
        SettingForm::Text => value.len() <= 512 && value.chars().all(|c| matches!(c, ' '..='~')),
        SettingForm::Pointer => value.is_empty() || (value.starts_with('/') && value.len() <= 512),
    };
    if fits { Ok(()) } else { Err(format!("`{value}` does not fit")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, given: &Value) -> Result<Values, String> {
        let deployment = Deployment::new("https://gw.example").unwrap();
        Values::read(&deployment, Profile::find(kind).unwrap(), given.as_object().unwrap())
    }

    #[test]
    fn endpoints_of_their_own_hosts() {
        let at = |kind: &str, given: Value, endpoint: &str| {
            let profile = Profile::find(kind).unwrap();
            read(kind, &given).unwrap().endpoint(profile, "c.1/2", endpoint).unwrap()
        };
        assert_eq!(at("github", json!({}), "account"), "https://api.github.com/user");
        let own = json!({ "host": "git.acme.example" });
        assert_eq!(at("github", own.clone(), "account"), "https://git.acme.example/api/v3/user");
        assert_eq!(at("github", own.clone(), "token"), "https://git.acme.example/login/oauth/access_token");
        assert_eq!(at("github", json!({}), "revoke"), "https://api.github.com/applications/c.1%2F2/grant");
        assert_eq!(at("gitlab", own, "revoke"), "https://git.acme.example/oauth/revoke");
        let tenant = json!({ "tenant": "contoso.com" });
        assert_eq!(
            at("microsoft", tenant, "token"),
            "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"
        );
        let own = json!({ "endpoints": { "token": "https://login.microsoftonline.us/x/token" } });
        assert_eq!(at("microsoft", own, "token"), "https://login.microsoftonline.us/x/token");
    }

    #[test]
    fn what_leads_inside_or_out_of_place_is_refused() {
        for (kind, given) in [
            ("github", json!({ "host": "10.0.0.1" })),
            ("github", json!({ "host": "git.internal" })),
            ("github", json!({ "host": "localhost" })),
            ("github", json!({ "host": "github.com/evil" })),
            ("github", json!({ "host": "a@b.example" })),
            ("github", json!({ "host": "GitHub.com" })),
            ("github", json!({ "host": "" })),
            ("github", json!({ "host": ["a.example", "b.example"] })),
            ("github", json!({ "tenant": "x" })),
            ("github", json!({ "endpoints": { "token": "https://169.254.169.254/" } })),
            ("github", json!({ "endpoints": { "token": "http://github.com/" } })),
            ("github", json!({ "endpoints": { "tokens": "https://github.com/" } })),
            ("microsoft", json!({ "tenant": "../x" })),
            ("microsoft", json!({ "tenant": "a/b" })),
            ("oidc", json!({})),
            ("oidc", json!({ "issuer": "https://idp.internal" })),
            ("mcp", json!({ "server": "https://127.0.0.1/mcp" })),
            ("mcp", json!({ "server": "https://mcp.example.com/", "endpoints": {} })),
            ("api-key", json!({ "account": "https://[::1]/" })),
            ("api-key", json!({ "header": "a b" })),
            ("api-key", json!({ "prefix": "a\nb" })),
        ] {
            assert!(read(kind, &given).is_err(), "{kind}: {given}");
        }
    }
}
