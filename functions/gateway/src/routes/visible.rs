//! Text of strangers, as pages show it.

use std::fmt::Write as _;

/// Text as it is, but what would hide or turn around its neighbours is spelt out, as JSON may spell it too.
pub(crate) fn visible(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
                | '\u{feff}' | '\u{ffa0}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_would_deceive_the_reader_is_spelt_out() {
        assert_eq!(visible("{\"to\":\"ann\u{202e}moc.live\"}"), "{\"to\":\"ann\\u202emoc.live\"}");
        assert_eq!(visible("a\u{e0041}b"), "a\\udb40\\udc41b");
        assert_eq!(visible("grüße 漢字 🙂"), "grüße 漢字 🙂");
    }
}
