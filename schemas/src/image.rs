//! Container images: a reference says where, a digest says exactly which bytes (OCI image specification).

use crate::text::text;

text!(
    /// An image reference without digest: `[registry/]path[:tag]`.
    ImageReference, "image reference", "`[registry/]path[:tag]` in lower case, without digest, at most 255 characters",
    "^[a-z0-9][a-z0-9._:/-]{0,254}$",
    |text| {
        text.len() <= 255
            && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.split('/').all(|part| !part.is_empty())
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._:/-".contains(&c))
    }
);
text!(
    /// The digest of an image: what a workload runs by. For an image that never was in a registry, its image id.
    ImageDigest, "image digest", "`sha256:` and 64 lower-case hexadecimal digits", "^sha256:[0-9a-f]{64}$",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| crate::ids::Sha256Hex::parse(hex).is_ok())
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for good in ["ambit/everything:2026.8.31", "docker.io/library/alpine", "localhost:5000/x"] {
            assert!(ImageReference::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Upper", "a//b", "a@sha256:00", "-x"] {
            assert!(ImageReference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests() {
        assert!(ImageDigest::parse(&format!("sha256:{}", "0".repeat(64))).is_ok());
        assert!(ImageDigest::parse("sha256:00").is_err());
    }
}
