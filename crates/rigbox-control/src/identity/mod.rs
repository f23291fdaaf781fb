//! People: how they sign in with e-mail and password, what they get for it, and how guessers are
//! slowed down.
//! Owns no state: everything is in the store. Invariants: whether an account exists is told to
//! nobody by an answer or by the work that it takes; an attempt is counted before it is looked at; a
//! browser's session changes nothing without proof that our own page asked for it.
//! Does not decide what somebody may do, and knows no pages.

pub(crate) mod change;
pub(crate) mod cookies;
pub(crate) mod device_flow;
pub(crate) mod http;
pub(crate) mod links;
pub(crate) mod password;
pub(crate) mod second_factor;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod throttle;
mod totp;
pub(crate) mod visitor;
