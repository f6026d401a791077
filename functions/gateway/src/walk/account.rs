//! Step 6: on whose account. Which account a call would use is found with its target; whether it may use it is a decision of its own; and
//! what it holds is read by the statement that puts the use on record.

use std::collections::BTreeSet;
use std::time::Duration;

use policies::{Denial, Permit};
use schemas::audit::Ended;
use schemas::decision::{Action, ConnectionFacts, ContextFacts, DecisionRequest, Principal, ResourceFacts};
use schemas::ids::ConnectionId;

use super::{Refusal, Visit};
use crate::audit::{self, About, Access, Intent};
use crate::broker::{self, Account, BrokerError, Standing};
use crate::platform::{Platform, PlatformError};
use crate::toolboxes::{ActsOn, Server, Tool};
use crate::upstream::Delivery;

/// An alarm: this does not happen by itself.
const MOVED: &str = "the sealed credential is not what was sealed for this account and version: its row was changed, moved or put back";

/// On whose account something goes out.
#[derive(Debug)]
pub(crate) enum Whose {
    /// The server acts on nobody's.
    Nobodys,
    /// On this one, which the policies let the agent use for this.
    Account(Box<Using>),
    /// There is none that would do, and the person behind the call can change that.
    ToConnect(Box<Lack>),
    /// The policies don't let it use the one there is, or any.
    Denied(Box<Denial>),
}

/// An account that may be used, for one thing.
#[derive(Debug)]
pub(crate) struct Using {
    permit: Permit,
    account: Account,
}

/// Why no account will do.
#[derive(Debug)]
pub(crate) struct Lack {
    pub(crate) why: Why,
    /// What is needed of one.
    pub(crate) scopes: BTreeSet<String>,
}

/// See [`Lack`].
#[derive(Debug)]
pub(crate) enum Why {
    /// None is connected.
    Missing,
    /// The one there was is over, for that reason.
    Ended(String),
    /// The one there is gave too little.
    Scopes(Box<Denial>),
    /// None is shared with an agent that acts for nobody.
    Nobody,
}

/// Something that is about to happen, on record.
#[derive(Debug)]
pub(crate) struct Recorded<P: Platform> {
    pub(crate) intent: Intent<P>,
    pub(crate) using: Option<Using>,
    /// What the server gets to act with.
    pub(crate) delivery: Option<Delivery>,
}

/// Why something does not happen after all.
#[derive(Debug)]
pub(crate) enum Unrecorded {
    Refusal(Refusal),
    /// The account turned out to be over.
    Ended(String),
    /// It can't be used at the moment.
    Unusable(BrokerError),
}

impl From<PlatformError> for Unrecorded {
    fn from(error: PlatformError) -> Self {
        Self::Refusal(error.into())
    }
}

impl<P: Platform> Visit<'_, P> {
    /// On whose account a tool of this server, or something else of it, is used.
    pub(crate) fn whose(&self, server: &Server, tool: Option<&Tool>) -> Whose {
        let Some(acts_on) = &server.acts_on else { return Whose::Nobodys };
        let of_tool = tool.into_iter().flat_map(|tool| &tool.scopes);
        let scopes: BTreeSet<String> = acts_on.scopes.iter().chain(of_tool).cloned().collect();
        let working = acts_on.account.as_ref().filter(|account| account.status == Standing::Active);
        // Nobody is asked to connect an account that may not be used then.
        let facts = match working {
            Some(account) => Some(account.facts(&self.toolbox.org, &acts_on.provider)),
            None => self.supposed(acts_on, &scopes),
        };
        let Some(facts) = facts else {
            return Whose::ToConnect(Box::new(Lack { why: Why::Nobody, scopes }));
        };
        let decision = self.decide(self.use_request(facts, server, tool));
        let ended = acts_on.account.as_ref().and_then(|account| account.reason.clone());
        match (decision, working) {
            (Ok(permit), Some(account)) => {
                Whose::Account(Box::new(Using { permit, account: account.clone() }))
            }
            (Ok(_only_supposed), None) => {
                let why = ended.map_or(Why::Missing, Why::Ended);
                Whose::ToConnect(Box::new(Lack { why, scopes }))
            }
            (Err(denial), Some(account)) if self.could_widen(account, &denial) => {
                Whose::ToConnect(Box::new(Lack { why: Why::Scopes(Box::new(denial)), scopes }))
            }
            (Err(denial), _) => Whose::Denied(Box::new(denial)),
        }
    }

    /// An account as the person behind the call could connect it; nothing if there is nobody.
    fn supposed(&self, acts_on: &ActsOn, scopes: &BTreeSet<String>) -> Option<ConnectionFacts> {
        let owner = self.caller.user.clone()?;
        Some(ConnectionFacts {
            id: ConnectionId::mint(self.platform.now(), [0; 10]),
            org: self.toolbox.org.clone(),
            owner,
            provider: acts_on.provider.clone(),
            status: schemas::decision::Status::Active,
            scopes: scopes.clone(),
            shared: false,
            team: None,
        })
    }

    /// Whether all that is missing are scopes, of an account that is the caller's own.
    fn could_widen(&self, account: &Account, denial: &Denial) -> bool {
        denial.obligations() == ["reconnect:scopes"]
            && self.caller.user_id.as_ref() == Some(&account.owner_id)
    }

    fn use_request(&self, facts: ConnectionFacts, server: &Server, tool: Option<&Tool>) -> DecisionRequest {
        let principal = self.principal([server].into_iter(), tool.map(|tool| (server, tool)).into_iter());
        let context = ContextFacts {
            server: Some(Box::new(server.facts(&self.toolbox))),
            tool: tool.map(|tool| Box::new(tool.facts(server, &self.toolbox))),
            ..self.context()
        };
        DecisionRequest {
            principal: Principal::Agent(principal),
            action: Action::UseConnection,
            resource: ResourceFacts::Connection(facts),
            context,
        }
    }

    /// Steps 5 and 6: the record of what is about to happen, and of the account that is used for it, durable before it does.
    pub(crate) async fn record_with(
        &self,
        about: &About,
        permit: &Permit,
        server: &Server,
        using: Option<Box<Using>>,
    ) -> Result<Recorded<P>, Unrecorded> {
        self.record_for(about, permit, (server, using), self.gateway.settings.call_limit).await
    }

    async fn record_for(
        &self,
        about: &About,
        permit: &Permit,
        (server, using): (&Server, Option<Box<Using>>),
        limit: Duration,
    ) -> Result<Recorded<P>, Unrecorded> {
        let platform = self.platform;
        let Some(mut using) = using.map(|using| *using) else {
            let intent = Intent::write(platform, about, permit, limit).await?;
            return Ok(Recorded { intent, using: None, delivery: None });
        };
        let Some(access) = Access::new(&using.permit, using.account.version) else {
            return Err(Unrecorded::Unusable(BrokerError::Unopened));
        };
        let (intent, sealed) = if using.account.is_usable(platform.now()) {
            Intent::write_with_access(platform, about, permit, limit, &access).await?
        } else {
            (Intent::write(platform, about, permit, limit).await?, None)
        };
        match self.take(about, &intent, server, &mut using, sealed).await {
            Ok(delivery) => Ok(Recorded { intent, using: Some(using), delivery: Some(delivery) }),
            Err(error) => {
                if let Some(conclusion) = intent.conclusion() {
                    conclusion.end(Ended::Failed);
                }
                if matches!(error, BrokerError::Unopened) {
                    audit::refuse(platform, about, MOVED).await?;
                }
                Err(match error {
                    BrokerError::Ended(reason) => Unrecorded::Ended(reason),
                    BrokerError::Platform(error) => error.into(),
                    error @ (BrokerError::Ours(_)
                    | BrokerError::Later(_)
                    | BrokerError::Lacks(_)
                    | BrokerError::NotTaken(_)
                    | BrokerError::Unopened
                    | BrokerError::Vault(_)) => Unrecorded::Unusable(error),
                })
            }
        }
    }

    /// The same, for what is one of many that are asked: without an account that will do, it is left out.
    pub(crate) async fn record_quietly(
        &self,
        about: &About,
        permit: &Permit,
        server: &Server,
        longest: Duration,
    ) -> Result<Option<Recorded<P>>, Refusal> {
        let using = match self.whose(server, None) {
            Whose::Nobodys => None,
            Whose::Account(using) => Some(using),
            Whose::ToConnect(_) | Whose::Denied(_) => return Ok(None),
        };
        match self.record_for(about, permit, (server, using), longest).await {
            Ok(recorded) => Ok(Some(recorded)),
            Err(Unrecorded::Refusal(refusal)) => Err(refusal),
            Err(Unrecorded::Ended(_)) => Ok(None),
            Err(Unrecorded::Unusable(error)) => {
                error.fault().log(&error.to_string());
                Ok(None)
            }
        }
    }

    /// Opens what was read; if nothing was, makes it good first.
    async fn take(
        &self,
        about: &About,
        intent: &Intent<P>,
        server: &Server,
        using: &mut Using,
        sealed: Option<String>,
    ) -> Result<Delivery, BrokerError> {
        let Some(acts_on) = &server.acts_on else { return Err(BrokerError::Unopened) };
        let Self { gateway, platform, .. } = self;
        let org = &self.toolbox.org.id;
        let sealed = match sealed {
            Some(sealed) => {
                if using.account.is_due(platform.now()) {
                    broker::refresh_later(gateway, *platform, &using.account, about);
                }
                sealed
            }
            // Its token is about to end, or somebody changed it since it was looked up.
            None => Box::pin(self.renewed(about, intent, using)).await?,
        };
        broker::open(gateway, *platform, org, acts_on, &using.account, &sealed).await
    }

    async fn renewed(
        &self,
        about: &About,
        intent: &Intent<P>,
        using: &mut Using,
    ) -> Result<String, BrokerError> {
        let (gateway, platform) = (self.gateway, self.platform);
        // Twice: somebody else may renew it between our look and our reading.
        for _ in 0..2 {
            using.account.version = broker::make_usable(gateway, platform, &using.account, about).await?;
            let access = Access::new(&using.permit, using.account.version).ok_or(BrokerError::Unopened)?;
            if let Some(sealed) = intent.access(platform, about, &access).await? {
                return Ok(sealed);
            }
        }
        Err(BrokerError::Later("the account is being changed".to_owned()))
    }

    /// The server refused the credential though it should be good: once, it is renewed whatever its time says.
    pub(crate) async fn replace(
        &self,
        about: &About,
        recorded: &mut Recorded<P>,
        server: &Server,
    ) -> Result<Delivery, BrokerError> {
        let (gateway, platform, org) = (self.gateway, self.platform, &self.toolbox.org.id);
        let (Some(using), Some(acts_on)) = (&mut recorded.using, &server.acts_on) else {
            return Err(BrokerError::Unopened);
        };
        using.account.version = broker::refused(gateway, platform, &using.account, about).await?;
        let access = Access::new(&using.permit, using.account.version).ok_or(BrokerError::Unopened)?;
        let sealed = recorded.intent.access(platform, about, &access).await?;
        let sealed = sealed.ok_or_else(|| BrokerError::Later("the account is being changed".to_owned()))?;
        broker::open(gateway, platform, org, acts_on, &using.account, &sealed).await
    }

    /// The account did not do even with a new credential: it is over until its owner connects it again.
    pub(crate) async fn give_up(
        &self,
        about: &About,
        using: &Using,
        reason: &str,
    ) -> Result<(), PlatformError> {
        broker::end(self.platform, &using.account, reason, about).await
    }
}
