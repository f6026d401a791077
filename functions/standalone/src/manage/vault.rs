//! `ambit vault`.

use http::Method;
use serde_json::{Value, json};

use super::Manner;
use super::table::{Column, table};
use super::work::Work;
use crate::operate::Failure;
use crate::remote::{Asked, Usage};
use crate::telling;

const ROOTS: [Column; 3] = [("ROOT KEY", &["/root"]), ("KEYS", &["/keys"]), ("ORGS", &["/orgs"])];
const VERSIONS: [Column; 5] = [
    ("VERSION", &["/version"]),
    ("STATE", &["/state"]),
    ("ROOT KEY", &["/root"]),
    ("VALUES", &["/values"]),
    ("CREATED", &["/createdAt"]),
];

/// Keys of the vault: the root key, a key for each organisation, and what is sealed under them. For the deployment's operator.
#[derive(Debug, clap::Args)]
pub(crate) struct Vault {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show which root keys there are and what is left to be moved; with a name, the key of an organisation.
    Status { name: Option<String> },
    /// Give organisations a new key: from now on it seals. `ambit vault rewrap` moves what older ones have sealed.
    Rotate {
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every organisation.
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Move every key under the root key of now, and every sealed value under the newest key of its organisation. It can be stopped, and run
    /// while the gateway serves.
    Rewrap {
        /// How many in one request.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        batch: u16,
    },
    /// Delete the keys of an organisation, and with them all its credentials and client secrets: there is no way back.
    Shred {
        name: String,
        /// Yes, do.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(options: &Vault) -> Result<(), Failure> {
    let work = options.manner.open_anywhere()?;
    match &options.verb {
        Verb::Status { name: None } => status(&work),
        Verb::Status { name: Some(name) } => versions(&work, name),
        Verb::Rotate { names, all } => rotate(&work, names, *all),
        Verb::Rewrap { batch } => rewrap(&work, *batch),
        Verb::Shred { name, yes } => shred(&work, name, *yes),
    }
}

fn ask(work: &Work, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
    Ok(work.gateway.send_beside(&Asked::new(method, path).with(body))?.value)
}

/// A list in an answer.
fn list<'a>(answer: &'a Value, member: &str) -> &'a [Value] {
    answer.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn status(work: &Work) -> Result<(), Failure> {
    let status = ask(work, Method::GET, "/vault", &Value::Null)?;
    if work.json {
        return telling::json(&status);
    }
    let text = |member: &str| status.get(member).and_then(Value::as_str);
    telling::say(&format!("root key  {}", text("root").unwrap_or_default()))?;
    for before in list(&status, "rootsBefore").iter().filter_map(Value::as_str) {
        telling::say(&format!("before    {before}"))?;
    }
    if let Some(trouble) = text("trouble") {
        telling::say(&format!("trouble   {trouble}"))?;
    }
    let (keys, values) = (number(&status, "/left/keys"), number(&status, "/left/values"));
    telling::say(&format!("sealed    {} values", number(&status, "/values")))?;
    telling::say(&format!("to move   {keys} keys, {values} values"))?;
    if !list(&status, "roots").is_empty() {
        telling::say(&format!("\n{}", table(&ROOTS, list(&status, "roots"))))?;
    }
    Ok(())
}

fn versions(work: &Work, name: &str) -> Result<(), Failure> {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("org", name).finish();
    let answer = ask(work, Method::GET, &format!("/vault?{query}"), &Value::Null)?;
    work.show_list("keys: the first credential makes one", &VERSIONS, list(&answer, "keys"))
}

fn rotate(work: &Work, names: &[String], all: bool) -> Result<(), Failure> {
    let mut names = names.to_vec();
    if all {
        let orgs = work.collect("/orgs", &[])?;
        names = orgs.iter().filter_map(|org| org.get("name")?.as_str().map(str::to_owned)).collect();
    }
    let mut done = Vec::new();
    for name in &names {
        let answer = ask(work, Method::POST, "/vault/rotate", &json!({ "org": name }))?;
        if !work.json {
            telling::say(&format!("`{name}` seals under version {}", number(&answer, "/version")))?;
        }
        done.push(answer);
    }
    if work.json {
        telling::json(&done)
    } else {
        telling::say("`ambit vault rewrap` moves what is sealed under older ones")
    }
}

/// Round after round, until none is left. What can't be moved is told of at the end, and is a failure.
fn rewrap(work: &Work, batch: u16) -> Result<(), Failure> {
    let (mut keys, mut values, mut failed) = (0, 0, Vec::new());
    let mut after = Some(String::new());
    let mut left = Value::Null;
    while let Some(cursor) = after {
        let mut answer =
            ask(work, Method::POST, "/vault/rewrap", &json!({ "limit": batch, "after": cursor }))?;
        keys += number(&answer, "/done/keys");
        values += number(&answer, "/done/values");
        failed.extend_from_slice(list(&answer, "failed"));
        after = answer.get("next").and_then(Value::as_str).map(str::to_owned);
        left = answer.get_mut("left").map(Value::take).unwrap_or_default();
        // A gateway that stays where it is must not hold us.
        if after.as_ref() == Some(&cursor) {
            return Err("the gateway does not get any further: try again later".into());
        }
        if !work.json {
            let (keys_left, values_left) = (number(&left, "/keys"), number(&left, "/values"));
            telling::say(&format!(
                "moved {keys} keys and {values} values; {keys_left} keys and {values_left} values left"
            ))?;
        }
    }
    if work.json {
        let done = json!({ "keys": keys, "values": values });
        telling::json(&json!({ "done": done, "left": left, "failed": failed }))?;
    } else {
        for one in &failed {
            let text = |member: &str| one.get(member).and_then(Value::as_str).unwrap_or_default();
            telling::say(&format!("{}: {}", text("what"), text("why")))?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} could not be moved", failed.len()).into())
}

fn shred(work: &Work, name: &str, yes: bool) -> Result<(), Failure> {
    if !yes {
        return Err(Usage(format!(
            "this deletes every credential and client secret of `{name}`, for good: say `--yes`"
        ))
        .into());
    }
    let answer = ask(work, Method::POST, "/vault/shred", &json!({ "org": name }))?;
    if work.json {
        return telling::json(&answer);
    }
    let (keys, connections) = (number(&answer, "/keys"), number(&answer, "/connections"));
    telling::say(&format!(
        "{keys} keys of `{name}` are deleted, and {connections} accounts disconnected. Copies of the database still hold the keys, \
         wrapped: to make an end of those, change the root key, `ambit vault rewrap`, and destroy the old one"
    ))
}
