//! Opens a connection to a port of a guest, from inside its namespace: nothing routes there.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{GUEST, enter::Namespace};

/// A guest answers or refuses at once unless it is overloaded or hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// Connects to a port of the guest.
pub(crate) async fn connect(namespace: &Namespace, port: u16) -> io::Result<TcpStream> {
    let socket = namespace.stream_socket().await?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let connect = socket.connect(SocketAddr::from((GUEST, port)));
    let stream = timeout(LIMIT, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
