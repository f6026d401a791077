//! Approvals: one row for one exact call, changed by swaps only. Each step goes into one batch with its line of the audit trail, which
//! is written only if the step was taken (`event_id`).

use schemas::ids::{AgentId, ApprovalId, EventId, OrgId, ServerId, Sha256Hex, Timestamp, ToolboxId};
use schemas::names::{AgentName, OrgName, ServerName, ToolboxName, UserName};

use crate::platform::{Batch, Platform, PlatformError, Row, Rows, Statement, Value};

/// What an approval is good for. Another value in any of these is another call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) org: &'a OrgId,
    pub(crate) agent: &'a AgentId,
    pub(crate) user: &'a UserName,
    pub(crate) toolbox: &'a ToolboxId,
    pub(crate) server: &'a ServerId,
    pub(crate) tool: &'a str,
    pub(crate) definition: &'a Sha256Hex,
    pub(crate) arguments: &'a Sha256Hex,
}

impl Bound<'_> {
    /// `?1` to `?8`.
    fn keys(&self) -> Vec<Value> {
        vec![
            self.org.as_str().into(),
            self.agent.as_str().into(),
            self.user.as_str().into(),
            self.toolbox.as_str().into(),
            self.server.as_str().into(),
            self.tool.into(),
            self.definition.as_str().into(),
            self.arguments.as_str().into(),
        ]
    }

    fn and<const N: usize>(&self, more: [Value; N]) -> Vec<Value> {
        let mut keys = self.keys();
        keys.extend(more);
        keys
    }
}

/// Whether a row is about the call of `?1` to `?8`.
macro_rules! call {
    () => {
        "agent_id = ?2 AND user_id = (SELECT id FROM users WHERE org_id = ?1 AND name = ?3) AND arguments_hash = ?8 \
         AND tool = ?6 AND server_id = ?5 AND toolbox_id = ?4 AND definition_hash = ?7 AND org_id = ?1"
    };
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nobody has decided yet.
    Pending,
    /// A person said yes; it has not been used.
    Approved,
    /// A person said no.
    Refused,
    /// It let its call pass.
    Used,
}

impl State {
    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
        }
    }

    /// The state of that name.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Refused, Self::Used]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// An approval that was just used, for one round of its call.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) id: ApprovalId,
    pub(crate) round: i64,
    pub(crate) decided_at: Timestamp,
}

/// The state of the youngest approval of a call.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) expires_at: Timestamp,
}

/// Uses up the approval of a call, once: the one named, or else any that holds. If none does, answers where the call stands.
pub(crate) async fn use_up(
    platform: &impl Platform,
    bound: &Bound<'_>,
    named: Option<&ApprovalId>,
    event: &EventId,
    line: Statement,
) -> Result<(Option<Used>, Option<Standing>), PlatformError> {
    const USE: &str = concat!(
        "UPDATE approvals SET state = 'used', used_at = ?9, round = 1, arguments = '', event_id = ?10 \
         WHERE id = COALESCE(?11, (SELECT id FROM approvals WHERE ",
        call!(),
        " AND state = 'approved' AND expires_at > ?9 ORDER BY id LIMIT 1)) AND ",
        call!(),
        " AND state = 'approved' AND expires_at > ?9 RETURNING id, round, decided_at"
    );
    const STANDING: &str = concat!(
        "SELECT state, expires_at FROM approvals WHERE ",
        call!(),
        " AND (?9 IS NULL OR id = ?9) ORDER BY id DESC LIMIT 1"
    );
    let named = Value::from(named.map(ApprovalId::as_str));
    let now = platform.now().0.into();
    let statements = vec![
        Statement::new(USE, bound.and([now, event.as_str().into(), named.clone()])),
        line,
        Statement::new(STANDING, bound.and([named])),
    ];
    let results = platform.sql(Batch::write(statements)).await?;
    let standing = super::first(&results, 2).map(standing).transpose()?;
    Ok((super::first(&results, 0).map(used).transpose()?, standing))
}

/// Uses an approval for the next round of the call it let pass, once, while it holds.
pub(crate) async fn use_again(
    platform: &impl Platform,
    bound: &Bound<'_>,
    (id, round): (&ApprovalId, i64),
    event: &EventId,
    line: Statement,
) -> Result<Option<Used>, PlatformError> {
    const AGAIN: &str = concat!(
        "UPDATE approvals SET round = round + 1, event_id = ?9 WHERE id = ?10 AND ",
        call!(),
        " AND state = 'used' AND round = ?11 AND expires_at > ?12 RETURNING id, round, decided_at"
    );
    let keys = bound.and([event.as_str().into(), id.as_str().into(), round.into(), platform.now().0.into()]);
    let results = platform.sql(Batch::write([Statement::new(AGAIN, keys), line])).await?;
    super::first(&results, 0).map(used).transpose()
}

fn used(row: &Row) -> Result<Used, PlatformError> {
    Ok(Used { id: row.parse(0)?, round: row.integer(1)?, decided_at: Timestamp(row.integer(2)?) })
}

fn standing(row: &Row) -> Result<Standing, PlatformError> {
    Ok(Standing { state: super::word(row, 0)?, expires_at: Timestamp(row.integer(1)?) })
}

/// Questions of one agent that may wait at a time: people who are asked without end stop reading.
const WAITING: i64 = 50;

/// The statement that asks for an approval of a call, or goes on asking. Its row is the id of the one that waits; none, if too many do.
pub(crate) fn ask(
    bound: &Bound<'_>,
    id: &ApprovalId,
    sealed: String,
    (now, expires_at): (Timestamp, Timestamp),
    event: &EventId,
) -> Statement {
    Statement::new(
        "INSERT INTO approvals (id, org_id, agent_id, user_id, toolbox_id, server_id, tool, definition_hash, arguments_hash, \
         arguments, requested_at, expires_at, event_id) \
         SELECT ?9, ?1, ?2, (SELECT id FROM users WHERE org_id = ?1 AND name = ?3), ?4, ?5, ?6, ?7, ?8, ?10, ?11, ?12, ?13 \
         WHERE (SELECT COUNT(*) FROM approvals WHERE agent_id = ?2 AND state = 'pending' AND expires_at > ?11) < ?14 \
         ON CONFLICT (agent_id, user_id, arguments_hash, tool, server_id, toolbox_id, definition_hash) WHERE state = 'pending' \
         DO UPDATE SET expires_at = excluded.expires_at, arguments = excluded.arguments RETURNING id",
        bound.and([
            id.as_str().into(),
            sealed.into(),
            now.0.into(),
            expires_at.0.into(),
            event.as_str().into(),
            WAITING.into(),
        ]),
    )
}

/// Reads the answer to [`ask`].
pub(crate) fn asked(results: &[Rows]) -> Result<Option<ApprovalId>, PlatformError> {
    super::first(results, 0).map(|row| row.parse(0)).transpose()
}

/// The statement that takes a question back, because the person did not want to be asked: that is a refusal.
pub(crate) fn withdraw(
    bound: &Bound<'_>,
    id: &ApprovalId,
    (now, expires_at): (Timestamp, Timestamp),
    event: &EventId,
) -> Statement {
    const WITHDRAW: &str = concat!(
        "UPDATE approvals SET state = 'refused', decided_at = ?9, decided_by = user_id, expires_at = ?10, arguments = '', \
         event_id = ?11 WHERE id = ?12 AND ",
        call!(),
        " AND state IN ('pending', 'approved')"
    );
    let keys = [now.0.into(), expires_at.0.into(), event.as_str().into(), id.as_str().into()];
    Statement::new(WITHDRAW, bound.and(keys))
}

/// The statement that decides what waits. It has a row if it was this decision that counted.
pub(crate) fn decide(
    approval: &Approval,
    state: State,
    (now, expires_at): (Timestamp, Timestamp),
    event: &EventId,
) -> Statement {
    Statement::new(
        "UPDATE approvals SET state = ?3, decided_at = ?4, decided_by = user_id, expires_at = ?5, event_id = ?6 \
         WHERE org_id = ?1 AND id = ?2 AND state = 'pending' AND expires_at > ?4 RETURNING id",
        [
            approval.org.as_str().into(),
            approval.id.as_str().into(),
            state.as_str().into(),
            now.0.into(),
            expires_at.0.into(),
            event.as_str().into(),
        ],
    )
}

/// Empties the arguments of what can't be approved or used any more.
pub(crate) async fn forget(platform: &impl Platform) -> Result<(), PlatformError> {
    let statement = Statement::new(
        "UPDATE approvals SET arguments = '' WHERE expires_at <= ?1 AND arguments <> ''",
        [platform.now().0.into()],
    );
    platform.sql(Batch::write_soon([statement])).await.map(drop)
}

/// An approval as a person sees it.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub(crate) id: ApprovalId,
    pub(crate) org: OrgId,
    pub(crate) org_name: OrgName,
    pub(crate) agent: AgentName,
    pub(crate) user: UserName,
    pub(crate) toolbox: ToolboxName,
    pub(crate) server: ServerName,
    pub(crate) tool: String,
    pub(crate) definition_hash: Sha256Hex,
    pub(crate) arguments_hash: Sha256Hex,
    /// The arguments, sealed, or empty.
    pub(crate) sealed: String,
    pub(crate) state: State,
    pub(crate) requested_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) decided_at: Option<Timestamp>,
    pub(crate) decided_by: Option<UserName>,
    pub(crate) used_at: Option<Timestamp>,
    /// The tool's definition, if it is still the one the call was about.
    pub(crate) definition: Option<String>,
}

macro_rules! approvals {
    () => {
        "SELECT a.id, a.org_id, o.name, g.name, u.name, t.name, s.name, a.tool, a.definition_hash, a.arguments_hash, a.arguments, \
         a.state, a.requested_at, a.expires_at, a.decided_at, d.name, a.used_at, x.definition \
         FROM approvals a JOIN orgs o ON o.id = a.org_id JOIN agents g ON g.id = a.agent_id JOIN users u ON u.id = a.user_id \
         JOIN toolboxes t ON t.id = a.toolbox_id JOIN servers s ON s.id = a.server_id LEFT JOIN users d ON d.id = a.decided_by \
         LEFT JOIN tools x ON x.server_id = a.server_id AND x.name = a.tool AND x.definition_hash = a.definition_hash \
         AND x.state = 'approved'"
    };
}

/// The approval of that id.
pub(crate) async fn find(
    platform: &impl Platform,
    id: &ApprovalId,
) -> Result<Option<Approval>, PlatformError> {
    const ONE: &str = concat!(approvals!(), " WHERE a.id = ?1");
    let results = platform.sql(Batch::read([Statement::new(ONE, [id.as_str().into()])])).await?;
    super::first(&results, 0).map(read).transpose()
}

/// Which approvals are wanted; what is not said is no limit.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) state: Option<State>,
    pub(crate) agent: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    /// Only those for this person, who sees no others.
    pub(crate) own: Option<&'a str>,
}

/// Approvals of an organisation before one, or of all, youngest first; those that wait only while they may be decided.
pub(crate) async fn list(
    platform: &impl Platform,
    org: &OrgId,
    wanted: &Wanted<'_>,
    (before, limit): (&str, i64),
) -> Result<Vec<Approval>, PlatformError> {
    const ALL: &str = concat!(
        approvals!(),
        " WHERE a.org_id = ?1 AND (?2 IS NULL OR (a.state = ?2 AND (?2 <> 'pending' OR a.expires_at > ?3))) \
         AND (?5 = '' OR a.id < ?5) \
         AND (?6 IS NULL OR a.agent_id = (SELECT x.id FROM agents x WHERE x.org_id = ?1 AND x.name = ?6)) \
         AND (?7 IS NULL OR a.user_id = (SELECT x.id FROM users x WHERE x.org_id = ?1 AND x.name = ?7)) \
         AND (?8 IS NULL OR a.user_id = (SELECT x.id FROM users x WHERE x.org_id = ?1 AND x.name = ?8)) \
         ORDER BY a.id DESC LIMIT ?4"
    );
    let keys: [Value; 8] = [
        org.as_str().into(),
        Value::from(wanted.state.map(State::as_str)),
        platform.now().0.into(),
        limit.into(),
        before.into(),
        wanted.agent.into(),
        wanted.user.into(),
        wanted.own.into(),
    ];
    let results = platform.sql(Batch::read([Statement::new(ALL, keys)])).await?;
    results.iter().flatten().map(read).collect()
}

fn read(row: &Row) -> Result<Approval, PlatformError> {
    Ok(Approval {
        id: row.parse(0)?,
        org: row.parse(1)?,
        org_name: row.parse(2)?,
        agent: row.parse(3)?,
        user: row.parse(4)?,
        toolbox: row.parse(5)?,
        server: row.parse(6)?,
        tool: row.text(7)?.to_owned(),
        definition_hash: row.parse(8)?,
        arguments_hash: row.parse(9)?,
        sealed: row.text(10)?.to_owned(),
        state: super::word(row, 11)?,
        requested_at: Timestamp(row.integer(12)?),
        expires_at: Timestamp(row.integer(13)?),
        decided_at: row.maybe_integer(14)?.map(Timestamp),
        decided_by: if row.maybe_text(15)?.is_some() { Some(row.parse(15)?) } else { None },
        used_at: row.maybe_integer(16)?.map(Timestamp),
        definition: row.maybe_text(17)?.map(str::to_owned),
    })
}
