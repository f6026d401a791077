//! Who this person is at which gateway: `$XDG_CONFIG_HOME/ambit/credentials.json`, for their eyes only. Every change is made under a lock and
//! by renaming a whole file into place, so that two commands at once never use one refresh token twice.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use standalone::fetch::Fetch;

use super::oauth;
use crate::operate::Failure;

/// A token is renewed this long before it expires, in seconds.
const EARLY: u64 = 30;

/// Where the credentials of this person are.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    directory: Option<PathBuf>,
}

/// What is kept.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Kept {
    /// The gateway that they signed in to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By URL.
    #[serde(default)]
    pub(crate) gateways: BTreeMap<String, SignedIn>,
}

/// Who they are at one gateway.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct SignedIn {
    /// The organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<String>,
    pub(crate) proof: Proof,
}

/// What proves it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Proof {
    /// A key of theirs.
    Key(String),
    /// Tokens that the gateway's authorization server gave.
    Tokens(Tokens),
}

/// Tokens, and where to renew and revoke them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tokens {
    pub(crate) access: String,
    /// Seconds since 1970.
    pub(crate) expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<String>,
    pub(crate) server: oauth::Server,
}

impl Credentials {
    /// Where this person keeps such things (XDG Base Directory Specification).
    pub(crate) fn of_this_person() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
        Self { directory: config.map(|config| config.join("ambit")) }
    }

    /// Everything that is kept; nothing if nobody ever signed in.
    pub(crate) fn read(&self) -> Result<Kept, Failure> {
        let Some(path) = self.directory.as_ref().map(|directory| directory.join("credentials.json")) else {
            return Ok(Kept::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) => return Err(format!("`{}` can't be read: {error}", path.display()).into()),
        };
        if is_exposed(&path) {
            return Err(format!(
                "`{}` can be read by others: run `chmod 600` on it, or sign in anew if someone did read it",
                path.display()
            )
            .into());
        }
        serde_json::from_str(&text).map_err(|error| {
            format!("`{}` is not what `ambit login` wrote ({error}): remove it, and sign in", path.display())
                .into()
        })
    }

    /// Changes what is kept, with nobody else at it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Result<T, Failure> {
        let lock = self.lock()?;
        let mut kept = self.read()?;
        let answer = change(&mut kept);
        self.write(&lock, &kept)?;
        Ok(answer)
    }

    /// The token to show at a gateway, renewed if it is old. Nothing if nobody is signed in there.
    pub(crate) async fn token(&self, fetch: &Fetch, url: &str) -> Result<Option<String>, Failure> {
        match self.read()?.gateways.remove(url).map(|known| known.proof) {
            None => return Ok(None),
            Some(Proof::Key(key)) => return Ok(Some(key)),
            Some(Proof::Tokens(tokens)) if tokens.is_fresh() => return Ok(Some(tokens.access)),
            Some(Proof::Tokens(_)) => {}
        }
        let lock = self.lock()?;
        // Another command may have renewed it in the meantime.
        let mut kept = self.read()?;
        let Some(known) = kept.gateways.get_mut(url) else { return Ok(None) };
        let access = match &mut known.proof {
            Proof::Key(key) => return Ok(Some(key.clone())),
            Proof::Tokens(tokens) if tokens.is_fresh() => return Ok(Some(tokens.access.clone())),
            Proof::Tokens(tokens) => {
                *tokens = oauth::renew(fetch, url, tokens).await?;
                tokens.access.clone()
            }
        };
        self.write(&lock, &kept)?;
        Ok(Some(access))
    }

    /// Waits until nobody else changes what is kept. The lock goes with the file.
    fn lock(&self) -> Result<File, Failure> {
        let directory = self
            .directory
            .as_deref()
            .ok_or("there is no place to keep who you are: set HOME, or show a key with AMBIT_KEY")?;
        let failed = |error: std::io::Error| format!("`{}` can't be used: {error}", directory.display());
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(directory.join("credentials.lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(lock)
    }

    fn write(&self, _lock: &File, kept: &Kept) -> Result<(), Failure> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let (path, new) = (directory.join("credentials.json"), directory.join("credentials.json.new"));
        let failed = |error: std::io::Error| format!("`{}` can't be written: {error}", path.display());
        // What a command that was killed left behind may have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error).into()),
            Ok(()) | Err(_) => {}
        }
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new).map_err(failed)?;
        let text = serde_json::to_string_pretty(kept)?;
        writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
        Ok(())
    }
}

impl Tokens {
    fn is_fresh(&self) -> bool {
        now().saturating_add(EARLY) < self.expires_at
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &Path) -> bool {
    false
}
