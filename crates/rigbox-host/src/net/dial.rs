//! Opens a connection to a port of a guest, from inside its namespace: nothing routes there.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{GUEST, enter::Namespace};

/// A guest answers or refuses at once unless it is overloaded or hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// A guest that is gone is noticed within half a minute, as long as people wait before they look what
/// is wrong: asked after 15 s of silence, three times, 5 s apart. A packet each 15 s costs nothing.
const ASK_AFTER: Duration = Duration::from_secs(15);
const ASK_AGAIN: Duration = Duration::from_secs(5);
const ASK_TIMES: u32 = 3;

/// Connects to a port of the guest.
pub(crate) async fn connect(namespace: &Namespace, port: u16) -> io::Result<TcpStream> {
    let socket = namespace.stream_socket().await?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let connect = socket.connect(SocketAddr::from((GUEST, port)));
    let stream = timeout(LIMIT, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has the kernel ask a guest that says nothing whether it still knows the connection: one that has
/// booted again says no at the first question, one that is gone answers none. The connection then
/// ends for whoever has it, who may wait for nothing but what the guest says.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_AGAIN)?;
    sockopt::set_tcp_keepcnt(stream, ASK_TIMES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guest_that_is_silent_is_asked_and_one_that_is_gone_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
        keep_alive(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        let (idle, again) = (sockopt::tcp_keepidle(&stream), sockopt::tcp_keepintvl(&stream));
        let times = sockopt::tcp_keepcnt(&stream).unwrap();
        assert_eq!(idle.unwrap() + again.unwrap() * times, Duration::from_secs(30));
    }
}
