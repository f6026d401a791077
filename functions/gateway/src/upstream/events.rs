//! Server-sent events (WHATWG HTML §9.2), as much as MCP uses: `data` lines, one JSON-RPC message per event.

use bytes::{Bytes, BytesMut};

use crate::platform::PlatformError;

/// Cuts a stream of chunks into the data of its events, however the chunks are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// Up to here the buffer holds no line end.
    searched: usize,
    data: String,
    limit: usize,
}

impl Decoder {
    /// A decoder that takes events of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes a chunk in.
    ///
    /// # Errors
    /// An event grew beyond the limit.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), PlatformError> {
        if self.buffer.len() + self.data.len() + chunk.len() > self.limit {
            return Err(PlatformError::TooLarge { limit: self.limit });
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// The data of the next whole event. Comments and events without data are passed over.
    pub(crate) fn next(&mut self) -> Option<String> {
        while let Some(line) = self.line() {
            let text = String::from_utf8_lossy(&line);
            if text.is_empty() {
                if !self.data.is_empty() {
                    return Some(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = text.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        None
    }

    /// A line that has ended, without its end.
    fn line(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(position) = rest.iter().position(|c| *c == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + position + 1).freeze();
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line)
    }
}

/// An event with one message.
pub(crate) fn event(message: &str) -> Bytes {
    let mut out = String::with_capacity(message.len() + 8);
    for line in message.split('\n') {
        out.push_str("data: ");
        out.push_str(line.trim_end_matches('\r'));
        out.push('\n');
    }
    out.push('\n');
    Bytes::from(out)
}

/// A comment, which keeps the connection alive.
pub(crate) fn keep_alive() -> Bytes {
    Bytes::from_static(b": keep-alive\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new(1000);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(chunk).unwrap();
            while let Some(event) = decoder.next() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_do_not_depend_on_how_chunks_are_cut() {
        let text = b": hi\r\nid: 7\r\ndata: \r\n\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nevent: message\ndata: \xc3\xbc\n\n";
        let whole = all(&[text]);
        assert_eq!(whole, ["{\"a\":\n1}", "ü"]);
        for cut in 0..text.len() {
            assert_eq!(all(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes), whole);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = Decoder::new(10);
        assert!(decoder.push(b"data: 0123456789").is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(all(&[&event("a\nb"), &keep_alive(), &event("c")]), ["a\nb", "c"]);
    }
}
