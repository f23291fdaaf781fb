//! The terminal of a workspace in a browser or `rig shell`: a WebSocket on one side, the frames of a
//! detached exec on the other. The shell outlives the WebSocket, which may attach to it again.

pub(crate) mod http;
mod pump;
mod token;

pub(crate) use token::TerminalTokens;
