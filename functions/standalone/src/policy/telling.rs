//! How findings and decisions are shown: to people with a terminal, to people without one, and to programs.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use crate::operate::Failure;
pub(crate) use crate::telling::{count, json, say, time};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use policies::SourceFile;
use policies::check::{Finding, Severity};

/// Findings as a compiler shows them.
pub(crate) fn findings(dir: &Path, files: &[SourceFile], findings: &[Finding]) -> Result<(), Failure> {
    let theme = match (io::stdout().is_terminal(), std::env::var_os("NO_COLOR")) {
        (true, None) => GraphicalTheme::unicode(),
        (true, Some(_)) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::none(),
    };
    let graphical = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false);
    for finding in findings {
        let file = files.iter().find(|file| file.name == finding.problem.file);
        let mut text = String::new();
        graphical.render_report(&mut text, &Shown::new(dir, finding, file))?;
        say(text.trim_end())?;
        say("")?;
    }
    Ok(())
}

/// A finding beside the text that it is about.
#[derive(Debug)]
struct Shown {
    title: String,
    help: Option<String>,
    severity: Severity,
    rule: &'static str,
    source: NamedSource<String>,
    place: (usize, usize),
}

impl Shown {
    fn new(dir: &Path, finding: &Finding, file: Option<&SourceFile>) -> Self {
        let problem = &finding.problem;
        let (title, help) = match problem.message.split_once("; ") {
            Some((title, help)) => (title.to_owned(), Some(help.to_owned())),
            None => (problem.message.clone(), None),
        };
        let text = file.map(|file| file.text.clone()).unwrap_or_default();
        let name = dir.join(&problem.file).display().to_string();
        let place = place(&text, problem);
        Self {
            title,
            help,
            severity: finding.severity,
            rule: finding.rule,
            source: NamedSource::new(name, text),
            place,
        }
    }
}

/// The bytes that a problem is about.
fn place(text: &str, problem: &policies::Problem) -> (usize, usize) {
    let before: usize = text.split_inclusive('\n').take(problem.line - 1).map(str::len).sum();
    let line = text.get(before..).unwrap_or_default();
    let bytes = |characters: usize| line.chars().take(characters).map(char::len_utf8).sum::<usize>();
    let (start, end) = (bytes(problem.column - 1), bytes(problem.column - 1 + problem.length));
    (before + start, end - start)
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        Some(Box::new(format!("{severity}[{}]", self.rule)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (start, length) = self.place;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, start, length))))
    }
}
