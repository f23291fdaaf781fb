//! All ways to a certificate, with an authority that refuses nonces, and again.

use rigbox_certs::{Account, Issued, Kind, OrderRequest};

use crate::{
    pebble::{Options, Pebble},
    world::{World, now},
};

pub(crate) async fn order(
    account: &Account,
    (names, kinds): (&[&str], &[Kind]),
    replaces: Option<&Issued>,
    world: &World,
) -> Result<Issued, rigbox_certs::AcmeError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let request = OrderRequest {
        names: &names,
        kinds,
        replaces: replaces.map(|issued| &issued.leaf),
        dns_alias: None,
        now: now(),
    };
    let issued = account.order(&request, world).await?;
    assert!(world.is_clean(), "challenges are left");
    Ok(issued)
}

async fn issues_and_renews(names: &[&str], kind: Kind) {
    let world = World::start().await;
    let options = Options { nonces_refused: 20, ..Options::default() };
    let pebble = Pebble::start(&world, options).await;
    let (account, kept) = pebble.authority().account(None).await.unwrap();
    let first = order(&account, (names, &[kind]), None, &world).await.unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(first.leaf.names, sorted);
    assert_eq!(world.take_published(), vec![kind; names.len()]);
    // As after a restart: the account is opened from what was kept.
    let (account, made) = pebble.authority().account(kept.as_ref()).await.unwrap();
    assert!(made.is_none());
    let second = order(&account, (names, &[kind]), Some(&first), &world).await.unwrap();
    assert_eq!(second.leaf.names, first.leaf.names);
    assert_ne!(second.chain_pem, first.chain_pem);
    assert_eq!(account.renewal(&second.leaf, now()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_issued_and_renewed_by_dns() {
    issues_and_renews(&["*.example.com", "example.com"], Kind::Dns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_issued_and_renewed_by_a_handshake() {
    issues_and_renews(&["shop.example.com"], Kind::TlsAlpn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_issued_and_renewed_by_a_page() {
    issues_and_renews(&["shop.example.com"], Kind::Http).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn most_nonces_may_be_refused() {
    let world = World::start().await;
    let options = Options { nonces_refused: 60, ..Options::default() };
    let pebble = Pebble::start(&world, options).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let wanted = (["shop.example.com"].as_slice(), [Kind::Http].as_slice());
    order(&account, wanted, None, &world).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_handshake_does_not_do_a_page_does() {
    let world = World::start().await;
    world.breaks(Kind::TlsAlpn);
    let pebble = Pebble::start(&world, Options::default()).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let wanted = (["shop.example.com"].as_slice(), [Kind::TlsAlpn, Kind::Http].as_slice());
    order(&account, wanted, None, &world).await.unwrap();
    assert_eq!(world.take_published(), [Kind::TlsAlpn, Kind::Http]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_proven_is_not_proven_again() {
    let world = World::start().await;
    let options = Options { proofs_reused: 100, ..Options::default() };
    let pebble = Pebble::start(&world, options).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let wanted = (["shop.example.com"].as_slice(), [Kind::Http].as_slice());
    let first = order(&account, wanted, None, &world).await.unwrap();
    assert_eq!(world.take_published(), [Kind::Http]);
    order(&account, wanted, Some(&first), &world).await.unwrap();
    assert_eq!(world.take_published(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_the_records_name_is_used() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let names = ["example.com".to_owned()];
    let request = OrderRequest {
        names: &names,
        kinds: &[Kind::Dns],
        replaces: None,
        dns_alias: Some("_acme-challenge.example.com"),
        now: now(),
    };
    account.order(&request, &world).await.unwrap();
}
