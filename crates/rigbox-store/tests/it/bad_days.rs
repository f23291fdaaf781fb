use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use camino::Utf8Path;
use rigbox_store::{OpenError, PageRequest, Store, StoreError, StoreUrl, workspaces::Owner};

use crate::kit::{Database, TestClock, World, account, host, new_workspace, profile, registration};

/// Names the directory that a child of [`a_full_disk_is_said_and_passes`] works in.
const FULL_DISK_DIR: &str = "RIGBOX_TEST_FULL_DISK_DIR";

pub(crate) async fn run(world: &World, text: &'static str) {
    sqlx::raw_sql(text).execute(&mut world.raw().await).await.unwrap();
}

pub(crate) async fn a_value_that_cannot_be_read_names_its_column(world: World) {
    let workspaces = world.store.workspaces();
    let row = workspaces.insert(&world.new_workspace(), None).await.unwrap();
    // In the order in which columns are read, the last one first.
    for (damage, column) in [
        ("UPDATE workspaces SET setup = '{'", "workspaces.setup"),
        ("UPDATE workspaces SET vcpus = 256", "workspaces.vcpus"),
        ("UPDATE workspaces SET desired = 'flying'", "workspaces.desired"),
        ("UPDATE workspaces SET generation = -1", "workspaces.generation"),
        ("UPDATE workspaces SET name = 'No Name'", "workspaces.name"),
    ] {
        run(&world, damage).await;
        let error = workspaces.get(&row.id).await.unwrap_err();
        let StoreError::Corrupt { what, .. } = &error else { panic!("{error:?}") };
        assert_eq!(what, column);
    }
}

pub(crate) async fn calls_of_a_closed_store_say_so(world: World) {
    world.store.close().await;
    let error = world.store.workspaces().list(Owner::Everyone, &PageRequest::default()).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    let error = world.store.accounts().insert_user(account(2), &profile("free"), None).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
}

/// A request whose client goes away is dropped wherever it waits.
pub(crate) async fn a_transaction_that_is_dropped_has_no_effect(world: World) {
    for n in 0..40_u64 {
        let (store, new) = (world.store.clone(), world.new_workspace());
        let insert = async move { store.workspaces().insert(&new, None).await };
        let insert = tokio::spawn(insert);
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        insert.abort();
        drop(insert.await);
    }
    // Neither the writing connection nor the counter is stuck, and rows are whole.
    let last = world.store.workspaces().insert(&world.new_workspace(), None).await;
    let last = last.unwrap();
    let page = PageRequest { limit: 200, cursor: None };
    let page = world.store.workspaces().list(Owner::Everyone, &page).await.unwrap();
    assert!(page.items.iter().all(|row| row.revision <= last.revision));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_unavailable_until_it_is_back() {
    let mut world = World::on_postgres().await;
    let mut watcher = world.store.feed().subscribe();
    let Database::Postgres(server) = &mut world.database else { panic!("no server") };
    server.kill();
    let error = world.store.workspaces().get(&new_workspace(account(1), &host(1), 1).id).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    let error = world.store.accounts().insert_user(account(2), &profile("free"), None).await;
    assert!(matches!(error, Err(StoreError::Unavailable(_))), "{error:?}");
    server.start_again();
    world.add_account(2).await;
    let heard = tokio::time::timeout(Duration::from_secs(60), watcher.next()).await;
    assert_eq!(heard.unwrap(), Some(rigbox_store::feed::Wake::Everything));
    let row = world.store.workspaces().insert(&world.new_workspace(), None).await;
    let (workspace, host) = (row.unwrap().id, world.host.clone());
    let heard = tokio::time::timeout(Duration::from_secs(60), watcher.next()).await;
    assert_eq!(heard.unwrap(), Some(rigbox_store::feed::Wake::Workspace { workspace, host }));
}

/// The code that the server gives when its disk is full, given by a trigger.
#[tokio::test]
async fn a_full_disk_of_the_server_is_said() {
    let world = World::on_postgres().await;
    run(
        &world,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON workspaces EXECUTE FUNCTION full_disk()",
    )
    .await;
    let full = world.store.workspaces().insert(&world.new_workspace(), None).await;
    assert!(matches!(full, Err(StoreError::DiskFull(_))), "{full:?}");
}

#[tokio::test]
async fn a_full_disk_is_said_and_passes() {
    assert!(rustix::process::geteuid().is_root(), "needs root, to mount a small disk");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    // The mount is in a namespace of the child's own and goes with it.
    let script = format!("mount -t tmpfs -o size=4m none '{path}' && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "bad_days::on_a_small_disk", "--nocapture"])
        .env(FULL_DISK_DIR, path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("was full and is not"), "{said}");
}

/// The child of [`a_full_disk_is_said_and_passes`]; of no use by itself.
#[tokio::test]
async fn on_a_small_disk() {
    let Ok(dir) = std::env::var(FULL_DISK_DIR) else { return };
    let dir = Utf8Path::new(&dir);
    let url = StoreUrl::Sqlite(dir.join("db"));
    let store = Store::open(&url, TestClock::new()).await.unwrap();
    store.accounts().insert_user(account(1), &profile("operator"), None).await.unwrap();
    store.hosts().register(&registration(&host(1))).await.unwrap();
    let insert = async |n| {
        let new = new_workspace(account(1), &host(1), n);
        store.workspaces().insert(&new, None).await
    };
    let first = insert(1).await.unwrap();
    // Takes what is left.
    std::fs::write(dir.join("filler"), vec![0; 4 * 1024 * 1024]).unwrap_err();
    let mut n = 1;
    let full = loop {
        n += 1;
        if let Err(error) = insert(n).await {
            break error;
        }
    };
    assert!(matches!(full, StoreError::DiskFull(_)), "{full:?}");
    assert_eq!(store.workspaces().get(&first.id).await.unwrap(), first);
    std::fs::remove_file(dir.join("filler")).unwrap();
    insert(n).await.unwrap();
    println!("was full and is not");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("db")).unwrap();
    std::fs::write(&path, vec![7; 8_192]).unwrap();
    let error = Store::open(&StoreUrl::Sqlite(path), TestClock::new()).await.err().unwrap();
    let OpenError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(source, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_file_is_private() {
    let world = World::on_sqlite().await;
    let StoreUrl::Sqlite(path) = &world.url else { panic!("no file") };
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_url_shows_no_password() {
    let url: StoreUrl = "postgres://me:hunter2@db/rigbox".parse().unwrap();
    assert!(!format!("{url} {url:?}").contains("hunter2"));
    for text in ["", "sqlite:", "sqlite:x", "sqlite:/", "mysql://x", "/var/db"] {
        assert!(text.parse::<StoreUrl>().is_err(), "{text}");
    }
    let same = ["sqlite:/a/b", "sqlite:///a/b"].map(|text| text.parse::<StoreUrl>().unwrap());
    assert_eq!(same.map(|url| url.to_string()), ["sqlite:/a/b", "sqlite:/a/b"]);
}
