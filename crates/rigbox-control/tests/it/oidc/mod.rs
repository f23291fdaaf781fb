//! Sign-in by providers of OpenID Connect: against a real one, and against one that does what no good
//! one does.

mod attacks;
mod hostile;
mod provider;
mod sign_in;
