//! What one isolate keeps from event to event: the gateway, whose caches hold nothing but what may be forgotten.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gateway::platform::{Platform as _, PlatformError};
use gateway::secret::Secret;
use gateway::{BadSettings, Gateway, Settings};

use crate::host::Edge;

thread_local! {
    static GATEWAY: RefCell<Option<Rc<Gateway>>> = RefCell::default();
    static MIGRATED: Cell<bool> = const { Cell::new(false) };
}

/// Why an isolate can't serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the deployment is incomplete: {0}")]
    Settings(#[from] BadSettings),
    #[error("the database could not be brought up to date: {0}")]
    Migrations(#[from] PlatformError),
}

/// The gateway of this isolate, made at the first event.
pub(crate) async fn gateway(edge: &Edge) -> Result<Rc<Gateway>, StartError> {
    let known = GATEWAY.with_borrow(Clone::clone);
    let gateway = if let Some(gateway) = known {
        gateway
    } else {
        let gateway = Rc::new(Gateway::new(settings(edge)?, edge)?);
        GATEWAY.set(Some(gateway.clone()));
        gateway
    };
    if !MIGRATED.get() {
        // Another isolate may be at it: then one of us fails, and finds the work done when it looks again.
        if gateway.migrate(edge).await.is_err() {
            edge.sleep(Duration::from_millis(200)).await;
            gateway.migrate(edge).await?;
        }
        MIGRATED.set(true);
    }
    Ok(gateway)
}

/// The settings, from the variables of the deployment (see `wrangler.toml`).
fn settings(edge: &Edge) -> Result<Settings, BadSettings> {
    let variable = |name: &str| edge.secret(name).map(|value: Secret| value.expose().to_owned());
    let public_url = variable("AMBIT_PUBLIC_URL").ok_or(BadSettings::Missing("AMBIT_PUBLIC_URL"))?;
    let origins = variable("AMBIT_ORIGINS").unwrap_or_default();
    let origins = origins.split([',', ' ']).filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
    let wrong = |name, error: String| BadSettings::IllFormed(name, error);
    let rates = variable("AMBIT_RATES").unwrap_or_default();
    let rates = rates.parse().map_err(|error| wrong("AMBIT_RATES", error))?;
    let quota = match variable("AMBIT_QUOTA").filter(|quota| !quota.is_empty()) {
        Some(quota) => quota.parse().map_err(|_| wrong("AMBIT_QUOTA", format!("`{quota}` is no number")))?,
        None => 10_000,
    };
    let settings =
        Settings::new(&public_url)?.provisioner(variable("AMBIT_PROVISIONER_URL")).origins(origins);
    let generation = match variable("AMBIT_SIGNING_GENERATION").filter(|number| !number.is_empty()) {
        Some(number) => number
            .parse()
            .map_err(|_| wrong("AMBIT_SIGNING_GENERATION", format!("`{number}` is no number")))?,
        None => 0,
    };
    let registration = match variable("AMBIT_REGISTRATION").as_deref() {
        None | Some("" | "on") => true,
        Some("off") => false,
        Some(other) => {
            return Err(wrong("AMBIT_REGISTRATION", format!("`{other}` is neither `on` nor `off`")));
        }
    };
    let [root, before, endpoint] =
        ["AMBIT_VAULT_ROOT", "AMBIT_VAULT_ROOTS_BEFORE", "AMBIT_VAULT_ENDPOINT"].map(variable);
    Ok(settings.bounds(rates, quota).authorization_server(registration, generation).vault(
        root.as_deref(),
        &before.unwrap_or_default(),
        endpoint.as_deref(),
    ))
}
