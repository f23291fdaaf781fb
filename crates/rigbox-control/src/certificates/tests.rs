//! Certificates of a platform without a public domain, over starts of several processes.

use std::sync::Arc;

use camino::Utf8Path;
use rigbox_store::{Store, StoreUrl, SystemClock};
use rigbox_types::edge::EdgeEvent;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;

async fn open(dir: &Utf8Path) -> Arc<Certificates> {
    let url = StoreUrl::Sqlite(dir.join("rigbox.db"));
    let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
    Certificates::open(store, dir, "rigbox.localhost", CertificateConfig::default()).await.unwrap()
}

fn dir() -> (TempDir, camino::Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
    (dir, path)
}

struct OneShop;

#[async_trait]
impl Wanted for OneShop {
    async fn wanted_names(&self) -> Result<Vec<String>, StoreError> {
        Ok(vec!["shop.example.com".to_owned()])
    }
}

struct NoEdges;

#[async_trait]
impl Edges for NoEdges {
    async fn taken(&self, _: u64, _: Duration) -> bool {
        true
    }
}

/// Runs until there is a certificate and a key of tickets, and gives what edges are told.
async fn settled(certificates: &Arc<Certificates>) -> Vec<EdgeEvent> {
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    let running = run(certificates.clone(), Arc::new(OneShop), Arc::new(NoEdges), shutdown);
    let running = tokio::spawn(running);
    let mut versions = certificates.subscribe();
    loop {
        let events = certificates.events();
        let has_certificate = matches!(events.first(), Some(EdgeEvent::Certificate(_)));
        let has_key = matches!(
            events.last(), Some(EdgeEvent::TicketKeys { keys }) if !keys.is_empty()
        );
        if has_certificate && has_key {
            running.abort();
            return events;
        }
        versions.changed().await.unwrap();
    }
}

fn certificate(events: &[EdgeEvent]) -> EdgeCertificate {
    let [EdgeEvent::Certificate(one), EdgeEvent::Challenges { .. }, EdgeEvent::TicketKeys { .. }] =
        events
    else {
        panic!("{events:?}")
    };
    (**one).clone()
}

#[tokio::test]
async fn without_an_authority_the_local_ca_signs_for_the_domain_alone() {
    let (_dir, path) = dir();
    let certificates = open(&path).await;
    assert_eq!(certificates.ca_pem(), None);
    let events = settled(&certificates).await;
    let one = certificate(&events);
    assert_eq!(one.names, ["*.rigbox.localhost", "rigbox.localhost"]);
    let ca = certificates.ca_pem().unwrap();
    // As after a restart, and in another process: the same.
    let again = open(&path).await;
    assert_eq!(again.events(), events);
    assert_eq!(settled(&again).await, events);
    assert_eq!(again.ca_pem().unwrap(), ca);
    // Nothing of a secret is in the database as it is.
    let database: Vec<u8> = ["rigbox.db", "rigbox.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(path.join(name)).unwrap_or_default())
        .collect();
    assert!(!database.windows(11).any(|part| part == b"PRIVATE KEY"));
}

#[tokio::test]
async fn without_its_key_file_nothing_is_served_and_the_ca_is_not_replaced() {
    let (_dir, path) = dir();
    let first = settled(&open(&path).await).await;
    let key = std::fs::read(path.join("certificates.key")).unwrap();
    std::fs::remove_file(path.join("certificates.key")).unwrap();
    let without = open(&path).await;
    assert!(!matches!(without.events()[0], EdgeEvent::Certificate(_)));
    let refused = without.sign_locally().await.err().unwrap();
    assert!(refused.to_string().contains("put back the file"), "{refused}");
    drop(without);
    // With the file of the backup it is as it was, but for the keys of tickets.
    std::fs::write(path.join("certificates.key"), key).unwrap();
    assert_eq!(certificate(&settled(&open(&path).await).await), certificate(&first));
}
