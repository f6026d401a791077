//! What is printed: a header per stage, what its commands say, and a summary at the end.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// How a stage ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stage: &'static str,
    pub(crate) time: Duration,
    pub(crate) failure: Option<String>,
}

/// Everything said so far that matters at the end.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    colour: bool,
    outcomes: Vec<Outcome>,
    tests: Vec<String>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let colour = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none()
            && std::env::var_os("CI").is_none();
        Self { json, colour, outcomes: Vec::new(), tests: Vec::new() }
    }

    /// Prints a line: to standard output, or to standard error when that is kept for JSON.
    pub(crate) fn say(&self, line: &str) {
        let _ = if self.json { writeln!(io::stderr(), "{line}") } else { writeln!(io::stdout(), "{line}") };
    }

    fn strong(&self, colour: u8, text: &str) -> String {
        if self.colour { format!("\u{1b}[1;{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn start(&self, stage: &str, about: &str) {
        self.say(&self.strong(36, &format!("== {stage}: {about}")));
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.say(&self.line(&outcome));
        self.outcomes.push(outcome);
    }

    /// A summary line of `cargo test`, repeated at the very end.
    pub(crate) fn test(&mut self, line: String) {
        self.tests.push(line);
    }

    fn line(&self, outcome: &Outcome) -> String {
        let Outcome { stage, time, failure } = outcome;
        let seconds = time.as_secs_f64();
        match failure {
            None => self.strong(32, &format!("== {stage}: ok ({seconds:.1} s)")),
            Some(reason) => self.strong(31, &format!("== {stage}: FAILED ({seconds:.1} s): {reason}")),
        }
    }

    /// Prints the summary, and says whether all is well.
    pub(crate) fn finish(&self) -> bool {
        let good = self.outcomes.iter().all(|outcome| outcome.failure.is_none());
        self.say("");
        for outcome in &self.outcomes {
            self.say(&self.line(outcome));
        }
        for line in self.tests.iter().filter(|line| !line.contains("ok. 0 passed")) {
            self.say(line);
        }
        if !self.tests.is_empty() {
            self.say(&format!("tests: {} passed, {} failed", self.count("passed"), self.count("failed")));
        }
        if self.json {
            let _ = writeln!(io::stdout(), "{}", self.json(good));
        }
        good
    }

    /// Tests of all suites that ended so, from cargo's `12 passed; 0 failed`.
    fn count(&self, word: &str) -> usize {
        let ends_so =
            |part: &str| part.trim().strip_suffix(word)?.trim().rsplit(' ').next()?.parse::<usize>().ok();
        self.tests.iter().flat_map(|line| line.split(';')).filter_map(ends_so).sum()
    }

    fn json(&self, good: bool) -> String {
        let mut json = format!("{{\"ok\":{good},\"stages\":[");
        for (index, Outcome { stage, time, failure }) in self.outcomes.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let failure = failure.as_deref().map_or("null".to_owned(), quoted);
            let (stage, seconds) = (quoted(stage), time.as_secs_f64());
            let ok = failure == "null";
            let _ = write!(
                json,
                "{comma}{{\"stage\":{stage},\"ok\":{ok},\"seconds\":{seconds:.3},\"failure\":{failure}}}"
            );
        }
        let tests: Vec<String> = self.tests.iter().map(|line| quoted(line)).collect();
        let _ = write!(json, "],\"tests\":[{}]}}", tests.join(","));
        json
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_add_up() {
        let mut report = Report::new(true);
        report.test("a: test result: ok. 12 passed; 0 failed; 0 ignored".to_owned());
        report.test("b: test result: FAILED. 3 passed; 2 failed; 0 ignored".to_owned());
        assert_eq!((report.count("passed"), report.count("failed")), (15, 2));
    }

    #[test]
    fn json_of_a_run() {
        let mut report = Report::new(true);
        report.end(Outcome { stage: "fmt", time: Duration::from_millis(1_500), failure: None });
        report.end(Outcome { stage: "test", time: Duration::ZERO, failure: Some("say \"no\"\n".to_owned()) });
        report.test("test result: ok".to_owned());
        assert_eq!(
            report.json(false),
            "{\"ok\":false,\"stages\":[{\"stage\":\"fmt\",\"ok\":true,\"seconds\":1.500,\"failure\":null},\
             {\"stage\":\"test\",\"ok\":false,\"seconds\":0.000,\"failure\":\"say \\\"no\\\"\\u000a\"}],\
             \"tests\":[\"test result: ok\"]}"
        );
    }
}
