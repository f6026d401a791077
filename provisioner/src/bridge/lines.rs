//! Newline-delimited messages out of whatever pieces they arrive in.

use bytes::{Bytes, BytesMut};

/// Splits a byte stream into lines, none longer than a bound.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: BytesMut,
    longest: usize,
    skipping: Option<Skipped>,
}

/// How much of an overlong line is kept, at either end, to find out whose answer it was.
const KEPT: usize = 512;

/// Both ends of a line that was too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) head: Bytes,
    pub(crate) tail: Vec<u8>,
}

impl Skipped {
    fn extend(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(piece);
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
    }

    /// The number after an `"id":` at either end.
    pub(crate) fn id(&self) -> Option<u64> {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let tail = String::from_utf8_lossy(&self.tail).into_owned();
        let after = |text: &str| {
            let rest = text.split("\"id\":").nth(1)?.trim_start();
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        // At the end the last one counts: what comes before is content.
        after(&head).or_else(|| tail.rfind("\"id\":").and_then(|start| tail.get(start..)).and_then(after))
    }
}

/// One line, or what is left of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Bytes),
    TooLong(Skipped),
}

impl Lines {
    pub(crate) fn new(longest: usize) -> Self {
        Self { partial: BytesMut::new(), longest, skipping: None }
    }

    /// Takes the next piece and gives every line it completes. A line inside one piece is not copied.
    pub(crate) fn push(&mut self, mut piece: Bytes) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &piece) {
            let line = piece.split_to(end);
            let _newline = piece.split_to(1);
            if let Some(mut skipped) = self.skipping.take() {
                skipped.extend(&line);
                lines.push(Line::TooLong(skipped));
            } else if self.partial.len() + line.len() > self.longest {
                self.skip(&line);
                lines.extend(self.skipping.take().map(Line::TooLong));
            } else if self.partial.is_empty() {
                lines.push(Line::Whole(line));
            } else {
                self.partial.extend_from_slice(&line);
                lines.push(Line::Whole(self.partial.split().freeze()));
            }
        }
        if let Some(skipped) = &mut self.skipping {
            skipped.extend(&piece);
        } else if self.partial.len() + piece.len() > self.longest {
            self.skip(&piece);
        } else {
            self.partial.extend_from_slice(&piece);
        }
        lines
    }

    fn skip(&mut self, piece: &[u8]) {
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(piece);
        let whole = whole.freeze();
        let mut skipped =
            Skipped { head: Bytes::copy_from_slice(whole.get(..KEPT).unwrap_or(&whole)), tail: Vec::new() };
        skipped.extend(whole.get(whole.len().saturating_sub(KEPT)..).unwrap_or_default());
        self.skipping = Some(skipped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_cut_the_lines_are_the_same() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\r\nlast\n";
        let whole = |lines: Vec<Line>| -> Vec<Vec<u8>> {
            lines
                .into_iter()
                .map(|line| match line {
                    Line::Whole(b) => b.to_vec(),
                    Line::TooLong(_) => panic!(),
                })
                .collect()
        };
        let expected = whole(Lines::new(100).push(Bytes::from_static(text)));
        assert_eq!(expected.len(), 4);
        for size in 1..text.len() {
            let mut lines = Lines::new(100);
            let found: Vec<_> =
                text.chunks(size).flat_map(|piece| lines.push(Bytes::copy_from_slice(piece))).collect();
            assert_eq!(whole(found), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_line_too_long_is_named_and_the_next_is_read() {
        for size in [1, 7, 600, 10_000] {
            let mut lines = Lines::new(1000);
            let text =
                format!("{{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":\"{}\"}}\nnext\n", "x".repeat(5000));
            let found: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|p| lines.push(Bytes::copy_from_slice(p))).collect();
            assert_eq!(found.len(), 2, "pieces of {size}");
            let Line::TooLong(skipped) = &found[0] else { panic!("too long") };
            assert_eq!(skipped.id(), Some(77));
            assert_eq!(found[1], Line::Whole(Bytes::from_static(b"next")));
        }
        let mut lines = Lines::new(10);
        let found = lines.push(Bytes::from(
            "{\"result\":{\"id\":1},\"x\":\"".to_owned() + &"y".repeat(2000) + "\",\"id\":9}\n",
        ));
        let Line::TooLong(skipped) = &found[0] else { panic!("too long") };
        assert!(skipped.id().is_some());
    }
}
