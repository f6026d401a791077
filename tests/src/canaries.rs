//! Looking for what must not be there: secrets, in everything that a deployment keeps.

use std::path::{Path, PathBuf};

/// Every file below a folder, as it is.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path, bytes));
        }
    }
    found
}

/// None of these secrets stands in any of these places.
pub fn nowhere<P: AsRef<Path>>(secrets: &[impl AsRef<str>], places: impl IntoIterator<Item = (P, Vec<u8>)>) {
    for (place, bytes) in places {
        for secret in secrets.iter().map(AsRef::as_ref) {
            assert!(!secret.is_empty(), "nothing to look for");
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "`{secret}` stands in {}", place.as_ref().display());
        }
    }
}
