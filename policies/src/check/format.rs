//! Layout, by Cedar's own formatter.

use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::{Finding, Severity};
use crate::problem::Problem;
use crate::source::SourceFile;

/// The same policies as the formatter lays them out. A file that starts with `// @formatter:off` stays as it is.
///
/// # Errors
/// The file does not parse, or the formatter cannot keep its meaning.
pub fn formatted(text: &str) -> Result<String, String> {
    let parsed: cedar_policy::PolicySet =
        text.parse().map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
    if text.trim_start().starts_with("// @formatter:off") || parsed.is_empty() {
        return Ok(text.to_owned());
    }
    policies_str_to_pretty(text, &Config::default()).map_err(|error| error.to_string())
}

pub(super) fn finding(file: &SourceFile) -> Option<Finding> {
    let pretty = match formatted(&file.text) {
        Ok(pretty) if pretty == file.text => return None,
        Ok(pretty) => pretty,
        Err(reason) => {
            let message = format!(
                "this file cannot be formatted: {reason}; `// @formatter:off` as its first line leaves it as it is"
            );
            return Some(Finding {
                severity: Severity::Error,
                rule: "format",
                problem: Problem::at(file, 0..0, message),
            });
        }
    };
    let same: usize = file
        .text
        .lines()
        .zip(pretty.lines())
        .take_while(|(is, should)| is == should)
        .map(|(line, _)| line.len() + 1)
        .sum();
    let line = file.text.get(same..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    let message = "from here on, the layout is not the formatter's; `ambit policy check --fix` puts it right"
        .to_owned();
    let problem = Problem::at(file, same.min(file.text.len())..same + line, message);
    Some(Finding { severity: Severity::Error, rule: "format", problem })
}
