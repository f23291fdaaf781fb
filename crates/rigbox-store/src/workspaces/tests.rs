use rigbox_types::{
    AccountId, Desired, Generation, HostId, WorkspaceId,
    api::workspaces::Idle,
    host::{Capacity, DriverName, Egress, HostRegistration, Resources},
};
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    LIST_OF_ACCOUNT, LIST_OF_ALL, LIST_OF_RUNNING, NewWorkspace, Owner, Wanted,
    admit::{SUM_OF_ACCOUNT, SUM_OF_HOST},
};
use crate::{PageRequest, Store, StoreUrl, SystemClock, feed, samples};

/// How SQLite would answer a statement.
async fn plan(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("db")).unwrap();
    let url = StoreUrl::Sqlite(path);
    let store = Store::open(&url, std::sync::Arc::new(SystemClock)).await.unwrap();
    let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let rows = sqlx::query(text).fetch_all(&store.engine.read).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

async fn check(text: &str, index: &str) {
    let plan = plan(text).await;
    assert!(plan.starts_with("SEARCH") && plan.contains(index), "{text}: {plan}");
    // Sorting would read everything before the first row.
    assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
}

#[tokio::test]
async fn the_cost_of_a_page_does_not_depend_on_how_many_there_are() {
    check(LIST_OF_ACCOUNT, "workspaces_of_account").await;
    check(LIST_OF_ALL, "workspaces_by_age").await;
    check(feed::CHANGES_READ, "workspaces_by_revision").await;
    check(feed::REMOVALS_READ, "removals_by_host").await;
    check(LIST_OF_RUNNING, "workspaces_running").await;
    check(feed::WHOLE_READ, "workspaces_of_host").await;
    check(samples::SINCE, "sqlite_autoindex_samples").await;
}

#[tokio::test]
async fn what_is_promised_is_summed_without_reading_rows_of_others() {
    check(SUM_OF_HOST, "INDEX sqlite_autoindex_host_sums").await;
    check(SUM_OF_ACCOUNT, "COVERING INDEX workspaces_of_account").await;
}

#[tokio::test]
async fn many_at_once_are_like_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("db")).unwrap();
    let clock = std::sync::Arc::new(SystemClock);
    let store = Store::open(&StoreUrl::Sqlite(path), clock).await.unwrap();
    let account =
        store.accounts().ensure_operator(AccountId::from_random([1; 16])).await.unwrap().id;
    let host = HostId::from_random([1; 8]);
    store.hosts().register(&registration(&host)).await.unwrap();
    let all: Vec<_> = (1..=3).map(|n| new_workspace(account, &host, n)).collect();
    store.workspaces().insert_all(&all).await.unwrap();
    let one = store.workspaces().insert(&new_workspace(account, &host, 4), None).await.unwrap();
    let page = store.workspaces().list(Owner::Account(account), &PageRequest::default()).await;
    let revisions: Vec<u64> = page.unwrap().items.iter().map(|row| row.revision.0).collect();
    let mut each = revisions.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!((each.len(), each.last()), (4, Some(&one.revision.0)), "{revisions:?}");
    assert_eq!(store.workspaces().promised_by_host(&host).await.unwrap().disk_mib, 4 * 512);
}

fn registration(id: &HostId) -> HostRegistration {
    HostRegistration {
        id: id.clone(),
        region: "local".parse().unwrap(),
        address: "unix:/run/host.sock".to_owned(),
        version: "1".to_owned(),
        driver: DriverName::QemuTcg,
        capacity: Capacity { vcpus: 8, memory_mib: 8_192, disk_mib: 8_192 },
    }
}

fn new_workspace(account: AccountId, host: &HostId, n: u8) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::from_random([n; 8]),
        account,
        name: format!("w-{n}").parse().unwrap(),
        region: "local".parse().unwrap(),
        host: host.clone(),
        image: "tiny".parse().unwrap(),
        template: None,
        wanted: Wanted {
            desired: Desired::Stopped,
            restart_generation: Generation::default(),
            retry_generation: Generation::default(),
            force: false,
            resources: Resources { vcpus: 1, memory_mib: 128, disk_mib: 512 },
            egress: Egress::default(),
            idle: Idle::default(),
            env: None,
            setup_scripts: Vec::new(),
            service_specs: Vec::new(),
            creation_attempts: 0,
            creation_started_at: None,
        },
    }
}
