//! A guest's network card without a guest: frames go between a workspace's tap and the kernel of
//! another namespace, so that plain sockets play what runs in a workspace. And an internet: a
//! namespace behind the host with an address that no setting forbids.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    ioctl::{Setter, ioctl},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::world::run;

/// How long a packet that is let through may take, on a machine that compiles beside the tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long it is waited for a packet that should never come.
const SILENCE: Duration = Duration::from_millis(700);

const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

/// A namespace of a test; gone with it.
pub(crate) struct Space {
    pub(crate) name: String,
}

impl Space {
    pub(crate) fn new(name: String) -> Self {
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, words: &str) -> String {
        let words: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split(' ')).collect();
        run("ip", &words)
    }

    /// Does something inside.
    pub(crate) fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        within(&self.name, work)
    }

    /// Whether a connection from inside gets an answer, which is to come: a busy machine has time.
    pub(crate) fn reaches(&self, to: SocketAddr) -> bool {
        self.within(move || again(|| is_answered(to)))
    }

    /// Whether a connection from inside gets no answer, which is not to come.
    pub(crate) fn is_cut_off(&self, to: SocketAddr) -> bool {
        self.within(move || !is_answered(to))
    }

    /// Whether a datagram from inside gets an answer, which is to come: a busy machine has time.
    pub(crate) fn reaches_by_datagram(&self, from: IpAddr, to: SocketAddr) -> bool {
        self.within(move || again(|| is_answered_by_datagram(from, to)))
    }

    /// Whether a datagram from inside gets no answer, which is not to come.
    pub(crate) fn is_cut_off_by_datagram(&self, from: IpAddr, to: SocketAddr) -> bool {
        self.within(move || !is_answered_by_datagram(from, to))
    }

    /// How many datagrams arrived inside, whether anybody wanted them, was too slow to read them
    /// or not.
    pub(crate) fn datagrams(&self) -> u64 {
        let text = self.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let numbers = text.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap();
        // InDatagrams, NoPorts and InErrors, which has those that found their reader's queue full.
        let arrived =
            numbers.split(' ').skip(1).take(3).map(|number| number.parse::<u64>().unwrap());
        arrived.sum()
    }

    /// Serves TCP and UDP inside: says who asks.
    pub(crate) fn serve(&self, port: u16) {
        let (listener, socket) = self.within(move || {
            let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
            (listener, UdpSocket::bind(("0.0.0.0", port)).unwrap())
        });
        serve(listener, socket);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}

/// Tries until it is so, for a time that is far too long.
fn again(mut so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        // What is refused is refused at once.
        thread::yield_now();
    }
    true
}

fn is_answered(to: SocketAddr) -> bool {
    let stream = TcpStream::connect_timeout(&to, SILENCE * 3);
    stream.and_then(|stream| greeting(stream).map(drop)).is_ok()
}

fn is_answered_by_datagram(from: IpAddr, to: SocketAddr) -> bool {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let mut answer = [0; 64];
    // The second is sent when the first brought up what was asleep.
    (0..2).any(|_| socket.send_to(b"hello", to).is_ok() && socket.recv_from(&mut answer).is_ok())
}

/// Answers every connection and every datagram with the address that it came from.
pub(crate) fn serve(listener: TcpListener, socket: UdpSocket) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap().ip().to_string();
            // Who hung up does not want to know.
            drop(stream.write_all(from.as_bytes()));
        }
    });
    thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            drop(socket.send_to(from.ip().to_string().as_bytes(), from));
        }
    });
}

/// What a server says to whom it accepts.
pub(crate) fn greeting(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Does something in a namespace, in a thread that ends there.
pub(crate) fn within<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    let thread = thread::spawn(move || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind).unwrap();
        work()
    });
    thread.join().unwrap()
}

/// A guest's kernel for the workspace in `workspace_space`.
pub(crate) fn plug(workspace_space: &str, name: String) -> Space {
    let guest = Space::new(name);
    guest.ip("tuntap add dev eth0 mode tap");
    guest.ip("link set eth0 address 02:00:00:00:00:02 up");
    guest.ip("link set lo up");
    guest.ip("addr add 172.16.0.2/30 dev eth0");
    guest.ip("route add default via 172.16.0.1");
    let outer = Arc::new(within(workspace_space, || open_tap("tap0")));
    let inner = Arc::new(guest.within(|| open_tap("eth0")));
    pump(outer.clone(), inner.clone());
    pump(inner, outer);
    guest
}

fn pump(from: Arc<File>, to: Arc<File>) {
    thread::spawn(move || {
        let mut frame = [0; 65_536];
        // Ends when one of the two is gone.
        while let Ok(length) = (&*from).read(&mut frame) {
            drop((&*to).write_all(&frame[..length]));
        }
    });
}

#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

#[expect(unsafe_code, reason = "no safe interface to this ioctl exists")]
fn open_tap(name: &str) -> File {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = Request { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, which `Request` is in size and layout.
    unsafe { ioctl(&tun, Setter::<TUNSETIFF, Request>::new(request)) }.unwrap();
    tun
}
