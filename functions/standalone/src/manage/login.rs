//! `ambit login`, `ambit logout` and `ambit whoami`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use super::Manner;
use super::table::sheet;
use crate::operate::Failure;
use crate::remote::credentials::{Credentials, Proof, SignedIn};
use crate::remote::{Asked, At, Gateway, Usage, sign_in, tidy};
use crate::telling;

/// Sign in to a gateway, with your browser.
///
/// You stay signed in until you sign out, or the gateway ends it. It is then your usual gateway, and its organisation your usual one.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Its URL; by default the usual one.
    url: Option<String>,
    /// Open the page in a browser of this machine.
    #[arg(long, conflicts_with = "key")]
    browser: bool,
    /// Keep a key of yours instead: the name of its file, or `-` to read it from standard input.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// Sign out of a gateway, and forget its tokens or key here.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// Its URL; by default the usual one.
    url: Option<String>,
    #[command(flatten)]
    manner: Manner,
}

/// Show who you are at a gateway, and what you may do there.
#[derive(Debug, clap::Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    manner: Manner,
}

pub(crate) fn login(options: &Login) -> Result<(), Failure> {
    let credentials = Credentials::of_this_person();
    let url = address(options.url.as_deref(), &options.manner.at, &credentials)?;
    let proof = match &options.key {
        Some(file) => Proof::Key(read_secret(file)?),
        None => Proof::Tokens(sign_in::sign_in(&url, options.browser)?),
    };
    // What is kept works, and whose it is the gateway knows.
    let token = match &proof {
        Proof::Key(key) => key.clone(),
        Proof::Tokens(tokens) => tokens.access.clone(),
    };
    let me = who(&Gateway::with_token(url.clone(), None, token)?)?;
    let theirs = me.get("org").and_then(Value::as_str);
    let org = match (theirs, options.manner.at.org.as_deref()) {
        (Some(theirs), Some(wanted)) if theirs != wanted => {
            return Err(format!("you are of organisation `{theirs}` there, not of `{wanted}`").into());
        }
        (theirs, wanted) => theirs.or(wanted).map(str::to_owned),
    };
    credentials.change(|kept| {
        kept.current = Some(url.clone());
        kept.gateways.insert(url.clone(), SignedIn { org: org.clone(), proof })
    })?;
    if options.manner.json {
        return telling::json(&me);
    }
    let name = me.get("user").and_then(Value::as_str).unwrap_or("somebody");
    let of = org.map(|org| format!(" of `{org}`")).unwrap_or_default();
    telling::say(&format!("you are `{name}`{of} at {url}"))
}

pub(crate) fn logout(options: &Logout) -> Result<(), Failure> {
    let credentials = Credentials::of_this_person();
    let url = address(options.url.as_deref(), &options.manner.at, &credentials)?;
    let forgotten = credentials.change(|kept| {
        kept.current = kept.current.take().filter(|current| *current != url);
        kept.gateways.remove(&url)
    })?;
    let told = match forgotten {
        None => format!("nobody was signed in to {url}"),
        Some(SignedIn { proof: Proof::Key(_), .. }) => {
            format!("the key for {url} is forgotten here; it is still good: `ambit key revoke` ends it")
        }
        Some(SignedIn { proof: Proof::Tokens(tokens), .. }) => {
            sign_in::sign_out(&tokens)
                .map_err(|error| format!("it is forgotten here, but {error}; end it on {url}/account"))?;
            format!("you are signed out of {url}")
        }
    };
    if options.manner.json { telling::json(&json!({ "gateway": url })) } else { telling::say(&told) }
}

pub(crate) fn whoami(options: &Whoami) -> Result<(), Failure> {
    let gateway = options.manner.at.open_anywhere()?;
    let me = who(&gateway)?;
    if options.manner.json {
        return telling::json(&me);
    }
    telling::say(&sheet(&me))
}

fn who(gateway: &Gateway) -> Result<Value, Failure> {
    Ok(gateway.send_beside(&Asked::new(Method::GET, "/whoami"))?.value)
}

fn address(given: Option<&str>, at: &At, credentials: &Credentials) -> Result<String, Failure> {
    given.map_or_else(|| at.url(credentials), tidy)
}

/// A secret from a file, or from standard input.
pub(super) fn read_secret(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().take(4096).read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(file)
            .map_err(|error| format!("`{}` can't be read: {error}", file.display()))?
    };
    match text.trim() {
        "" => Err(Usage("there is nothing in it".to_owned()).into()),
        key => Ok(key.to_owned()),
    }
}
