//! What control does to the ledger while calls are paid from it, in a process of its own that is killed as
//! well: it tops up an account by a millionth at a time, and each change that it has confirmed is there once.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rigbox_store::{Store, SystemClock, ledger::Change};
use rigbox_types::{AccountId, Credits, api::credits::CreditChangeKind};
use serde::{Deserialize, Serialize};

/// What a child of these tests is started with: see [`Start`].
const START: &str = "RIGBOX_TEST_CREDIT_CHANGES";

/// What a confirmed change is told with.
const CONFIRMED: &str = "confirmed ";

#[derive(Debug, Serialize, Deserialize)]
struct Start {
    store: String,
    account: AccountId,
    from: u64,
}

/// A process that changes an account's credits until it is killed.
pub(super) struct Changes {
    store: String,
    account: AccountId,
    process: Child,
    /// Reads what it says to its end.
    reader: Option<JoinHandle<()>>,
    /// The number after the last change that was confirmed.
    next: Arc<AtomicU64>,
}

impl Changes {
    pub(super) fn start(store: &str, account: AccountId) -> Self {
        let next = Arc::new(AtomicU64::new(0));
        let (process, reader) = spawn(store, account, &next);
        Self { store: store.to_owned(), account, process, reader: Some(reader), next }
    }

    /// Kills it, where it has not ended with its database, and starts it where it was.
    pub(super) fn kill(&mut self) {
        self.stop();
        let (process, reader) = spawn(&self.store, self.account, &self.next);
        (self.process, self.reader) = (process, Some(reader));
    }

    /// Starts it again where it has ended because its database was away.
    pub(super) fn keep(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            self.kill();
        }
    }

    /// Kills it and says what its account must have got.
    pub(super) async fn end(&mut self, store: &Store) -> Credits {
        self.stop();
        // It may have been made, and not confirmed.
        let last = self.next.fetch_add(1, Ordering::SeqCst);
        change(store, self.account, last).await;
        Credits::from_micro(i64::try_from(last + 1).unwrap()).unwrap()
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(store: &str, account: AccountId, next: &Arc<AtomicU64>) -> (Child, JoinHandle<()>) {
    let start = Start { store: store.to_owned(), account, from: next.load(Ordering::SeqCst) };
    // It ends with this thread, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::changes::change_until_killed", "--nocapture"]);
    command.env(START, serde_json::to_string(&start).unwrap()).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let (lines, next) = (BufReader::new(process.stdout.take().unwrap()), next.clone());
    let reader = thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let number = line.strip_prefix(CONFIRMED).and_then(|number| number.parse::<u64>().ok());
            if let Some(number) = number {
                next.fetch_max(number + 1, Ordering::SeqCst);
            }
        }
    });
    (process, reader)
}

async fn change(store: &Store, account: AccountId, number: u64) {
    let change = Change {
        account,
        kind: CreditChangeKind::TopUp,
        amount: Credits::from_micro(1).unwrap(),
        reason: "a drop",
        actor: "key:2",
        key: &format!("drop-{number}"),
    };
    store.ledger().change(&change).await.unwrap();
}

/// The child of these tests; of no use by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_until_killed() {
    let Ok(start) = std::env::var(START) else { return };
    let start: Start = serde_json::from_str(&start).unwrap();
    let store = Store::open(&start.store.parse().unwrap(), Arc::new(SystemClock)).await.unwrap();
    for number in start.from.. {
        change(&store, start.account, number).await;
        println!("\n{CONFIRMED}{number}");
        // It is not to be all that the database does.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
