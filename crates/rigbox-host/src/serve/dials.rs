//! Opens connections into workspaces for parts that may. The host judges too: it has the last word
//! about what is reached, and a part that was taken over reaches no more than its own kind of port.

use std::{io, sync::Arc};

use async_trait::async_trait;
use rigbox_fabric::{
    Peer,
    dial::{DialRefusal, DialRefused, DialRequest, Dialer, Purpose},
};
use rigbox_types::Observed;
use tokio::net::TcpStream;

use crate::{host::Host, metrics::count, net::dial};

/// The guest's own SSH server.
const SSH_PORT: u16 = 22;

/// The dialer of a host.
pub(crate) struct Dials {
    host: Arc<Host>,
}

impl Dials {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host }
    }

    fn is_edge(&self, peer: &Peer) -> bool {
        matches!(peer, Peer::Local { uid, .. } if Some(*uid) == self.host.config.edge_uid)
    }
}

#[async_trait]
impl Dialer for Dials {
    async fn dial(&self, peer: &Peer, request: &DialRequest) -> Result<TcpStream, DialRefused> {
        let port = request.port.number();
        if let Peer::Host(_) = peer {
            return Err(refused(
                DialRefusal::Forbidden,
                "a host may not dial into another's workspace",
            ));
        }
        if self.is_edge(peer) && request.purpose != Purpose::App {
            return Err(refused(DialRefusal::Forbidden, "the edge reaches apps alone"));
        }
        // Whoever visits an app is not let in to the guest's own server: that is the gateway's.
        if self.is_edge(peer) && port == SSH_PORT {
            return Err(refused(DialRefusal::Forbidden, "port 22 is no app"));
        }
        if request.purpose == Purpose::Ssh && port != SSH_PORT {
            return Err(refused(DialRefusal::Forbidden, "SSH sessions go to port 22"));
        }
        let Some(view) = self.host.table.view(&request.workspace) else {
            return Err(refused(
                DialRefusal::UnknownWorkspace,
                "this host does not have that workspace",
            ));
        };
        let (Observed::Running, Some(namespace)) = (view.observed, view.namespace) else {
            return Err(refused(DialRefusal::NotRunning, "the workspace does not run"));
        };
        count(&self.host.metrics.dials_total);
        dial::connect(&namespace, port).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                refused(DialRefusal::PortClosed, &format!("nothing listens at port {port}"))
            }
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
                refused(DialRefusal::TimedOut, "the workspace does not answer")
            }
            _ => {
                tracing::warn!(workspace = %request.workspace, %error, "dial failed");
                refused(DialRefusal::Internal, "the connection could not be opened")
            }
        })
    }
}

fn refused(code: DialRefusal, message: &str) -> DialRefused {
    DialRefused { code, message: message.to_owned() }
}
