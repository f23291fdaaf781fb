//! What listens at 172.16.0.1 inside a workspace's namespace: DNS on 53, the gateway on 9090.
//! The sockets are bound in the namespace by the caller; everything they lead to is outside.
//! Invariant: a relay holds no key, and the workspace it speaks for is the one whose namespace
//! its socket was bound in, whatever a request says.
//! Does not decide what a workspace may reach (the policy comes with the assignment).

pub mod dns;
pub mod gateway;
