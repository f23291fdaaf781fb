use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    packet::{Message, Tag, encode},
    *,
};

const NONCE: Nonce = [1; NONCE_BYTES];
const OTHER_NONCE: Nonce = [2; NONCE_BYTES];

/// Two ends and what is under way between them.
struct Line {
    host: Mux,
    guest: Mux,
    to_guest: Vec<u8>,
    to_host: Vec<u8>,
    host_events: Vec<Event>,
    guest_events: Vec<Event>,
}

impl Line {
    fn new() -> Self {
        Self {
            host: Mux::new(Role::Host),
            guest: Mux::new(Role::Guest),
            to_guest: Vec::new(),
            to_host: Vec::new(),
            host_events: Vec::new(),
            guest_events: Vec::new(),
        }
    }

    fn up() -> Self {
        let mut line = Self::new();
        line.host.line_up(NONCE);
        line.guest.line_up(NONCE);
        line.settle();
        assert!(line.host.is_up() && line.guest.is_up());
        line.host_events.clear();
        line.guest_events.clear();
        line
    }

    /// Puts on the line what each side wants to send.
    fn write(&mut self) {
        move_output(&mut self.host, &mut self.to_guest);
        move_output(&mut self.guest, &mut self.to_host);
    }

    /// Lets each side read up to `count` bytes.
    fn read(&mut self, count: usize) {
        let part: Vec<u8> = self.to_guest.drain(..count.min(self.to_guest.len())).collect();
        self.guest.receive(&part);
        self.guest_events.extend(std::iter::from_fn(|| self.guest.next_event()));
        let part: Vec<u8> = self.to_host.drain(..count.min(self.to_host.len())).collect();
        self.host.receive(&part);
        self.host_events.extend(std::iter::from_fn(|| self.host.next_event()));
    }

    fn settle(&mut self) {
        loop {
            self.write();
            if self.to_guest.is_empty() && self.to_host.is_empty() {
                return;
            }
            self.read(usize::MAX);
        }
    }

    /// Opens a stream that the guest takes.
    fn stream(&mut self) -> StreamId {
        let id = self.host.open(1024).unwrap();
        self.settle();
        assert_eq!(self.guest_events.pop(), Some(Event::Incoming(id, 1024)));
        self.guest.accept(id);
        self.settle();
        assert_eq!(self.host_events.pop(), Some(Event::Opened(id)));
        id
    }
}

fn move_output(from: &mut Mux, to: &mut Vec<u8>) {
    to.extend_from_slice(from.output());
    from.output_taken(from.output().len());
}

fn packet(nonce: &Nonce, message: Message<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    encode(Tag::of(nonce), message, &mut line);
    line
}

fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.next_event()).collect()
}

#[test]
fn a_packet_without_effect_counts_as_nonsense() {
    let unknown = StreamId(99);
    let check = |nonce: &Nonce, message: Message<'_>| {
        let mut line = Line::up();
        line.stream();
        let bytes = packet(nonce, message);
        line.host.receive(&bytes);
        assert_eq!(events(&mut line.host), [], "{message:?}");
        assert!(line.host.garbage_bytes() >= 11, "{message:?}");
    };
    let known = Line::up().stream();
    check(&NONCE, Message::Window(known, 0));
    check(&NONCE, Message::Data(known, b""));
    check(&NONCE, Message::Opened(known));
    check(&OTHER_NONCE, Message::Data(known, b"of another session"));
    check(&NONCE, Message::Data(unknown, b"x"));
    check(&NONCE, Message::Window(unknown, 1));
    check(&NONCE, Message::Finish(unknown));
    check(&NONCE, Message::Reset(unknown));
    check(&NONCE, Message::Open(unknown, 1024));
}

#[test]
fn a_session_begins_whichever_side_comes_first() {
    let mut line = Line::new();
    line.host.line_up(NONCE);
    line.write();
    // The line keeps the hello until the agent starts.
    line.guest.line_up(NONCE);
    line.settle();
    assert!(line.host.is_up() && line.guest.is_up());

    let mut line = Line::new();
    line.guest.line_up(NONCE);
    line.settle();
    // Nobody was there to hear the greeting.
    line.host.line_up(NONCE);
    line.settle();
    assert!(line.host.is_up() && line.guest.is_up());
}

#[test]
fn a_hello_that_is_repeated_changes_nothing() {
    let mut line = Line::new();
    line.host.line_up(NONCE);
    line.write();
    for _ in 0..5 {
        line.host.greet_again();
        line.write();
    }
    line.settle();
    let id = line.host.open(1024).unwrap();
    line.settle();
    assert_eq!(line.guest_events, [Event::Up, Event::Incoming(id, 1024)]);
    assert_eq!(line.host_events, [Event::Up]);
}

#[test]
fn a_host_that_restarts_within_a_packet_begins_clean() {
    let mut line = Line::up();
    let id = line.stream();
    line.host.send(id, &[7; 9000]).unwrap();
    line.guest.send(id, &[8; 9000]).unwrap();
    line.write();
    // Half of each packet has passed when the host dies; the line keeps the rest.
    line.read(4000);
    line.to_guest.truncate(1000);
    line.host = Mux::new(Role::Host);
    line.host.line_up(OTHER_NONCE);
    line.settle();
    assert_eq!(line.guest_events, [Event::Down, Event::Up]);
    assert_eq!(line.host_events, [Event::Up]);
    line.stream();
}

#[test]
fn a_stream_of_a_former_session_is_not_mixed_with_a_new_one_of_the_same_id() {
    let mut line = Line::up();
    let id = line.stream();
    line.guest.send(id, b"old").unwrap();
    line.write();
    line.host = Mux::new(Role::Host);
    line.host.line_up(OTHER_NONCE);
    line.settle();
    line.guest_events.clear();
    line.host_events.clear();
    assert_eq!(line.stream(), id);
    assert_eq!(line.host_events, []);
}

#[test]
fn an_agent_that_restarts_gets_a_new_session() {
    let mut line = Line::up();
    let id = line.stream();
    line.host.send(id, &[7; 9000]).unwrap();
    line.write();
    line.read(4000);
    line.guest = Mux::new(Role::Guest);
    line.guest.line_up(NONCE);
    line.settle();
    assert_eq!(line.host_events, [Event::Down, Event::Greeted]);
    assert_eq!(line.host.open(1024), Err(OpenRefused::NotUp));
    line.host.renew(OTHER_NONCE);
    line.settle();
    assert!(line.host.is_up() && line.guest.is_up());
    line.host_events.clear();
    line.stream();
}

#[test]
fn bytes_of_a_stream_cannot_pose_as_packets() {
    let mut line = Line::up();
    let id = line.stream();
    // What somebody might upload in the hope that the agent restarts in the middle of it.
    let mut hostile = vec![0];
    encode(Tag::NONE, Message::Hello(OTHER_NONCE), &mut hostile);
    hostile.extend(packet(&OTHER_NONCE, Message::Open(StreamId(1), 1024)));
    line.host.send(id, &hostile).unwrap();
    line.write();
    for cut in 0..line.to_guest.len() {
        let mut agent = Mux::new(Role::Guest);
        agent.line_up(NONCE);
        agent.receive(&line.to_guest[cut..]);
        assert_eq!(events(&mut agent), []);
    }
}

#[test]
fn a_welcome_without_the_nonce_is_no_session() {
    let mut host = Mux::new(Role::Host);
    host.line_up(NONCE);
    host.receive(&packet(&NONCE, Message::Welcome(OTHER_NONCE)));
    host.receive(&packet(&OTHER_NONCE, Message::Welcome(OTHER_NONCE)));
    assert_eq!(events(&mut host), []);
}

#[test]
fn more_than_the_window_ends_the_stream_only() {
    let mut line = Line::up();
    let id = line.stream();
    let other = line.stream();
    let full = [5; PAYLOAD_MAX_BYTES];
    let packets = usize::try_from(WINDOW_BYTES).unwrap() / full.len();
    for _ in 0..packets {
        line.host.receive(&packet(&NONCE, Message::Data(id, &full)));
    }
    assert_eq!(events(&mut line.host).len(), packets);
    line.host.receive(&packet(&NONCE, Message::Data(id, &[1])));
    assert_eq!(events(&mut line.host), [Event::Reset(id)]);
    assert_eq!(line.host.send(id, b"x"), Err(StreamGone));
    assert_eq!(line.host.send(other, b"x"), Ok(1));
}

#[test]
fn a_window_beyond_the_limit_ends_the_stream() {
    let mut line = Line::up();
    let id = line.stream();
    line.host.receive(&packet(&NONCE, Message::Window(id, 1)));
    assert_eq!(events(&mut line.host), [Event::Reset(id)]);
}

#[test]
fn a_sender_stops_at_its_window_and_goes_on_with_credit() {
    let mut line = Line::up();
    let id = line.stream();
    let window = usize::try_from(WINDOW_BYTES).unwrap();
    let bytes = vec![3; window];
    let mut sent = 0;
    while let Ok(count @ 1..) = line.host.send(id, &bytes) {
        sent += count;
    }
    assert_eq!(sent, window);
    line.settle();
    line.guest.credit(id, window / 2);
    line.settle();
    assert_eq!(line.host_events, [Event::Writable(id)]);
    assert_eq!(line.host.send(id, &[1; 10]), Ok(10));
}

#[test]
fn each_direction_ends_by_itself() {
    let mut line = Line::up();
    let id = line.stream();
    line.host.finish(id);
    line.settle();
    assert_eq!(line.guest_events, [Event::Finished(id)]);
    assert_eq!(line.host.send(id, b"x"), Err(StreamGone));
    assert_eq!(line.guest.send(id, b"answer"), Ok(6));
    line.guest.finish(id);
    line.settle();
    assert_eq!(line.host_events, [Event::Data(id, b"answer".to_vec()), Event::Finished(id)]);
    assert_eq!(line.guest.send(id, b"x"), Err(StreamGone));
}

#[test]
fn a_guest_cannot_open_streams_or_speak_for_the_host() {
    let mut line = Line::up();
    for message in [
        Message::Open(StreamId(9), 1024),
        Message::Hello(OTHER_NONCE),
        Message::Welcome(NONCE),
        Message::Opened(StreamId(9)),
        Message::Data(StreamId(9), &[1]),
        Message::Finish(StreamId(9)),
        Message::Reset(StreamId(9)),
    ] {
        line.host.receive(&packet(&NONCE, message));
    }
    assert_eq!(events(&mut line.host), []);
    assert!(line.host.output().is_empty());
    assert!(line.host.is_up());
}

#[test]
fn greetings_without_end_cost_the_host_one_event() {
    let mut line = Line::up();
    for _ in 0..10_000 {
        line.host.receive(&packet(&NONCE, Message::Greeting));
    }
    assert_eq!(events(&mut line.host), [Event::Down, Event::Greeted]);
    assert!(line.host.output().len() < 100);
}

#[test]
fn streams_beyond_the_limit_are_refused_on_both_sides() {
    let mut line = Line::up();
    let ids: Vec<StreamId> = (0..MAX_STREAMS).map(|_| line.stream()).collect();
    assert_eq!(line.host.open(1024), Err(OpenRefused::TooMany));
    let extra = StreamId(9999);
    line.guest.receive(&packet(&NONCE, Message::Open(extra, 1024)));
    assert_eq!(events(&mut line.guest), []);
    assert_eq!(line.guest.output(), packet(&NONCE, Message::Reset(extra)));
    line.host.reset(ids[0]);
    line.settle();
    line.guest_events.clear();
    line.stream();
}

#[test]
fn a_stream_id_is_not_used_twice() {
    let mut line = Line::up();
    let id = line.stream();
    line.host.reset(id);
    line.settle();
    line.guest_events.clear();
    line.guest.receive(&packet(&NONCE, Message::Open(id, 1024)));
    assert_eq!(events(&mut line.guest), []);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_either() {
    let mut line = Line::up();
    let refused = packet(&NONCE, Message::Open(StreamId(0), 1024));
    while line.guest.wants_input() {
        line.guest.receive(&refused);
    }
    assert!(line.guest.output().len() < OUTBOX_HARD_BYTES + 100);
}

#[derive(Debug, Clone)]
enum Op {
    Open,
    Send { from_host: bool, stream: usize, length: usize },
    Finish { from_host: bool, stream: usize },
    Write,
    Read(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        1 => Just(Op::Open),
        6 => (any::<bool>(), 0_usize..4, 1_usize..30_000).prop_map(|(from_host, stream, length)| {
            Op::Send { from_host, stream, length }
        }),
        1 => (any::<bool>(), 0_usize..4).prop_map(|(from_host, stream)| {
            Op::Finish { from_host, stream }
        }),
        3 => Just(Op::Write),
        6 => (1_usize..40_000).prop_map(Op::Read),
    ];
    proptest::collection::vec(op, 1..120)
}

/// What one side has sent and the other has got, by stream.
type Ledger = BTreeMap<(bool, StreamId), (Vec<u8>, Vec<u8>)>;

/// Takes what came out of the events into the ledger, and gives credit for it.
fn collect(line: &mut Line, ledger: &mut Ledger) {
    for (from_host, events) in [(true, &mut line.guest_events), (false, &mut line.host_events)] {
        for event in events.drain(..) {
            let mux = if from_host { &mut line.guest } else { &mut line.host };
            match event {
                Event::Data(id, bytes) => {
                    ledger.entry((from_host, id)).or_default().1.extend_from_slice(&bytes);
                    mux.credit(id, bytes.len());
                }
                Event::Incoming(id, _) => mux.accept(id),
                Event::Reset(id) => panic!("{id} was reset"),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn streams_carry_their_bytes_in_order(ops in ops()) {
        let mut line = Line::up();
        let mut ids = vec![line.stream()];
        let mut ledger = Ledger::new();
        let mut next = 0_u8;
        for op in ops {
            match op {
                Op::Open if ids.len() < 4 => ids.push(line.host.open(1024).unwrap()),
                Op::Open => {}
                Op::Send { from_host, stream, length } => {
                    let Some(id) = ids.get(stream).copied() else { continue };
                    let bytes: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let mux = if from_host { &mut line.host } else { &mut line.guest };
                    if let Ok(count) = mux.send(id, &bytes) {
                        ledger.entry((from_host, id)).or_default().0.extend_from_slice(&bytes[..count]);
                    }
                }
                Op::Finish { from_host, stream } => {
                    let Some(id) = ids.get(stream).copied() else { continue };
                    if from_host { line.host.finish(id) } else { line.guest.finish(id) }
                }
                Op::Write => line.write(),
                Op::Read(count) => {
                    line.read(count);
                    collect(&mut line, &mut ledger);
                }
            }
        }
        loop {
            line.settle();
            if line.host_events.is_empty() && line.guest_events.is_empty() { break }
            collect(&mut line, &mut ledger);
        }
        for (key, (sent, got)) in &ledger {
            prop_assert_eq!(sent, got, "{:?}", key);
        }
        // Credit for a stream that is over is all that comes for nothing.
        prop_assert!(line.host.garbage_bytes() + line.guest.garbage_bytes() < 1024);
    }

    #[test]
    fn a_session_begins_after_any_stale_bytes(
        to_guest in proptest::collection::vec(any::<u8>(), 0..20_000),
        to_host in proptest::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let mut line = Line::new();
        line.to_guest = to_guest;
        line.to_host = to_host;
        // The guest's stale bytes end with whatever its next packet begins with.
        line.to_host.push(0);
        line.host.line_up(NONCE);
        line.guest.line_up(NONCE);
        line.settle();
        prop_assert!(line.host.is_up() && line.guest.is_up());
        line.host_events.clear();
        line.guest_events.clear();
        line.stream();
    }

    #[test]
    fn no_packet_of_a_hostile_guest_makes_the_host_grow(
        packets in proptest::collection::vec(
            (0_u8..12, 0_u32..6, proptest::collection::vec(any::<u8>(), 0..64)), 0..200),
    ) {
        let mut line = Line::up();
        line.stream();
        line.stream();
        for (kind, stream, payload) in packets {
            let mut bytes = Vec::new();
            let [a, b] = u16::try_from(payload.len()).unwrap().to_be_bytes();
            cobs::encode(
                &[&NONCE[..4], &[kind], &stream.to_be_bytes(), &[a, b], &payload], &mut bytes);
            line.host.receive(&bytes);
            prop_assert!(events(&mut line.host).len() <= 2);
        }
        prop_assert!(line.host.output().len() < 4096);
    }
}
