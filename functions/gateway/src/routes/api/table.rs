//! Every operation of the API, as data: its address, and what the policies are asked before it does anything. Who may do that stands
//! in `policies/roles.cedar` and in the organisation's own policies, never here.

use http::Method;
use percent_encoding::percent_decode_str;
use schemas::decision::Action;
use schemas::decision::Action::{Administer, ApproveTool, Deploy, PublishPolicy, ReadAudit, ReadPolicy};

use super::problem::ApiError;

/// What must hold before an operation does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Only the operator of the deployment asks for it.
    Operator,
    /// Whoever proves who they are: each thing behind the address is decided on its own, or is about the asker.
    Anybody,
    /// The policies allow this on the organisation.
    Org(Action),
    /// The policies allow this on the toolbox in the address.
    Toolbox(Action),
}

use Demand::{Anybody, Operator, Org, Toolbox};

macro_rules! operations {
    ($($operation:ident: $method:ident $path:literal => $demand:expr;)*) => {
        /// What the management API does; `schemas/openapi.yaml` describes each by its [`Operation::id`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the table that makes them says what each is")]
        pub enum Operation { $($operation,)* }

        impl Operation {
            /// Every operation, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$operation,)*];

            fn row(self) -> (&'static str, Method, &'static str, Demand) {
                match self {
                    $(Self::$operation => (stringify!($operation), Method::$method, $path, $demand),)*
                }
            }
        }
    };
}

// One line for each. Where two addresses fit, the upper one is meant.
operations! {
    GetStatus: GET "status" => Operator;
    GetVault: GET "vault" => Operator;
    RotateVault: POST "vault/rotate" => Operator;
    RewrapVault: POST "vault/rewrap" => Operator;
    ShredVault: POST "vault/shred" => Operator;
    GetCatalogue: GET "catalogue" => Anybody;
    ListProviderKinds: GET "provider-kinds" => Anybody;
    WhoAmI: GET "whoami" => Anybody;
    ListOrgs: GET "orgs" => Anybody;
    GetOrg: GET "orgs/{org}" => Anybody;
    PutOrg: PUT "orgs/{org}" => Operator;
    PatchOrg: PATCH "orgs/{org}" => Org(Administer);
    GetInventory: GET "orgs/{org}/inventory" => Org(ReadPolicy);

    ListUsers: GET "orgs/{org}/users" => Org(ReadPolicy);
    GetUser: GET "orgs/{org}/users/{user}" => Org(ReadPolicy);
    PutUser: PUT "orgs/{org}/users/{user}" => Org(Administer);
    PatchUser: PATCH "orgs/{org}/users/{user}" => Org(Administer);
    DeleteUser: DELETE "orgs/{org}/users/{user}" => Org(Administer);
    AddUserKey: POST "orgs/{org}/users/{user}/keys" => Org(Administer);
    AddLink: POST "orgs/{org}/users/{user}/links" => Org(Administer);
    ListSessions: GET "orgs/{org}/users/{user}/sessions" => Org(Administer);
    EndSessions: DELETE "orgs/{org}/users/{user}/sessions" => Org(Administer);
    Invite: POST "orgs/{org}/invitations" => Org(Administer);
    ListIdentityProviders: GET "orgs/{org}/identity-providers" => Org(Administer);
    GetIdentityProvider: GET "orgs/{org}/identity-providers/{provider}" => Org(Administer);
    PutIdentityProvider: PUT "orgs/{org}/identity-providers/{provider}" => Org(Administer);
    DeleteIdentityProvider: DELETE "orgs/{org}/identity-providers/{provider}" => Org(Administer);
    ListTeams: GET "orgs/{org}/teams" => Org(ReadPolicy);
    GetTeam: GET "orgs/{org}/teams/{team}" => Org(ReadPolicy);
    PutTeam: PUT "orgs/{org}/teams/{team}" => Org(Administer);
    PatchTeam: PATCH "orgs/{org}/teams/{team}" => Org(Administer);
    DeleteTeam: DELETE "orgs/{org}/teams/{team}" => Org(Administer);
    ListAgents: GET "orgs/{org}/agents" => Org(ReadPolicy);
    GetAgent: GET "orgs/{org}/agents/{agent}" => Org(ReadPolicy);
    PutAgent: PUT "orgs/{org}/agents/{agent}" => Org(Administer);
    PatchAgent: PATCH "orgs/{org}/agents/{agent}" => Org(Administer);
    DeleteAgent: DELETE "orgs/{org}/agents/{agent}" => Org(Administer);
    AddAgentKey: POST "orgs/{org}/agents/{agent}/keys" => Org(Administer);
    ListKeys: GET "orgs/{org}/keys" => Org(Administer);
    GetKey: GET "orgs/{org}/keys/{key}" => Org(Administer);
    RotateKey: POST "orgs/{org}/keys/{key}/rotate" => Org(Administer);
    RevokeKey: DELETE "orgs/{org}/keys/{key}" => Org(Administer);
    ListIssuers: GET "orgs/{org}/issuers" => Org(Administer);
    GetIssuer: GET "orgs/{org}/issuers/{issuer}" => Org(Administer);
    PutIssuer: PUT "orgs/{org}/issuers/{issuer}" => Org(Administer);
    DeleteIssuer: DELETE "orgs/{org}/issuers/{issuer}" => Org(Administer);
    ListClients: GET "orgs/{org}/clients" => Org(Administer);
    GetClient: GET "orgs/{org}/clients/{client}" => Org(Administer);
    PutClient: PUT "orgs/{org}/clients/{client}" => Org(Administer);
    DeleteClient: DELETE "orgs/{org}/clients/{client}" => Org(Administer);
    RotateClientSecret: POST "orgs/{org}/clients/{client}/secret" => Org(Administer);
    ListAuthorizations: GET "orgs/{org}/authorizations" => Org(Administer);
    GetAuthorization: GET "orgs/{org}/authorizations/{authorization}" => Org(Administer);
    EndAuthorization: DELETE "orgs/{org}/authorizations/{authorization}" => Org(Administer);
    ListGrants: GET "orgs/{org}/grants" => Org(ReadPolicy);
    GetGrant: GET "orgs/{org}/grants/{holder}/{resource}" => Org(ReadPolicy);
    PutGrant: PUT "orgs/{org}/grants/{holder}/{resource}" => Org(Administer);
    DeleteGrant: DELETE "orgs/{org}/grants/{holder}/{resource}" => Org(Administer);

    ListServers: GET "orgs/{org}/servers" => Org(Deploy);
    GetServer: GET "orgs/{org}/servers/{server}" => Org(Deploy);
    PutServer: PUT "orgs/{org}/servers/{server}" => Org(Deploy);
    PatchServer: PATCH "orgs/{org}/servers/{server}" => Org(Deploy);
    DeleteServer: DELETE "orgs/{org}/servers/{server}" => Org(Deploy);
    ListTools: GET "orgs/{org}/servers/{server}/tools" => Org(Deploy);
    GetTool: GET "orgs/{org}/servers/{server}/tools/{tool}" => Org(Deploy);
    JudgeTool: PUT "orgs/{org}/servers/{server}/tools/{tool}" => Org(ApproveTool);
    ListProviders: GET "orgs/{org}/providers" => Org(Deploy);
    GetProvider: GET "orgs/{org}/providers/{provider}" => Org(Deploy);
    PutProvider: PUT "orgs/{org}/providers/{provider}" => Org(Deploy);
    DeleteProvider: DELETE "orgs/{org}/providers/{provider}" => Org(Deploy);
    ExamineProvider: POST "orgs/{org}/providers/{provider}/doctor" => Org(Deploy);
    ListToolboxes: GET "orgs/{org}/toolboxes" => Org(Deploy);
    GetToolbox: GET "orgs/{org}/toolboxes/{toolbox}" => Toolbox(Deploy);
    PutToolbox: PUT "orgs/{org}/toolboxes/{toolbox}" => Toolbox(Deploy);
    PatchToolbox: PATCH "orgs/{org}/toolboxes/{toolbox}" => Toolbox(Deploy);
    DeleteToolbox: DELETE "orgs/{org}/toolboxes/{toolbox}" => Toolbox(Deploy);
    InspectServer: POST "orgs/{org}/toolboxes/{toolbox}/servers/{server}/inspect" => Org(ApproveTool);

    GetPolicies: GET "orgs/{org}/policies" => Org(ReadPolicy);
    PublishPolicies: PUT "orgs/{org}/policies" => Org(PublishPolicy);
    CheckPolicies: POST "orgs/{org}/policies/check" => Org(PublishPolicy);
    AllowRefused: POST "orgs/{org}/policies/allow" => Org(PublishPolicy);
    ListPolicyVersions: GET "orgs/{org}/policies/history" => Org(ReadPolicy);
    GetPolicySet: GET "orgs/{org}/policies/sets/{hash}" => Org(ReadPolicy);
    RollBackPolicies: POST "orgs/{org}/policies/rollback" => Org(PublishPolicy);
    PutShadow: PUT "orgs/{org}/policies/shadow" => Org(PublishPolicy);
    EndShadow: DELETE "orgs/{org}/policies/shadow" => Org(PublishPolicy);
    ListProposals: GET "orgs/{org}/policies/proposals" => Org(ReadPolicy);
    DecideProposal: POST "orgs/{org}/policies/proposals/{proposal}" => Org(PublishPolicy);

    ListApprovals: GET "orgs/{org}/approvals" => Anybody;
    GetApproval: GET "orgs/{org}/approvals/{approval}" => Anybody;
    DecideApproval: POST "orgs/{org}/approvals/{approval}" => Anybody;
    ListConnections: GET "orgs/{org}/connections" => Anybody;
    GetConnection: GET "orgs/{org}/connections/{connection}" => Anybody;
    ShareConnection: PATCH "orgs/{org}/connections/{connection}" => Anybody;
    EndConnection: DELETE "orgs/{org}/connections/{connection}" => Anybody;
    ListEvents: GET "orgs/{org}/audit" => Org(ReadAudit);
    ExplainDecision: GET "orgs/{org}/decisions/{event}" => Org(ReadAudit);
}

impl Operation {
    /// Its `operationId` in the description of the API.
    pub fn id(self) -> String {
        let mut name = self.row().0.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        name
    }

    /// Its method.
    pub fn method(self) -> Method {
        self.row().1
    }

    /// Its address below `/api/v1/`, with the names of its variable parts in braces.
    pub fn path(self) -> &'static str {
        self.row().2
    }

    /// What must hold first.
    pub(super) fn demand(self) -> Demand {
        self.row().3
    }
}

/// An operation, with the variable parts of its address.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) operation: Operation,
    parts: Vec<(&'static str, String)>,
}

impl Address {
    /// The operation that a request asks for.
    ///
    /// # Errors
    /// There is no such address, or not with this method.
    pub(super) fn find(method: &Method, path: &[&str]) -> Result<Self, ApiError> {
        // A host leaves out the body of an answer to HEAD.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let mut others = Vec::new();
        for operation in Operation::ALL.iter().copied() {
            if let Some(parts) = fit(operation.path(), path) {
                if operation.method() == *method {
                    return Ok(Self { operation, parts });
                }
                others.push(operation.method());
            }
        }
        if others.is_empty() {
            Err(ApiError::NotFound("such address in the API".into()))
        } else {
            Err(ApiError::Method(others))
        }
    }

    /// A variable part. Empty if the pattern has none of that name, which no parser of a name takes.
    pub(super) fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(known, _)| *known == name).map_or("", |(_, part)| part)
    }
}

/// The variable parts, if the path fits.
fn fit(pattern: &'static str, path: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let mut parts = Vec::new();
    let mut given = path.iter();
    for expected in pattern.split('/') {
        let given = given.next()?;
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => parts.push((name, percent_decode_str(given).decode_utf8().ok()?.into_owned())),
            None if expected == *given => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_at_its_own_address() {
        for operation in Operation::ALL.iter().copied() {
            let path: Vec<&str> = operation.path().split('/').collect();
            let found = Address::find(&operation.method(), &path).unwrap();
            assert_eq!(found.operation, operation, "another one hides it");
            for (name, part) in &found.parts {
                assert_eq!(format!("{{{name}}}"), *part);
            }
        }
    }

    #[test]
    fn what_is_not_there_and_what_is_not_done_there() {
        let find = |method: Method, path: &str| Address::find(&method, &path.split('/').collect::<Vec<_>>());
        assert!(matches!(find(Method::GET, "orgs/a/users/b/c"), Err(ApiError::NotFound(_))));
        assert!(matches!(find(Method::GET, "orgs/a/users/%ff"), Err(ApiError::NotFound(_))));
        match find(Method::PATCH, "orgs/a/policies/shadow") {
            Err(ApiError::Method(allowed)) => assert_eq!(allowed, [Method::PUT, Method::DELETE]),
            other => panic!("{other:?}"),
        }
        let user = find(Method::PUT, "orgs/a/users/%C3%A9%2Fx").unwrap();
        assert_eq!((user.part("org"), user.part("user"), user.part("team")), ("a", "\u{e9}/x", ""));
    }
}
