//! Connections to one place: a port of a workspace, or control's API.
//! Invariants: a connection is used for one request at a time and kept for the next only if request
//! and answer went through to their ends; it is never used for another place, and what was upgraded
//! never comes back. Idle connections are bounded in number and time.
//! Does not decide who may come: opening a connection takes the proof.

mod body;
mod conn;
mod io;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rigbox_fabric::dial::{DialError, Purpose};
use rigbox_types::{Authorised, WorkspaceId};
use tokio::net::TcpStream;

pub(crate) use body::{BodyError, RequestBody, UpstreamBody};
pub(crate) use conn::{Conn, Multiplexed, SendFailed};
pub(crate) use io::Io;

use crate::table::{Place, Way};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A visitor's request needs a proof that it may pass.
    #[error("no right")]
    NoRight,
    #[error("dial")]
    Dial(#[source] DialError),
    #[error("connect to control")]
    Control(#[source] std::io::Error),
    #[error("begin HTTP")]
    Http(#[source] hyper::Error),
}

/// A place and the connections to it.
pub(crate) struct Upstream {
    to: To,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    multiplexed: Mutex<Option<Multiplexed>>,
}

enum To {
    Workspace(Box<Way>),
    Control(SocketAddr),
}

struct Idle {
    conn: Conn,
    since: Instant,
}

impl Upstream {
    pub(crate) fn workspace(way: Way, idle_max: usize) -> Arc<Self> {
        Self::new(To::Workspace(Box::new(way)), idle_max)
    }

    pub(crate) fn control(address: SocketAddr, idle_max: usize) -> Arc<Self> {
        Self::new(To::Control(address), idle_max)
    }

    fn new(to: To, idle_max: usize) -> Arc<Self> {
        Arc::new(Self { to, idle: Mutex::default(), idle_max, multiplexed: Mutex::default() })
    }

    /// Where in a workspace it leads; none for control.
    pub(crate) fn place(&self) -> Option<&Place> {
        match &self.to {
            To::Workspace(way) => Some(&way.place),
            To::Control(_) => None,
        }
    }

    /// An idle connection that was still open a moment ago.
    pub(crate) async fn idle(&self) -> Option<Conn> {
        loop {
            let Idle { mut conn, .. } =
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if conn.is_usable().await {
                return Some(conn);
            }
        }
    }

    /// Takes a connection back that is at rest.
    pub(crate) fn keep(&self, conn: Conn) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max {
            idle.push(Idle { conn, since: Instant::now() });
        }
    }

    /// Closes connections that were idle for longer than `limit`.
    pub(crate) fn expire(&self, limit: Duration) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.is_empty() {
            return;
        }
        // The longest idle are in front, since the last one in is the first one out.
        let fresh = idle.iter().position(|idle| idle.since.elapsed() < limit);
        let old = fresh.unwrap_or(idle.len());
        let old: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        drop(old);
    }

    /// A new stream to the place.
    pub(crate) async fn open(
        &self,
        proof: Option<Authorised<WorkspaceId>>,
    ) -> Result<Io, OpenError> {
        match &self.to {
            To::Workspace(way) => {
                let proof = proof.ok_or(OpenError::NoRight)?;
                let dial = way.client.dial(proof, way.place.port, Purpose::App);
                dial.await.map(Io::Dial).map_err(OpenError::Dial)
            }
            To::Control(address) => {
                let stream = TcpStream::connect(address).await.map_err(OpenError::Control)?;
                stream.set_nodelay(true).map_err(OpenError::Control)?;
                Ok(Io::Tcp(stream))
            }
        }
    }

    /// The connection that all gRPC requests share, or a new one.
    pub(crate) async fn multiplexed(
        &self,
        proof: Option<Authorised<WorkspaceId>>,
    ) -> Result<Multiplexed, OpenError> {
        let known = || self.multiplexed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(open) = known().filter(Multiplexed::is_open) {
            return Ok(open);
        }
        let made = Multiplexed::begin(self.open(proof).await?).await.map_err(OpenError::Http)?;
        *self.multiplexed.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}
