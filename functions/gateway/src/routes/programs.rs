//! The programs that a person let act for them, on the person's own page.

use maud::{Markup, html};
use schemas::ids::Timestamp;

use super::visible;
use crate::clients::COMMAND_LINE;
use crate::platform::{PlatformError, Rows};
use crate::store::authorizations::{Program, program};

/// The list, if there is anything in it. `ago` tells a time.
pub(super) fn list(
    rows: &Rows,
    token: &str,
    ago: impl Fn(Timestamp) -> String,
) -> Result<Markup, PlatformError> {
    let programs: Vec<Program> = rows.iter().map(program).collect::<Result<_, _>>()?;
    Ok(html! {
        @if !programs.is_empty() {
            h2 { "Programs that you let in" }
            ul.list {
                @for program in &programs {
                    li {
                        strong { (visible(title(program))) }
                        @match &program.agent {
                            Some(agent) => { " acts for you as " (agent) },
                            None => { " manages the organisation as you" },
                        }
                        br;
                        small { (how_far(&program.scopes)) " at " (visible(&program.audience)) ", let in " (ago(program.since)) }
                        form method="post" action="/account/let-out" {
                            input type="hidden" name="token" value=(token);
                            input type="hidden" name="client" value=(program.client);
                            input type="hidden" name="audience" value=(program.audience);
                            button { "Let out" }
                        }
                    }
                }
            }
        }
    })
}

fn title(program: &Program) -> &str {
    match &program.title {
        Some(title) => title,
        None if program.client == COMMAND_LINE => "Ambit command line",
        None => &program.client,
    }
}

fn how_far(scopes: &str) -> &'static str {
    if scopes.contains("mcp:write") {
        "may look and act"
    } else if scopes.contains("mcp:read") {
        "may look"
    } else {
        "as far as your roles go"
    }
}
