//! Step 4 where the policies would allow a call if the person behind it approved of it. Before anybody is asked, the policies decide
//! as if there were an approval; before anything is called, they decide with the one that was just used up.

use policies::{Denial, Permit};
use schemas::decision::Approval;
use schemas::ids::{ApprovalId, EventId, Timestamp};

use super::{Refusal, Visit};
use crate::approvals::{Arguments, HOLDS, OBLIGATION, WAITS};
use crate::audit::{About, Step, deny_statement};
use crate::platform::{Batch, Platform, PlatformError};
use crate::store::approvals::{self as store, Bound, Standing, State, Used};
use crate::toolboxes::{Server, Tool};

/// A call of a tool, and what the trail says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToolCall<'a> {
    pub(crate) server: &'a Server,
    pub(crate) tool: &'a Tool,
    pub(crate) arguments: Option<&'a str>,
    pub(crate) about: &'a About,
}

/// What may become of a call.
#[derive(Debug)]
pub(crate) enum Prospect {
    /// The policies allow it.
    Permitted(Permit),
    /// They would, with the person's approval.
    Approvable(Denial),
    /// They don't, whatever anybody says.
    Denied(Denial),
}

/// One round of a call that an approval let pass: a server may ask for input, and be called again with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Round {
    pub(crate) approval: ApprovalId,
    pub(crate) number: i64,
}

/// What the client brought back of what it was given, in its sealed state.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Brought {
    /// Nothing about approvals.
    #[default]
    Nothing,
    /// It was told that this approval is needed.
    Question(ApprovalId),
    /// A server asked for input in this round.
    Round(Round),
}

/// What the client says became of our question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It says nothing, or that the person went to look.
    Open,
    /// The person does not want to be asked.
    Declined,
    /// The person closed the question.
    Cancelled,
}

/// What became of a call that needs an approval.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It was approved, and may go out once, with exactly these arguments.
    Approved { permit: Permit, round: Round, arguments: String },
    /// A person has to approve of it first.
    Ask(ApprovalId),
    /// It does not go on, and the agent may know why.
    Stopped(String),
    /// What the client brought back has done its work before, or its time is up.
    Spent,
}

const REFUSED: &str = "a person refused this call; don't repeat it";
const DECLINED: &str =
    "the person did not want to be asked about this call, so it was not made; don't repeat it";
const TOO_MANY: &str =
    "too many calls of this agent wait for a person's approval: have some of them decided first";
const CANCELLED: &str = "nobody approved this call, so it was not made";

impl<P: Platform> Visit<'_, P> {
    /// Whether it is worth asking the person: nobody is asked to approve what would be denied anyway.
    pub(crate) fn prospect(
        &self,
        decision: Result<Permit, Denial>,
        server: &Server,
        tool: &Tool,
        arguments: Option<&str>,
    ) -> Result<Prospect, Refusal> {
        let denial = match decision {
            Ok(permit) => return Ok(Prospect::Permitted(permit)),
            Err(denial) => denial,
        };
        let Some(supposed) = self.approval(self.platform.now()) else { return Ok(Prospect::Denied(denial)) };
        if denial.obligations() != [OBLIGATION] {
            return Ok(Prospect::Denied(denial));
        }
        Ok(match self.decide_tool(server, tool, arguments, Some(supposed))? {
            Ok(_only_supposed) => Prospect::Approvable(denial),
            Err(_) => Prospect::Denied(denial),
        })
    }

    /// The approval of the person behind this call, given then. Only theirs is taken.
    pub(super) fn approval(&self, at: Timestamp) -> Option<Approval> {
        self.caller.user.clone().map(|by| Approval { by, at })
    }

    /// Uses up the approval of a call, if there is one, and asks for one if there is none.
    pub(crate) async fn settle(
        &self,
        call: ToolCall<'_>,
        denial: Denial,
        brought: &Brought,
        reply: Reply,
    ) -> Result<Settled, Refusal> {
        let arguments = match Arguments::read(call.arguments) {
            Ok(arguments) => arguments,
            Err(error) => return self.stop(call.about, &denial, &error.to_string()).await,
        };
        let Some(user) = &self.caller.user else {
            return Err(self.deny_because(call.about, &denial, "nobody is there to ask").await?);
        };
        let bound = Bound {
            org: &self.toolbox.org.id,
            agent: &self.caller.agent_id,
            user: &user.name,
            toolbox: &self.toolbox.id,
            server: &call.server.id,
            tool: &call.tool.name,
            definition: &call.tool.definition_hash,
            arguments: &arguments.hash,
        };
        let settling = Settling { visit: self, call, arguments: &arguments, bound };
        match (brought, reply) {
            (Brought::Round(round), _) => settling.go_on(round, &denial).await,
            (_, Reply::Cancelled) => self.stop(call.about, &denial, CANCELLED).await,
            (Brought::Nothing, Reply::Declined) => self.stop(call.about, &denial, DECLINED).await,
            (Brought::Question(id), Reply::Declined) => settling.withdraw(id, &denial).await,
            (Brought::Nothing, Reply::Open) => settling.begin(None, &denial).await,
            (Brought::Question(id), Reply::Open) => settling.begin(Some(id), &denial).await,
        }
    }

    async fn stop(&self, about: &About, denial: &Denial, told: &str) -> Result<Settled, Refusal> {
        self.note_denial(about, denial, told).await?;
        Ok(Settled::Stopped(told.to_owned()))
    }

    async fn note_denial(
        &self,
        about: &About,
        denial: &Denial,
        reason: &str,
    ) -> Result<EventId, PlatformError> {
        let (event, line) = deny_statement(self.platform, about, denial, reason)?;
        self.platform.sql(Batch::write(vec![line])).await?;
        Ok(event)
    }

    /// Records what the policies refused, and why no more was asked; says it in the words for what is not there.
    pub(crate) async fn deny_because(
        &self,
        about: &About,
        denial: &Denial,
        reason: &str,
    ) -> Result<Refusal, Refusal> {
        let event = self.note_denial(about, denial, reason).await?;
        Ok(self.refusal(about, denial, event))
    }
}

/// A call that needs an approval, and what the approval must be bound to.
struct Settling<'a, 'g, P: Platform> {
    visit: &'a Visit<'g, P>,
    call: ToolCall<'a>,
    arguments: &'a Arguments,
    bound: Bound<'a>,
}

impl<P: Platform> Settling<'_, '_, P> {
    fn step(&self, action: &'static str, what: String) -> Result<Step, PlatformError> {
        let about = About { arguments: Some(self.arguments.hash.clone()), ..self.call.about.clone() };
        Step::new(self.visit.platform, &about, action, what)
    }

    /// The first round: an approval that holds is used up; else it depends on where the call stands.
    async fn begin(&self, named: Option<&ApprovalId>, denial: &Denial) -> Result<Settled, Refusal> {
        let step = self.step("approval.use", "the approval lets this one call pass".to_owned())?;
        let platform = self.visit.platform;
        match store::use_up(platform, &self.bound, named, &step.id, step.line).await? {
            (Some(used), _) => self.decide_again(used).await,
            // The state names an approval that did its work: whoever brings it again repeats an old message.
            (None, Some(Standing { state: State::Used, .. })) if named.is_some() => self.spent(denial).await,
            (None, Some(Standing { state: State::Refused, expires_at, .. }))
                if expires_at > platform.now() =>
            {
                self.visit.stop(self.call.about, denial, REFUSED).await
            }
            (None, _) => self.ask(denial).await,
        }
    }

    /// A later round of a call that was approved: each works once, and only while the approval holds.
    async fn go_on(&self, round: &Round, denial: &Denial) -> Result<Settled, Refusal> {
        let Round { approval, number } = round;
        let what = format!("{approval} lets round {} of its call pass", number.saturating_add(1));
        let step = self.step("approval.use", what)?;
        let used =
            store::use_again(self.visit.platform, &self.bound, (approval, *number), &step.id, step.line)
                .await?;
        match used {
            Some(used) => self.decide_again(used).await,
            None => self.spent(denial).await,
        }
    }

    /// The approval is used up, whatever comes now; only an allow goes on.
    async fn decide_again(&self, used: Used) -> Result<Settled, Refusal> {
        let ToolCall { server, tool, arguments: sent, .. } = self.call;
        let approval = self.visit.approval(used.decided_at);
        match self.visit.decide_tool(server, tool, sent, approval)? {
            Ok(permit) => Ok(Settled::Approved {
                permit,
                round: Round { approval: used.id, number: used.round },
                arguments: self.arguments.text.clone(),
            }),
            // The policies want a fresher one than this.
            Err(denial) if denial.obligations() == [OBLIGATION] => self.ask(&denial).await,
            Err(denial) => {
                let reason = "an approval was not enough";
                Err(self.visit.deny_because(self.call.about, &denial, reason).await?)
            }
        }
    }

    async fn ask(&self, denial: &Denial) -> Result<Settled, Refusal> {
        let Visit { gateway, platform, toolbox, .. } = self.visit;
        let sealed = match self.arguments.seal(*platform, &gateway.vault, &toolbox.org.id) {
            Ok(sealed) => sealed,
            Err(error) => return self.visit.stop(self.call.about, denial, &error.to_string()).await,
        };
        let now = platform.now();
        let mut random = [0; 10];
        platform.fill_random(&mut random);
        let id = ApprovalId::mint(now, random);
        let step =
            self.step("approval.request", format!("{id}: a person is asked to approve of this call"))?;
        let (_, refused) =
            deny_statement(*platform, self.call.about, denial, "the call waits for an approval")?;
        let asked = store::ask(&self.bound, &id, sealed, (now, now.plus(WAITS)), &step.id);
        let results = platform.sql(Batch::write(vec![asked, step.line, refused])).await?;
        Ok(match store::asked(&results)? {
            Some(id) => Settled::Ask(id),
            None => Settled::Stopped(TOO_MANY.to_owned()),
        })
    }

    async fn withdraw(&self, id: &ApprovalId, denial: &Denial) -> Result<Settled, Refusal> {
        let platform = self.visit.platform;
        let step = self.step("approval.refuse", format!("{id}: declined in the client"))?;
        let now = platform.now();
        let (_, line) = deny_statement(platform, self.call.about, denial, DECLINED)?;
        let withdraw = store::withdraw(&self.bound, id, (now, now.plus(HOLDS)), &step.id);
        platform.sql(Batch::write(vec![withdraw, step.line, line])).await?;
        Ok(Settled::Stopped(DECLINED.to_owned()))
    }

    async fn spent(&self, denial: &Denial) -> Result<Settled, Refusal> {
        self.visit.note_denial(self.call.about, denial, "a state was brought back that is used up").await?;
        Ok(Settled::Spent)
    }
}
