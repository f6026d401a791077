//! The data directory: the database, the keys (readable by their owner only), and the policy files of `ambit dev`.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::secret::Secret;

use crate::platform::Secrets;

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file can't be read or written.
    #[error("`{path}`: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A key can be read by others.
    #[error(
        "`{path}` can be read by others: run `chmod 600` on it, or make a new one if someone did read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is no randomness to make a key from.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        std::fs::create_dir_all(path).map_err(|reason| DataError::File { path: path.to_owned(), reason })?;
        let path = path.canonicalize().map_err(|reason| DataError::File { path: path.to_owned(), reason })?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.path.join("ambit.sqlite")
    }

    /// A key of 32 random bytes in base64url; made at first use, with mode 0600.
    ///
    /// # Errors
    /// The file can't be read or made, or others can read it.
    pub fn key(&self, file: &str) -> Result<Secret, DataError> {
        if let Some(key) = self.read_secret(file)? {
            return Ok(key);
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(DataError::Randomness)?;
        self.write_secret(file, &Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a secret file, if it is there.
    ///
    /// # Errors
    /// It can't be read, or others can read it.
    pub fn read_secret(&self, file: &str) -> Result<Option<Secret>, DataError> {
        let path = self.path.join(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(DataError::File { path, reason }),
        };
        if is_exposed(&path) {
            return Err(DataError::Exposed { path });
        }
        Ok(Some(Secret::new(text.trim().to_owned())))
    }

    /// Writes a secret file that is not there yet.
    ///
    /// # Errors
    /// It can't be written, or is there.
    pub fn write_secret(&self, file: &str, secret: &Secret) -> Result<Secret, DataError> {
        let path = self.path.join(file);
        let fail = |reason| DataError::File { path: path.clone(), reason };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(fail)?;
        writeln!(file, "{}", secret.expose()).and_then(|()| file.sync_all()).map_err(fail)?;
        Ok(secret.clone())
    }

    /// The secrets of a gateway: its two keys from the environment, or else from files here; all others, as far as they are set, from
    /// the environment.
    ///
    /// # Errors
    /// A file can't be read or made.
    pub fn secrets(&self, others: &[String]) -> Result<Secrets, DataError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new);
        let mut secrets = HashMap::new();
        for (name, file) in [("AMBIT_ROOT_KEY", "root.key"), ("AMBIT_OPERATOR_KEY", "operator.key")] {
            let secret = set(name).map_or_else(|| self.key(file), Ok)?;
            secrets.insert(name.to_owned(), secret);
        }
        let others = others.iter().map(String::as_str).chain(["AMBIT_PROVISIONER_KEY"]);
        for name in others {
            if let Some(secret) = set(name) {
                secrets.entry(name.to_owned()).or_insert(secret);
            }
        }
        Ok(Arc::new(secrets))
    }
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &Path) -> bool {
    false
}
