use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rigbox_store::{PageRequest, Store, StoreUrl, SystemClock, workspaces::Owner};
use secrecy::ExposeSecret as _;

use crate::kit::{Database, World, account, host, new_workspace, workspace_id};

/// Database and first number of a child of [`what_a_killed_writer_was_promised_is_there`].
const WRITER_URL: &str = "RIGBOX_TEST_WRITER_URL";
const WRITER_FROM: &str = "RIGBOX_TEST_WRITER_FROM";

/// What a writer says before each number that was written.
const WRITTEN: &str = "written ";

const ROUNDS: u64 = 3;

pub(crate) async fn what_a_killed_writer_was_promised_is_there(mut world: World) {
    let mut next = 0;
    let mut promised = Vec::new();
    for round in 0..ROUNDS {
        let mut writer = start_writer(&world.url, next);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut written = lines
            .by_ref()
            .filter_map(|line| line.unwrap().strip_prefix(WRITTEN)?.parse::<u64>().ok())
            .take(25)
            .collect::<Vec<_>>();
        writer.kill().unwrap();
        writer.wait().unwrap();
        // Said before the signal came.
        for line in lines.map_while(Result::ok) {
            written.extend(line.strip_prefix(WRITTEN).and_then(|n| n.parse::<u64>().ok()));
        }
        next = written.last().unwrap() + 2;
        promised.extend(written);
        if let (1, Database::Postgres(server)) = (round, &mut world.database) {
            // The server too.
            server.kill();
            server.start_again();
        }
    }
    let store = world.another_store().await;
    for n in &promised {
        let row = store.workspaces().get(&workspace_id(*n)).await;
        assert!(row.is_ok(), "{n} was promised and is gone: {row:?}");
    }
    // At most one a round was written and not promised, because the writer was killed in between.
    let mut all = 0;
    let mut page = PageRequest { limit: 200, cursor: None };
    loop {
        let found = store.workspaces().list(Owner::Everyone, &page).await.unwrap();
        all += found.items.len();
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    let unsaid = all - promised.len();
    assert!(unsaid <= usize::try_from(ROUNDS).unwrap(), "{unsaid}");
}

fn start_writer(url: &StoreUrl, from: u64) -> Child {
    let url = match url {
        StoreUrl::Sqlite(path) => format!("sqlite:{path}"),
        StoreUrl::Postgres(address) => address.expose_secret().to_owned(),
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::write_until_killed", "--nocapture"])
        .env(WRITER_URL, url)
        .env(WRITER_FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The child of [`what_a_killed_writer_was_promised_is_there`]; of no use by itself.
#[tokio::test]
async fn write_until_killed() {
    let Ok(url) = std::env::var(WRITER_URL) else { return };
    let from: u64 = std::env::var(WRITER_FROM).unwrap().parse().unwrap();
    let store = Store::open(&url.parse().unwrap(), Arc::new(SystemClock)).await.unwrap();
    for n in from..from + 900 {
        let new = new_workspace(account(1), &host(1), n);
        store.workspaces().insert(&new, None).await.unwrap();
        println!("{WRITTEN}{n}");
    }
}
