//! AWS Signature Version 4 ("Signing AWS API requests", AWS IAM user guide), for what we send: POST to `/`, without a query.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, Request};
use schemas::ids::{Sha256Hex, Timestamp, hex};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Who signs.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a Secret,
    /// Of temporary credentials.
    pub(super) session_token: Option<&'a Secret>,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Signer<'_> {
    /// Adds the headers of a signature over the method, the path, all headers that are there, and the body. `Host` must be among them.
    /// `None` if a value can't be a header, which keys from a console can't be.
    pub(super) fn sign(&self, mut request: Request<Bytes>, now: Timestamp) -> Option<Request<Bytes>> {
        let time = chrono::DateTime::from_timestamp_millis(now.0)?;
        let (moment, day) = (time.format("%Y%m%dT%H%M%SZ").to_string(), time.format("%Y%m%d").to_string());
        request.headers_mut().insert("x-amz-date", moment.parse().ok()?);
        if let Some(token) = self.session_token {
            let mut value: HeaderValue = token.expose().parse().ok()?;
            value.set_sensitive(true);
            request.headers_mut().insert("x-amz-security-token", value);
        }
        let (headers, names) = canonical(request.headers())?;
        let (method, path) = (request.method(), request.uri().path());
        let body = Sha256Hex::of(request.body());
        let canonical = format!("{method}\n{path}\n\n{headers}\n{names}\n{body}");
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", Sha256Hex::of(canonical.as_bytes()));
        let signature = hex(mac(self.key(&day)?.as_slice(), &to_sign)?.as_slice());
        let access_key = self.access_key;
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        request.headers_mut().insert(http::header::AUTHORIZATION, value.parse().ok()?);
        Some(request)
    }

    /// The key of a day, region and service: all that a signature could give away.
    fn key(&self, day: &str) -> Option<Zeroizing<Vec<u8>>> {
        let first = Zeroizing::new(format!("AWS4{}", self.secret_key.expose()));
        let mut key = Zeroizing::new(first.as_bytes().to_vec());
        for part in [day, self.region, self.service, "aws4_request"] {
            key = mac(&key, part)?;
        }
        Some(key)
    }
}

/// Headers as they are signed, each on a line, and their names.
fn canonical(headers: &HeaderMap) -> Option<(String, String)> {
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let mut lines = String::new();
    for name in &names {
        let value = headers.get(*name)?.to_str().ok()?;
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        lines.push_str(name);
        lines.push(':');
        lines.push_str(&words.join(" "));
        lines.push('\n');
    }
    Some((lines, names.join(";")))
}

fn mac(key: &[u8], message: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, as all of AWS's published vectors.
    const THEN: Timestamp = Timestamp(1_440_938_160_000);

    fn authorization(
        method: &str,
        headers: &[(&str, &str)],
        body: &'static str,
        token: Option<&str>,
    ) -> String {
        let token = token.map(|token| Secret::new(token.to_owned()));
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: &Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.as_ref(),
            region: "us-east-1",
            service: "service",
        };
        let mut request = Request::builder().method(method).uri("/").header("host", "example.amazonaws.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = signer.sign(request.body(Bytes::from_static(body.as_bytes())).unwrap(), THEN).unwrap();
        request.headers()["authorization"].to_str().unwrap().to_owned()
    }

    fn expected(names: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// AWS's signing test suite (aws-c-auth, `tests/aws-signing-test-suite/v4`).
    #[test]
    fn vectors_of_aws() {
        assert_eq!(
            authorization("POST", &[], "", None),
            expected("host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            "post-vanilla"
        );
        assert_eq!(
            authorization("GET", &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")], "", None),
            expected(
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
            ),
            "get-header-value-trim"
        );
        let hash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let form = |kind| [("content-type", kind), ("content-length", "13"), ("x-amz-content-sha256", hash)];
        let names = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
        assert_eq!(
            authorization("POST", &form("application/x-www-form-urlencoded"), "Param1=value1", None),
            expected(names, "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
            "post-x-www-form-urlencoded"
        );
        assert_eq!(
            authorization(
                "POST",
                &form("application/x-www-form-urlencoded; charset=utf-8"),
                "Param1=value1",
                None
            ),
            expected(names, "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
            "post-x-www-form-urlencoded-parameters"
        );
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        assert_eq!(
            authorization("POST", &[], "", Some(token)),
            expected(
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
            ),
            "post-sts-header-before"
        );
    }

    /// "Create a signed AWS API request", AWS IAM user guide: the key of 2015-08-30 for IAM.
    #[test]
    fn the_documented_key() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: &Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: None,
            region: "us-east-1",
            service: "iam",
        };
        let key = signer.key("20150830").unwrap();
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }
}
