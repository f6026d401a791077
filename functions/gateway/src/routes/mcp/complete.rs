//! `completion/complete`: allowed where the prompt or resource it completes is.

use http::Response;
use schemas::audit::Ended;
use schemas::decision::Action;

use super::answer::{Relay, relay};
use super::call::owner;
use super::error::{INTERNAL, INVALID_PARAMS, RpcError};
use super::message::Call;
use super::{Context, Failure, outbound};
use crate::body::Body;
use crate::json::Object;
use crate::platform::Platform;
use crate::store::targets;
use crate::upstream;
use crate::walk::Recorded;

pub(super) async fn complete<P: Platform>(
    context: &Context<'_, P>,
    call: Call<'_>,
) -> Result<Response<Body<P::Stream>>, Failure> {
    let missing = || {
        RpcError::new(
            INVALID_PARAMS,
            "`completion/complete` needs `ref` (`ref/prompt` or `ref/resource`) and `argument`",
        )
    };
    let reference =
        call.params.source("ref").and_then(|text| Object::parse(text).ok()).ok_or_else(missing)?;
    let (key, action) = match reference.text("type").as_deref() {
        Some("ref/prompt") => ("name", Action::GetPrompt),
        Some("ref/resource") => ("uri", Action::ReadResource),
        _ => return Err(missing().into()),
    };
    let asked = reference.text(key).ok_or_else(missing)?.into_owned();
    if call.params.object("argument").is_none() {
        return Err(missing().into());
    }

    let found =
        targets::servers(context.platform, context.credential, (context.org, context.toolbox)).await?;
    let (visit, servers) = context.enter(call.method, found).await?;
    let Some((server, name)) = owner(&servers, action, &asked) else {
        return Err(visit.refuse_unknown(call.method.as_str(), &asked).await?.into());
    };
    let decision = visit.decide_item(action, server, &name, None)?;
    let about = visit.about(call.method.as_str(), Some(server), Some(&asked), None);
    let permit = match decision {
        Ok(permit) => permit,
        Err(denial) => return Err(visit.deny(&about, &denial).await?.into()),
    };
    let limit = visit.gateway.settings.call_limit;
    let recorded = visit.record_quietly(&about, &permit, server, limit).await?;
    let Some(Recorded { intent, delivery, .. }) = recorded else {
        let why = "this is completed on an account that is not connected: use it first";
        return Err(RpcError::new(INTERNAL, why).into());
    };

    let mut reference = reference;
    reference.put(key, &name);
    let mut params = call.params.clone();
    params.set("ref", reference.to_raw());
    let message = outbound::message(&call, params, None);
    let sent = upstream::send(
        visit.gateway,
        visit.platform,
        &intent,
        &visit.toolbox,
        server,
        &message,
        delivery.as_ref(),
    )
    .await;
    let Some(conclusion) = intent.conclusion() else {
        return Err(RpcError::new(INTERNAL, "the call was already over").into());
    };
    match sent {
        Ok(response) => relay(Relay::new(&visit, server, &call, Vec::new(), None, conclusion), response)
            .await
            .map_err(Failure::Upstream),
        Err(error) => {
            conclusion.end(Ended::Failed);
            Err(error.into())
        }
    }
}
