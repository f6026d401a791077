//! Why an account can't be used.

use crate::platform::PlatformError;
use crate::vault::VaultError;

/// Why an account can't be used. `Display` is for the log and for operators; callers get [`BrokerError::told`].
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BrokerError {
    /// The grant is over: its owner has to connect again.
    #[error("the account is not connected any more: {0}")]
    Ended(String),
    /// What its provider knows of us is wrong: an operator has to mend that, and nobody's account is touched.
    #[error("the provider does not know this gateway any more: {0}")]
    Ours(String),
    /// It may work in a moment.
    #[error("the account can't be used at the moment: {0}")]
    Later(String),
    /// The server wants something of the credential that is not there.
    #[error("the server wants `{0}` of the account, which it does not have")]
    Lacks(String),
    /// A server does not take it, and is not believed that it is over.
    #[error("server `{0}` does not take the account's credential")]
    NotTaken(String),
    /// The credential is not what we sealed, or was asked for without a right to it.
    #[error("the credential does not open")]
    Unopened,
    /// The vault is out of reach.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database is.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl BrokerError {
    /// What a caller may be told.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Ended(_) => "the account is not connected any more: connect it again".to_owned(),
            Self::Ours(_) => "the account's provider refuses this gateway: tell whoever runs it to look at the provider's settings (`ambit provider doctor`)".to_owned(),
            Self::Later(_) => "the account can't be used at the moment: try again".to_owned(),
            Self::Lacks(part) => format!("the server wants `{part}` of the account, which it does not have: tell whoever runs this gateway"),
            Self::NotTaken(server) => format!("server `{server}` does not take the account's credential: if its provider has ended it, connect the account again"),
            Self::Unopened => "the account's credential can't be opened: connect the account again".to_owned(),
            Self::Vault(error) => error.told().to_owned(),
            Self::Platform(error) => error.told().to_owned(),
        }
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> crate::error::Fault {
        use crate::error::Fault;
        match self {
            Self::Ended(_) => Fault::Caller,
            Self::Later(_) | Self::NotTaken(_) => Fault::Upstream,
            Self::Ours(_) | Self::Lacks(_) | Self::Unopened => Fault::Ours,
            Self::Vault(error) => error.fault(),
            Self::Platform(_) => Fault::Platform,
        }
    }
}
