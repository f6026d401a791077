//! Looks at how a provider is set up, and says what to do about what is not well.
