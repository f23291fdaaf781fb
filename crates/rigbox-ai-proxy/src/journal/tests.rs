use std::io::Write as _;

use proptest::prelude::*;
use rigbox_types::{Credits, Timestamp};

use super::*;

fn credits(micro: i64) -> Credits {
    Credits::from_micro(micro).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

fn beginning(held: i64) -> Beginning {
    Beginning {
        account: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        workspace: "ws-aaaaaaaa".parse().unwrap(),
        provider: "openai".to_owned(),
        model: "gpt-5-mini".to_owned(),
        operation: "chat_completion".to_owned(),
        mode: "managed".to_owned(),
        subject: Some("ädä".to_owned()),
        held: credits(held),
        at: now(),
    }
}

fn end(charge: i64) -> End {
    End { charge: credits(charge), basis: "reported".to_owned(), at: Some(now()), ..End::default() }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    /// Charges by id of what earlier processes have left.
    fn left(&self) -> Vec<(String, i64, String)> {
        let left = read_all(self.path(), u64::MAX, now()).unwrap();
        let calls = left
            .calls
            .iter()
            .map(|(_, call)| (call.request_id.clone(), call.charge.micro(), call.basis.clone()));
        let mut calls: Vec<_> = calls.collect();
        calls.sort();
        calls
    }

    fn segments(&self) -> Vec<u64> {
        segment::list(self.path()).unwrap()
    }
}

#[test]
fn what_a_killed_process_leaves_is_known_to_the_next_one() {
    let folder = Folder::new();
    let [over, cut, given_back] = [1, 2, 3].map(CallId::from_u128);
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    for id in [over, cut, given_back] {
        journal.begin(id, &beginning(100)).unwrap();
    }
    journal.end(over, &end(7)).unwrap();
    journal.end(given_back, &End { released: true, ..end(0) }).unwrap();
    // As after kill -9: nothing is flushed, and nobody says goodbye.
    drop(journal);
    let next = Journal::open(folder.path(), "ai-2").unwrap();
    let left = read_all(folder.path(), next.first(), now()).unwrap();
    assert!(left.calls.iter().all(|(holder, _)| holder == "ai-1"));
    let found: Vec<_> =
        left.calls.iter().map(|(_, call)| (call.charge.micro(), call.basis.as_str())).collect();
    assert_eq!(found, [(7, "reported"), (100, "interrupted")]);
    assert_eq!(left.calls[1].1.subject.as_deref(), Some("ädä"));
    left.delete();
    assert_eq!(folder.segments(), [2]);
}

#[test]
fn of_several_ends_the_last_one_counts() {
    let folder = Folder::new();
    let [known, over, nothing] = [1, 2, 3].map(CallId::from_u128);
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    for id in [known, over, nothing] {
        journal.begin(id, &beginning(100)).unwrap();
        journal.end(id, &end(7)).unwrap();
    }
    journal.end(over, &end(8)).unwrap();
    journal.end(nothing, &End { released: true, ..end(0) }).unwrap();
    drop(journal);
    assert_eq!(folder.left().iter().map(|call| call.1).collect::<Vec<_>>(), [7, 8]);
}

#[test]
fn a_call_is_not_refused_once_it_is_written_down() {
    let folder = Folder::new();
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    // What is to be the next segment cannot be made.
    std::fs::create_dir(segment::path_of(folder.path(), 2)).unwrap();
    let mut ids: Vec<_> = (0..200).map(CallId::from_u128).collect();
    for id in &ids {
        journal.begin(*id, &beginning(1)).unwrap();
    }
    assert!(segment::path_of(folder.path(), 1).metadata().unwrap().len() > SEGMENT_BYTES);
    // It goes on as soon as it can.
    std::fs::remove_dir(segment::path_of(folder.path(), 2)).unwrap();
    ids.push(CallId::from_u128(200));
    journal.begin(ids[200], &beginning(1)).unwrap();
    assert_eq!(folder.segments(), [1, 2]);
    journal.posted(ids);
    assert_eq!(folder.segments(), [2]);
}

#[test]
fn calls_behind_a_head_that_is_damaged_count() {
    let folder = Folder::new();
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    journal.begin(CallId::from_u128(1), &beginning(100)).unwrap();
    drop(journal);
    let path = segment::path_of(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let left = read_all(folder.path(), u64::MAX, now()).unwrap();
    let found: Vec<_> = left.calls.iter().map(|(by, call)| (by.as_str(), call.charge)).collect();
    assert_eq!(found, [("ai-unknown", credits(100))]);
}

#[test]
fn a_line_that_was_torn_is_none_and_one_that_is_damaged_is_put_aside() {
    let folder = Folder::new();
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    journal.begin(CallId::from_u128(1), &beginning(100)).unwrap();
    journal.begin(CallId::from_u128(2), &beginning(50)).unwrap();
    drop(journal);
    let path = segment::path_of(folder.path(), 1);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"0123456789abcdef {\"end\":{\"id\":\"0000").unwrap();
    assert_eq!(folder.left().len(), 2);
    assert!(!path.with_extension("damaged").exists());
    // One bit of a number that is still a number.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"0.0001").unwrap() + 5;
    bytes[at] = b'9';
    std::fs::write(&path, bytes).unwrap();
    let calls = folder.left();
    assert_eq!(calls.iter().map(|call| call.1).collect::<Vec<_>>(), [50]);
    assert!(path.with_extension("damaged").exists());
}

#[test]
fn one_process_at_a_time() {
    let folder = Folder::new();
    let first = Journal::open(folder.path(), "ai-1").unwrap();
    let second = Journal::open(folder.path(), "ai-2").err().unwrap();
    assert!(matches!(second, JournalError::InUse(_)), "{second}");
    drop(first);
    Journal::open(folder.path(), "ai-2").unwrap();
}

#[test]
fn a_segment_goes_once_all_of_its_calls_were_posted_and_no_sooner() {
    let folder = Folder::new();
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    let mut ids = Vec::new();
    while folder.segments().len() < 3 {
        let id = CallId::from_u128(u128::try_from(ids.len()).unwrap());
        journal.begin(id, &beginning(1)).unwrap();
        ids.push(id);
    }
    // The newest is alone in the third one.
    let [_, last] = [ids.pop().unwrap(), ids.pop().unwrap()];
    journal.posted(ids[1..].iter().copied());
    assert_eq!(folder.segments(), [1, 2, 3]);
    journal.end(ids[0], &end(1)).unwrap();
    journal.posted([ids[0]]);
    assert_eq!(folder.segments(), [2, 3]);
    journal.posted([last]);
    assert_eq!(folder.segments(), [3]);
}

#[tokio::test]
async fn what_is_waited_for_is_on_disk() {
    let folder = Folder::new();
    let journal = Journal::open(folder.path(), "ai-1").unwrap();
    let syncing = tokio::spawn(journal.clone().keep_synced());
    for number in 0..100 {
        let id = CallId::from_u128(number);
        let position = journal.begin(id, &beginning(1)).unwrap();
        journal.on_disk(position).await;
    }
    syncing.abort();
}

proptest! {
    #[test]
    fn any_cut_leaves_no_call_free_and_none_charged_twice(
        calls in proptest::collection::vec((0..1_000_i64, proptest::option::of(0..1_000_i64)), 1..20),
        cut in 0.0..1.0_f64,
    ) {
        let folder = Folder::new();
        let journal = Journal::open(folder.path(), "ai-1").unwrap();
        for (number, (held, _)) in calls.iter().enumerate() {
            let id = CallId::from_u128(u128::try_from(number).unwrap());
            journal.begin(id, &beginning(*held)).unwrap();
        }
        for (number, (_, charge)) in calls.iter().enumerate() {
            let id = CallId::from_u128(u128::try_from(number).unwrap());
            if let Some(charge) = charge {
                journal.end(id, &end(*charge)).unwrap();
            }
        }
        drop(journal);
        let path = segment::path_of(folder.path(), 1);
        let bytes = std::fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it")]
        #[expect(clippy::cast_precision_loss, reason = "a share of it")]
        let kept = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&path, &bytes[..kept]).unwrap();
        let whole = String::from_utf8_lossy(&bytes[..kept]).matches("\"begin\"").count();
        let found = folder.left();
        // A beginning that was cut itself was on no disk, and nothing of its answer was shown.
        prop_assert!(found.len() == whole || found.len() + 1 == whole);
        let mut ids: Vec<_> = found.iter().map(|call| &call.0).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len());
        for (id, charge, basis) in found {
            let number = (0..calls.len()).find(|number| {
                request_id(CallId::from_u128(u128::try_from(*number).unwrap())) == id
            });
            let (held, charged) = calls[number.unwrap()];
            prop_assert!(Some(charge) == charged || (charge == held && basis == "interrupted"));
        }
    }
}
