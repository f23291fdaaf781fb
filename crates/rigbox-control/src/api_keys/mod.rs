//! API keys of an account, as it manages them itself.
//! Invariant: the secret of a key is in the answer that made it and nowhere else. Knowing callers by
//! their keys is `authn`'s.

mod app;
pub(crate) mod http;
