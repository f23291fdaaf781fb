//! Sockets: datagrams one after the other, connections side by side.
//! Invariants: at most [`CONNECTIONS_MAX`] connections, of them [`NETWORK_CONNECTIONS_MAX`] of one
//! network; one that says nothing for [`IDLE`] is closed, and every one after [`LIFETIME`].

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Records, Zone,
    answer::{Way, answer},
    rates::{Rates, Verdict, network},
};

/// Connections at once.
const CONNECTIONS_MAX: usize = 128;

/// Connections of one network at once.
const NETWORK_CONNECTIONS_MAX: usize = 16;

/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(5);

/// How long a connection may last.
const LIFETIME: Duration = Duration::from_secs(30);

/// Longest question that is read: a name has 255 bytes, options some.
const QUESTION_MAX_BYTES: usize = 4096;

/// Pause when the system has no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers for some zones.
#[derive(Clone)]
pub struct Responder {
    zones: Arc<[Zone]>,
    records: Records,
}

impl Responder {
    /// Answers from `records`, for these zones.
    #[must_use]
    pub fn new(zones: Vec<Zone>, records: Records) -> Self {
        Self { zones: zones.into(), records }
    }

    /// Serves until `shutdown`. Both sockets are bound by whoever calls, who may need rights for it.
    pub async fn serve(self, udp: UdpSocket, tcp: TcpListener, shutdown: CancellationToken) {
        let datagrams = shutdown.run_until_cancelled(self.datagrams(&udp));
        let connections = shutdown.run_until_cancelled(self.connections(&tcp));
        tokio::join!(datagrams, connections);
    }

    fn answer(&self, bytes: &[u8], way: Way) -> Option<Vec<u8>> {
        answer(&self.zones, &self.records.set.load(), bytes, way)
    }

    async fn datagrams(&self, socket: &UdpSocket) {
        let mut rates = Rates::new(Instant::now());
        let mut buffer = vec![0; QUESTION_MAX_BYTES];
        loop {
            let (length, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An earlier answer was not taken: the next question is none the worse.
                Err(error) => {
                    tracing::debug!(%error, "no question was received");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let way = match rates.count(from.ip(), Instant::now()) {
                Verdict::Answer => Way::Udp,
                Verdict::OverTcp => Way::UdpTooOften,
                Verdict::Drop => continue,
            };
            let question = buffer.get(..length).unwrap_or_default();
            // From port 0 nobody asks; and where there is no room for it, the answer is lost as
            // datagrams are.
            if let Some(answer) = self.answer(question, way).filter(|_| from.port() != 0)
                && let Err(error) = socket.try_send_to(&answer, from)
            {
                tracing::debug!(%error, "an answer was not sent");
            }
        }
    }

    async fn connections(&self, listener: &TcpListener) {
        let places = Places::default();
        let mut serving = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = serving.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        // Without a place it is closed at once.
                        if serving.len() < CONNECTIONS_MAX
                            && let Some(place) = places.take(from.ip())
                        {
                            let responder = self.clone();
                            serving.spawn(async move {
                                let ended = timeout(LIFETIME, responder.connection(stream)).await;
                                drop(place);
                                if let Ok(Err(error)) = ended {
                                    tracing::debug!(%error, "a connection broke");
                                }
                            });
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no connection was accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Ends where the other side does, says nothing, or says what is no question.
    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut question = Vec::new();
        loop {
            let reading = async {
                let length = usize::from(stream.read_u16().await?);
                if length > QUESTION_MAX_BYTES {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                question.resize(length, 0);
                stream.read_exact(&mut question).await
            };
            timeout(IDLE, reading).await??;
            let Some(answer) = self.answer(&question, Way::Tcp) else { return Ok(()) };
            let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            timeout(IDLE, stream.write_all(&framed)).await??;
        }
    }
}

/// Connections by network.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<HashMap<u64, usize>>>);

struct Place {
    of: Places,
    network: u64,
}

impl Places {
    fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= NETWORK_CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { of: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}
