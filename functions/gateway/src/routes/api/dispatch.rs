//! What each operation does.

use bytes::Bytes;
use http::Request;
use schemas::names::OrgName;

use super::desk::Desk;
use super::idempotency::{self, Turn};
use super::problem::ApiError;
use super::reply::Reply;
use super::table::{Address, Operation};
use super::{
    Asker, agents, approvals, authorizations, catalogue, clients, connections, enter, grants,
    identity_providers, inspect, inventory, issuers, keys, orgs, policy, providers, servers, sessions, teams,
    toolboxes, tools, trail, users, vault, whoami,
};
use crate::Gateway;
use crate::platform::Platform;

/// Does it.
pub(super) async fn dispatch<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    asker: Asker,
    request: &Request<Bytes>,
    address: &Address,
) -> Result<Reply, ApiError> {
    let query = request.uri().query();
    match (address.operation, asker) {
        (Operation::GetStatus, Asker::Operator(_)) => Ok(catalogue::status(gateway, platform).await.into()),
        (Operation::GetVault, Asker::Operator(_)) => Ok(vault::get(gateway, platform, query).await?.into()),
        (Operation::RotateVault, Asker::Operator(proof)) => {
            Ok(vault::rotate(gateway, platform, &proof, request.body()).await?.into())
        }
        (Operation::RewrapVault, Asker::Operator(_)) => {
            Ok(vault::rewrap(gateway, platform, request.body()).await?.into())
        }
        (Operation::ShredVault, Asker::Operator(proof)) => {
            Ok(vault::shred(gateway, platform, &proof, request.body()).await?.into())
        }
        (
            Operation::GetStatus
            | Operation::GetVault
            | Operation::RotateVault
            | Operation::RewrapVault
            | Operation::ShredVault,
            Asker::Person(..),
        ) => Err(ApiError::OperatorOnly),
        (Operation::ListProviderKinds, _) => Ok(providers::kinds().into()),
        (Operation::GetCatalogue, _) => Ok(catalogue::get().into()),
        (Operation::WhoAmI, asker) => whoami::get(gateway, platform, &asker).await,
        (Operation::ListOrgs, asker) => orgs::list(platform, &asker, query).await,
        (Operation::PutOrg, Asker::Operator(proof)) => {
            let name = OrgName::parse(address.part("org"))?;
            orgs::put(platform, &proof, &name, request).await
        }
        (_, asker) => {
            let mut desk = Box::pin(enter(gateway, platform, asker, address, request)).await?;
            if address.operation.method() != http::Method::POST {
                return Box::pin(at_desk(&desk, request, address)).await;
            }
            let (place, org) = ((gateway, platform), desk.org.id.clone());
            match idempotency::turn(place, (&org, &desk.person), request).await? {
                Turn::Again(reply) => Ok(reply),
                Turn::Do(claim) => {
                    desk.claim = claim;
                    let done = Box::pin(at_desk(&desk, request, address)).await;
                    if let Some(claim) = &desk.claim {
                        idempotency::settle(place, &org, claim, &done).await;
                    }
                    done
                }
            }
        }
    }
}

/// What is done in an organisation.
#[expect(clippy::too_many_lines, reason = "one line for each operation")]
async fn at_desk<P: Platform>(
    desk: &Desk<'_, P>,
    request: &Request<Bytes>,
    address: &Address,
) -> Result<Reply, ApiError> {
    let (body, query) = (request.body(), request.uri().query());
    let part = |name: &str| address.part(name);
    match address.operation {
        // Above, as they are of the deployment.
        Operation::GetStatus
        | Operation::GetVault
        | Operation::RotateVault
        | Operation::RewrapVault
        | Operation::ShredVault
        | Operation::GetCatalogue
        | Operation::ListProviderKinds
        | Operation::WhoAmI
        | Operation::ListOrgs
        | Operation::PutOrg => Err(ApiError::OperatorOnly),

        Operation::GetOrg => orgs::get(desk).await,
        Operation::PatchOrg => orgs::patch(desk, body).await,
        Operation::GetInventory => inventory::get(desk).await.map(Reply::from),

        Operation::ListUsers => desk.list(&users::KIND, query).await,
        Operation::GetUser => users::get(desk, part("user")).await,
        Operation::PutUser => users::put(desk, part("user"), body).await,
        Operation::PatchUser => users::patch(desk, part("user"), body).await,
        Operation::DeleteUser => users::delete(desk, part("user")).await,
        Operation::AddUserKey => keys::add_for_user(desk, part("user"), body).await,
        Operation::AddLink => sessions::add_link(desk, part("user"), body).await.map(Reply::from),
        Operation::ListSessions => sessions::list(desk, part("user")).await.map(Reply::from),
        Operation::EndSessions => sessions::end_all(desk, part("user")).await.map(Reply::from),
        Operation::Invite => sessions::invite(desk, body).await.map(Reply::from),
        Operation::ListIdentityProviders => identity_providers::list(desk).await.map(Reply::from),
        Operation::GetIdentityProvider => {
            identity_providers::get(desk, part("provider")).await.map(Reply::from)
        }
        Operation::PutIdentityProvider => {
            Box::pin(identity_providers::put(desk, part("provider"), body)).await.map(Reply::from)
        }
        Operation::DeleteIdentityProvider => identity_providers::delete(desk, part("provider")).await,
        Operation::ListTeams => desk.list(&teams::KIND, query).await,
        Operation::GetTeam => teams::get(desk, part("team")).await,
        Operation::PutTeam => teams::put(desk, part("team"), body).await,
        Operation::PatchTeam => teams::patch(desk, part("team"), body).await,
        Operation::DeleteTeam => teams::delete(desk, part("team")).await,
        Operation::ListAgents => desk.list(&agents::KIND, query).await,
        Operation::GetAgent => agents::get(desk, part("agent")).await,
        Operation::PutAgent => agents::put(desk, part("agent"), body).await,
        Operation::PatchAgent => agents::patch(desk, part("agent"), body).await,
        Operation::DeleteAgent => agents::delete(desk, part("agent")).await,
        Operation::AddAgentKey => keys::add_for_agent(desk, part("agent"), body).await,
        Operation::ListKeys => desk.list(&keys::KIND, query).await,
        Operation::GetKey => keys::get(desk, part("key")).await,
        Operation::RotateKey => keys::rotate(desk, part("key"), body).await,
        Operation::RevokeKey => keys::revoke(desk, part("key")).await,
        Operation::ListIssuers => desk.list(&issuers::KIND, query).await,
        Operation::GetIssuer => issuers::get(desk, part("issuer")).await,
        Operation::PutIssuer => issuers::put(desk, part("issuer"), body).await,
        Operation::DeleteIssuer => issuers::delete(desk, part("issuer")).await,
        Operation::ListClients => desk.list(&clients::KIND, query).await,
        Operation::GetClient => clients::get(desk, part("client")).await,
        Operation::PutClient => clients::put(desk, part("client"), body).await,
        Operation::DeleteClient => clients::delete(desk, part("client")).await,
        Operation::RotateClientSecret => clients::rotate(desk, part("client")).await,
        Operation::ListAuthorizations => desk.list(&authorizations::KIND, query).await,
        Operation::GetAuthorization => authorizations::get(desk, part("authorization")).await,
        Operation::EndAuthorization => authorizations::end(desk, part("authorization")).await,
        Operation::ListGrants => desk.list(&grants::KIND, query).await,
        Operation::GetGrant => grants::get(desk, part("holder"), part("resource")).await,
        Operation::PutGrant => grants::put(desk, part("holder"), part("resource")).await,
        Operation::DeleteGrant => grants::delete(desk, part("holder"), part("resource")).await,

        Operation::ListServers => desk.list(&servers::KIND, query).await,
        Operation::GetServer => servers::get(desk, part("server")).await,
        Operation::PutServer => servers::put(desk, part("server"), body).await,
        Operation::PatchServer => servers::patch(desk, part("server"), body).await,
        Operation::DeleteServer => servers::delete(desk, part("server")).await,
        Operation::ListTools => tools::list(desk, part("server"), query).await,
        Operation::GetTool => tools::get(desk, part("server"), part("tool")).await,
        Operation::JudgeTool => tools::judge(desk, part("server"), part("tool"), body).await,
        Operation::ListToolboxes => desk.list(&toolboxes::KIND, query).await,
        Operation::GetToolbox => toolboxes::get(desk, part("toolbox")).await,
        Operation::PutToolbox => toolboxes::put(desk, part("toolbox"), body).await,
        Operation::PatchToolbox => toolboxes::patch(desk, part("toolbox"), body).await,
        Operation::DeleteToolbox => toolboxes::delete(desk, part("toolbox")).await,
        Operation::InspectServer => {
            Box::pin(inspect::inspect(desk, part("toolbox"), part("server"), body)).await.map(Reply::from)
        }

        Operation::GetPolicies => policy::get(desk).await.map(Reply::from),
        Operation::PublishPolicies => Box::pin(policy::publish(desk, body)).await.map(Reply::from),
        Operation::CheckPolicies => Box::pin(policy::check(desk, body)).await.map(Reply::from),
        Operation::AllowRefused => Box::pin(policy::allow(desk, body)).await.map(Reply::from),
        Operation::ListPolicyVersions => policy::history(desk, query).await.map(Reply::from),
        Operation::GetPolicySet => policy::set(desk, part("hash")).await.map(Reply::from),
        Operation::RollBackPolicies => Box::pin(policy::rollback(desk, body)).await.map(Reply::from),
        Operation::PutShadow => Box::pin(policy::shadow::on(desk, body)).await.map(Reply::from),
        Operation::EndShadow => policy::shadow::off(desk).await.map(Reply::from),
        Operation::ListProposals => policy::proposals::list(desk, query).await.map(Reply::from),
        Operation::DecideProposal => {
            Box::pin(policy::proposals::decide(desk, part("proposal"), body)).await.map(Reply::from)
        }

        Operation::ListApprovals => approvals::list(desk, query).await.map(Reply::from),
        Operation::GetApproval => approvals::get(desk, part("approval")).await.map(Reply::from),
        Operation::DecideApproval => approvals::decide(desk, part("approval"), body).await.map(Reply::from),
        Operation::ListProviders
        | Operation::GetProvider
        | Operation::PutProvider
        | Operation::DeleteProvider
        | Operation::ExamineProvider
        | Operation::ListConnections
        | Operation::GetConnection
        | Operation::ShareConnection
        | Operation::EndConnection => of_accounts(desk, request, address).await,
        Operation::ListEvents => trail::page(desk, query).await.map(Reply::from),
        Operation::ExplainDecision => trail::why(desk, part("event"), query).await.map(Reply::from),
    }
}

/// What is done about accounts of people at providers.
async fn of_accounts<P: Platform>(
    desk: &Desk<'_, P>,
    request: &Request<Bytes>,
    address: &Address,
) -> Result<Reply, ApiError> {
    let (body, query) = (request.body(), request.uri().query());
    let (provider, connection) = (address.part("provider"), address.part("connection"));
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every operation is listed above, and these are handed on from there"
    )]
    match address.operation {
        Operation::ListProviders => providers::list(desk, query).await,
        Operation::GetProvider => providers::get(desk, provider).await,
        Operation::PutProvider => Box::pin(providers::put(desk, provider, body)).await,
        Operation::DeleteProvider => providers::delete(desk, provider).await,
        Operation::ExamineProvider => Box::pin(providers::examine(desk, provider)).await,
        Operation::ListConnections => connections::list(desk, query).await,
        Operation::GetConnection => connections::get(desk, connection).await,
        Operation::ShareConnection => connections::share(desk, connection, body).await,
        Operation::EndConnection => connections::end(desk, connection).await,
        other => Err(ApiError::NotFound(format!("operation `{}` among accounts", other.id()))),
    }
}
