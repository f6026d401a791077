//! On whose account, as the client sees it: a call that lacks an account is answered with the way to connect one, in whatever way the
//! client has for that, and succeeds when it is made again (MCP 2026-07-28, URL elicitation: third-party authorization).

use std::borrow::Cow;
use std::time::Duration;

use http::Response;

use super::asking::{self, Client, Link, respond};
use super::error::{INTERNAL, RpcError};
use super::message::{Call, shorten};
use super::{Failure, state};
use crate::audit::{self, About, deny_statement};
use crate::body::Body;
use crate::broker::provider::profile::Profile;
use crate::broker::provider::title;
use crate::broker::ticket::{self, Aim, Asking, Wanted};
use crate::json::Object;
use crate::platform::{Batch, Platform};
use crate::protocol::Era;
use crate::store::connections;
use crate::toolboxes::{ActsOn, Server, Tool};
use crate::walk::{Brought, Lack, Reply, Unrecorded, Using, Visit, Whose, Why};

/// A client that says "accept" says that its person went to look, not that they are done: their way there and back is waited for this
/// long, so that a client that asks again at once need not do so often.
const PATIENCE: u32 = 10;
const LOOK: Duration = Duration::from_secs(1);

const DECLINED: &str =
    "the person did not want to connect an account, so the call was not made; don't repeat it";

/// What comes of looking for an account.
pub(super) enum Step<S> {
    /// It goes on, on this account or on nobody's.
    Go(Option<Box<Using>>),
    /// It is answered with this.
    Answer(Response<Body<S>>),
}

/// A call, as far as an account is looked for, and its answer if there is none.
pub(super) struct Seeking<'a, 'g, P: Platform> {
    pub(super) visit: &'a Visit<'g, P>,
    pub(super) call: &'a Call<'a>,
    /// Without our own answers.
    pub(super) params: &'a Object<'a>,
    pub(super) about: &'a About,
    pub(super) tool: Option<&'a Tool>,
    pub(super) binding: &'a [u8],
}

impl<P: Platform> Seeking<'_, '_, P> {
    /// Looks for an account to call this server on.
    pub(super) async fn seek(
        &self,
        server: &mut Server,
        reply: Option<Reply>,
    ) -> Result<Step<P::Stream>, Failure> {
        match self.visit.whose(server, self.tool) {
            Whose::Nobodys => Ok(Step::Go(None)),
            Whose::Account(using) => Ok(Step::Go(Some(using))),
            // On the heap, as it is seldom needed.
            whose @ (Whose::ToConnect(_) | Whose::Denied(_)) => {
                Box::pin(self.without(server, whose, reply)).await
            }
        }
    }

    /// There is none, yet.
    async fn without(
        &self,
        server: &mut Server,
        mut whose: Whose,
        reply: Option<Reply>,
    ) -> Result<Step<P::Stream>, Failure> {
        if reply == Some(Reply::Open) {
            for _ in 0..PATIENCE {
                if !matches!(whose, Whose::ToConnect(_)) {
                    break;
                }
                self.visit.platform.sleep(LOOK).await;
                self.look_again(server).await?;
                whose = self.visit.whose(server, self.tool);
            }
        }
        match whose {
            Whose::Nobodys => Ok(Step::Go(None)),
            Whose::Account(using) => Ok(Step::Go(Some(using))),
            Whose::Denied(denial) => Err(self.visit.deny(self.about, &denial).await?.into()),
            Whose::ToConnect(_) if matches!(reply, Some(Reply::Declined | Reply::Cancelled)) => {
                audit::refuse(self.visit.platform, self.about, DECLINED).await?;
                Ok(Step::Answer(self.tell(DECLINED)))
            }
            Whose::ToConnect(lack) => self.ask(server, &lack).await.map(Step::Answer),
        }
    }

    /// What the person connected since it was looked up.
    async fn look_again(&self, server: &mut Server) -> Result<(), Failure> {
        if let (Some(user), Some(acts_on)) = (&self.visit.caller.user_id, &mut server.acts_on)
            && let Some(account) =
                connections::personal(self.visit.platform, user, &acts_on.provider_id).await?
        {
            acts_on.account = Some(account);
        }
        Ok(())
    }

    /// Sends the person to where an account is connected.
    pub(super) async fn ask(
        &self,
        server: &Server,
        lack: &Lack,
    ) -> Result<Response<Body<P::Stream>>, Failure> {
        let Visit { gateway, platform, caller, toolbox, .. } = self.visit;
        let Some(acts_on) = &server.acts_on else { return Ok(self.tell("this server acts on no accounts")) };
        let name = title_of(acts_on);
        let Some(user) = caller.user_id.as_ref().filter(|_| !matches!(lack.why, Why::Nobody)) else {
            let why = format!(
                "no {name} account is shared with this agent, and it acts for nobody who could connect one: share one with its team or \
                 its organisation at {}/account/connections",
                gateway.settings.public_url
            );
            audit::refuse(*platform, self.about, &why).await?;
            return Ok(self.tell(&why));
        };
        let asking = Asking {
            agent: &caller.agent_id,
            server: &server.id,
            tool: self.tool.map_or("", |tool| tool.name.as_str()),
        };
        let wanted = Wanted {
            org: &toolbox.org.id,
            user,
            provider: &acts_on.provider_id,
            asking: Some(asking),
            scopes: &lack.scopes,
            aim: Aim::default(),
        };
        let (url, ticket) = ticket::ask(gateway, *platform, &wanted);
        let line = match &lack.why {
            Why::Scopes(denial) => {
                deny_statement(*platform, self.about, denial, "the person is asked to let it do more")?.1
            }
            Why::Missing | Why::Nobody => {
                audit::refuse_statement(*platform, self.about, "the person is asked to connect an account")?
            }
            Why::Ended(reason) => {
                let what = format!("the person is asked to connect the account again: {reason}");
                audit::refuse_statement(*platform, self.about, &what)?
            }
        };
        platform.sql(Batch::write(vec![ticket, line])).await?;
        let subject = self.subject(server);
        let message = match lack.why {
            Why::Scopes(_) => format!(
                "{subject} needs to do more with your {name} account than you let it do: connect it again"
            ),
            Why::Ended(_) => format!("your {name} account has to be connected again to use {subject}"),
            Why::Missing | Why::Nobody => format!("connect your {name} account to use {subject}"),
        };
        self.send_to(url, message)
    }

    fn send_to(&self, url: String, message: String) -> Result<Response<Body<P::Stream>>, Failure> {
        let Self { visit, call, params, binding, .. } = self;
        let id = url.rsplit('/').next().unwrap_or_default();
        let key = if call.era == Era::Modern { asking::CONNECT.to_owned() } else { id.to_owned() };
        // What a server gave to be carried stays in the state.
        let inner = params.text("requestState").map(Cow::into_owned);
        let state = state::seal(visit.platform, &visit.gateway.vault, binding, inner, Brought::Nothing);
        let state = state.ok_or_else(|| RpcError::new(INTERNAL, "the state of the call can't be sealed"))?;
        Ok(respond(Client::of(call).ask(&[Link { key, url, message }], Some(&state))))
    }

    /// What the call is about, as its caller names it.
    fn subject(&self, server: &Server) -> String {
        match self.about.subject.as_ref().and_then(|subject| subject.name.as_deref()) {
            Some(name) => format!("`{}`", shorten(name)),
            None => format!("server `{}`", server.name),
        }
    }

    /// Why it was not put on record as it should: the account is over, or out of reach.
    pub(super) async fn unrecorded(
        &self,
        server: &Server,
        unrecorded: Unrecorded,
    ) -> Result<Response<Body<P::Stream>>, Failure> {
        match unrecorded {
            Unrecorded::Refusal(refusal) => Err(refusal.into()),
            Unrecorded::Ended(reason) => {
                let scopes =
                    server.acts_on.as_ref().map(|acts_on| acts_on.scopes.clone()).unwrap_or_default();
                let of_tool = self.tool.into_iter().flat_map(|tool| tool.scopes.iter().cloned());
                let lack =
                    Lack { why: Why::Ended(reason), scopes: scopes.into_iter().chain(of_tool).collect() };
                self.ask(server, &lack).await
            }
            Unrecorded::Unusable(error) => {
                error.fault().log(&error.to_string());
                Ok(self.tell(&error.told()))
            }
        }
    }

    fn tell(&self, why: &str) -> Response<Body<P::Stream>> {
        respond(Client::of(self.call).tell(why))
    }
}

/// What people call the provider.
fn title_of(acts_on: &ActsOn) -> String {
    match Profile::find(&acts_on.kind) {
        Some(profile) => title(profile, &acts_on.provider),
        None => acts_on.provider.to_string(),
    }
}
