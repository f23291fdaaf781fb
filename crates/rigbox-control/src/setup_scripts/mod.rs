//! Setup scripts of an account: bash that its workspaces run when they boot.

pub(crate) mod http;
