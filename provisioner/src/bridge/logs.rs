//! What a server writes to stderr, and what it should not have written to stdout: the newest part of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;

use bytes::Bytes;

use crate::secrets::Secrets;

/// Enough for a stack trace or two per restart.
const KEPT_BYTES: usize = 256 * 1024;
const LONGEST_LINE: usize = 8 * 1024;
/// Credentials that are kept out at a time: those of the last accounts that a server was used with.
const CONCEALED: usize = 64;

/// A ring of text that outlives restarts of the server.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    /// What must not be in it; the newest last.
    secrets: VecDeque<Secrets>,
    lines: VecDeque<String>,
    bytes: usize,
    partial: Vec<u8>,
}

impl Ring {
    /// A line without secrets, whole or cut off.
    fn struck(&self, line: String) -> String {
        self.secrets.iter().fold(line, |line, secrets| secrets.strike_cut(line))
    }

    fn push(&mut self, line: String) {
        let line = self.struck(line);
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len() + 1;
        }
    }
}

fn printable(bytes: &[u8]) -> String {
    let bytes = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    // Terminal sequences in a log are an attack on whoever reads it.
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

impl Logs {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps secrets out from now on.
    pub(crate) fn conceal(&self, secrets: &Secrets) {
        let mut ring = self.ring();
        if !ring.secrets.iter().any(|known| known.is(secrets)) {
            if ring.secrets.len() >= CONCEALED {
                ring.secrets.pop_front();
            }
            ring.secrets.push_back(secrets.clone());
        }
    }

    /// A piece of stderr.
    pub(crate) fn stderr(&self, piece: &Bytes) {
        let mut ring = self.ring();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(ring.partial.len());
            let kept = part.get(..room).unwrap_or(part).to_vec();
            ring.partial.extend_from_slice(&kept);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut ring.partial);
                ring.push(printable(line.strip_suffix(b"\n").unwrap_or(&line)));
            }
        }
    }

    /// A line of stdout that is no message.
    pub(crate) fn noise(&self, line: &[u8]) {
        self.ring().push(format!("stdout: {}", printable(line)));
    }

    /// Something we have to say about the server.
    pub(crate) fn note(&self, text: &str) {
        self.ring().push(format!("ambit: {}", printable(text.as_bytes())));
    }

    /// All of it, newest last.
    pub(crate) fn text(&self) -> String {
        let ring = self.ring();
        let mut text = String::with_capacity(ring.bytes);
        for line in &ring.lines {
            let _ = writeln!(text, "{line}");
        }
        if !ring.partial.is_empty() {
            let _ = writeln!(text, "{}", ring.struck(printable(&ring.partial)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_quotes_its_credential_is_not_quoted() {
        let logs = Logs::default();
        let secret = schemas::provisioner::SecretText::new("CANARY-0123456789".to_owned());
        logs.conceal(&Secrets::new(vec![secret]));
        logs.stderr(&Bytes::from_static(b"token CANARY-01234"));
        assert!(!logs.text().contains("CANARY"), "{}", logs.text());
        logs.stderr(&Bytes::from_static(b"56789 is bad\n"));
        logs.noise(b"CANARY-0123456789");
        logs.note("CANARY-0123456789");
        logs.stderr(&Bytes::from(format!("{}CANARY-0123456789\n", "x".repeat(LONGEST_LINE - 8))));
        assert!(!logs.text().contains("CANARY"), "{}", logs.text());
    }

    #[test]
    fn keeps_the_newest_and_cleans_it() {
        let logs = Logs::default();
        logs.stderr(&Bytes::from_static(b"half "));
        logs.stderr(&Bytes::from_static(b"line\n\x1b[31mred\npart"));
        assert_eq!(logs.text(), "half line\n\u{fffd}[31mred\npart\n");
        for number in 0..100_000 {
            logs.noise(format!("line {number}").as_bytes());
        }
        assert!(logs.text().len() <= KEPT_BYTES + LONGEST_LINE);
        assert!(logs.text().contains("stdout: line 99999\n"));
    }
}
