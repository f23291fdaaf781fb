//! Rules of what users send that the types cannot hold. Pure.

pub(crate) mod egress;
pub(crate) mod env;
pub(crate) mod text;
