//! The gateway in a process of its own, with a directory that knows one person and one workspace.
//! Invariant: its process does nothing else, so its memory and time are the gateway's alone.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use async_trait::async_trait;
use camino::Utf8PathBuf;
use rigbox_ssh::{
    Attempt, Directory, Forward, Gateway, HostKey, Limits, PublicKey, Target, Unavailable, Verdict,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{
    certificate::{Authority, blob},
    place,
};
use crate::{output::data, process::until_input_ends};

/// What the gateway is told on its command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Directory with the keys.
    folder: Utf8PathBuf,
    /// The workspace's server.
    workspace: SocketAddr,
}

/// The gateway until standard input ends. Says where it listens once its authority is written down.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn serve(options: &Serve) -> Result<()> {
    /// All connections come from one address.
    const CONNECTIONS: usize = 20_000;
    rigbox_fabric::descriptors::raise_limit().context("raise the limit of open files")?;
    let read = |name: &str| {
        let path = options.folder.join(name);
        let line = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok::<_, anyhow::Error>(PublicKey::new(&blob(&line)?)?)
    };
    let authority = Authority::new()?;
    let path = options.folder.join(place::AUTHORITY);
    std::fs::write(&path, authority.line()).with_context(|| format!("write {path}"))?;
    let directory = One {
        person: read(place::PERSON)?,
        host_key: read(place::HOST_KEY)?,
        workspace: options.workspace,
        user: place::user()?,
        authority,
    };
    let limits = Limits {
        connections: CONNECTIONS,
        of_address: CONNECTIONS,
        strangers: CONNECTIONS,
        strangers_of_address: CONNECTIONS,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let (address, shutdown) = (listener.local_addr()?, CancellationToken::new());
        let key = Arc::new(HostKey::generate()?);
        data(&address.to_string());
        until_input_ends(shutdown.clone());
        Gateway { key, directory: Arc::new(directory), limits }.serve(listener, shutdown).await;
        Ok(())
    })
}

/// One person, whose workspace is the only one.
struct One {
    person: PublicKey,
    host_key: PublicKey,
    workspace: SocketAddr,
    user: String,
    authority: Authority,
}

#[async_trait]
impl Directory for One {
    async fn is_known(&self, _: &Attempt, key: &PublicKey) -> Result<bool, Unavailable> {
        Ok(*key == self.person)
    }

    async fn enter(
        &self,
        _: &Attempt,
        key: &PublicKey,
        session: &[u8],
    ) -> Result<Verdict, Unavailable> {
        if *key != self.person {
            return Ok(Verdict::Unknown);
        }
        let certificate = self.authority.sign(session, &self.user).map_err(|_| Unavailable)?;
        let stream = TcpStream::connect(self.workspace).await.map_err(|_| Unavailable)?;
        stream.set_nodelay(true).map_err(|_| Unavailable)?;
        Ok(Verdict::Target(Box::new(Target {
            stream: Box::pin(stream),
            user: self.user.clone(),
            host_key: self.host_key.clone(),
            certificate,
            ends: CancellationToken::new(),
        })))
    }

    fn forwards(&self, _: &Attempt, _: &Forward) {}
}
