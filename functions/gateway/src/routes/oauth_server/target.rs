//! What a token is for (RFC 8707): one toolbox, or the management API.

use schemas::names::{OrgName, ToolboxName};

use super::error::OAuthError;
use crate::Gateway;
use crate::routes::metadata;

/// A protected resource of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A toolbox, which may or may not exist.
    Toolbox(OrgName, ToolboxName),
    /// `/api/v1`, in whichever organisation the person is.
    Management,
}

impl Target {
    /// The resource of that identifier, exactly as its metadata has it.
    ///
    /// # Errors
    /// It is none of ours.
    pub(super) fn read(gateway: &Gateway, resource: &str) -> Result<Self, OAuthError> {
        let foreign = || {
            let shown: String = resource.chars().filter(|c| !c.is_control()).take(200).collect();
            OAuthError::invalid_target(format!(
                "`{shown}` is no resource of this server: use the URL of a toolbox, exactly"
            ))
        };
        let path = resource.strip_prefix(&gateway.settings.public_url).ok_or_else(foreign)?;
        let segments: Vec<&str> = path.strip_prefix('/').ok_or_else(foreign)?.split('/').collect();
        match segments.as_slice() {
            ["api", "v1"] => Ok(Self::Management),
            ["mcp", org, toolbox] => match (OrgName::parse(org), ToolboxName::parse(toolbox)) {
                (Ok(org), Ok(toolbox)) => Ok(Self::Toolbox(org, toolbox)),
                _ => Err(foreign()),
            },
            _ => Err(foreign()),
        }
    }

    /// Its identifier: the audience of its tokens.
    pub(super) fn audience(&self, gateway: &Gateway) -> String {
        match self {
            Self::Toolbox(org, toolbox) => metadata::resource(gateway, org, toolbox),
            Self::Management => format!("{}/api/v1", gateway.settings.public_url),
        }
    }

    /// The organisation, if it says.
    pub(super) fn org(&self) -> Option<&OrgName> {
        match self {
            Self::Toolbox(org, _) => Some(org),
            Self::Management => None,
        }
    }
}
