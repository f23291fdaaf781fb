//! What an authority refuses is told in its own words.

use std::collections::BTreeMap;

use rigbox_certs::{AcmeError, Authority, ExternalAccount, Kind};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    issue::order,
    pebble::{Options, Pebble},
    world::World,
};

const WANTED: (&[&str], &[Kind]) = (&["shop.example.com"], &[Kind::TlsAlpn, Kind::Http]);

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_proven_is_told_with_every_reason() {
    let world = World::start().await;
    world.breaks(Kind::TlsAlpn);
    world.breaks(Kind::Http);
    let pebble = Pebble::start(&world, Options::default()).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let refused = order(&account, WANTED, None, &world).await.err().unwrap();
    let AcmeError::NoProof { tries } = refused else { panic!("{refused}") };
    assert!(tries[0].contains("shop.example.com was not proven by tls-alpn-01"), "{tries:?}");
    assert!(tries[1].contains("http-01") && tries[1].contains("404"), "{tries:?}");
    assert!(world.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_is_not_proven_by_a_page() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let (account, _) = pebble.authority().account(None).await.unwrap();
    let wanted = (["*.example.com"].as_slice(), [Kind::Http].as_slice());
    let refused = order(&account, wanted, None, &world).await.err().unwrap();
    assert!(refused.to_string().contains("does not offer it"), "{refused}");
    assert_eq!(world.take_published(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_authority_forgot_is_told_apart() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let (_, kept) = pebble.authority().account(None).await.unwrap();
    let former = pebble.directory.clone();
    pebble.stop().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let kept = kept.unwrap().expose_secret().replace(&former, &pebble.directory);
    let base = |directory: &str| directory.trim_end_matches("/dir").to_owned();
    let kept = kept.replace(&base(&former), &base(&pebble.directory));
    let (account, _) = pebble.authority().account(Some(&kept.into())).await.unwrap();
    let refused = order(&account, WANTED, None, &world).await.err().unwrap();
    assert!(refused.is_account_gone(), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_account_is_refused() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let (_, one) = pebble.authority().account(None).await.unwrap();
    let (_, other) = pebble.authority().account(None).await.unwrap();
    let parse = |text: SecretString| {
        serde_json::from_str::<serde_json::Value>(text.expose_secret()).unwrap()
    };
    let (mut one, other) = (parse(one.unwrap()), parse(other.unwrap()));
    one["key_pkcs8"] = other["key_pkcs8"].clone();
    let (account, _) = pebble.authority().account(Some(&one.to_string().into())).await.unwrap();
    let refused = order(&account, WANTED, None, &world).await.err().unwrap();
    let AcmeError::Problem { problem, .. } = &refused else { panic!("{refused}") };
    assert!(
        problem.detail.contains("verification error") || problem.kind == "malformed",
        "{problem}"
    );
    let broken = pebble.authority().account(Some(&"{}".to_owned().into())).await.err().unwrap();
    assert!(matches!(broken, AcmeError::AccountKey(_)), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_account_is_shown_where_the_authority_wants_one() {
    let world = World::start().await;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let external = BTreeMap::from([("kid-1".to_owned(), key.to_owned())]);
    let pebble = Pebble::start(&world, Options { external, ..Options::default() }).await;
    let with = |key: &str| Authority {
        external: Some(ExternalAccount { id: "kid-1".to_owned(), key: key.to_owned().into() }),
        ..pebble.authority()
    };
    let (account, _) = with(key).account(None).await.unwrap();
    order(&account, WANTED, None, &world).await.unwrap();
    let refused = pebble.authority().account(None).await.err().unwrap();
    assert!(refused.to_string().contains("externalAccountRequired"), "{refused}");
    let refused = with("c29tZXRoaW5nIGVsc2U=").account(None).await.err().unwrap();
    assert!(matches!(refused, AcmeError::Problem { .. }), "{refused}");
    let refused = with("not base64!").account(None).await.err().unwrap();
    assert!(refused.to_string().contains("no base64"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_account_is_made_without_a_yes_to_the_terms() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    let authority = Authority { terms_agreed: false, ..pebble.authority() };
    assert!(matches!(authority.account(None).await, Err(AcmeError::Terms)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_known_by_another_root_is_not_believed() {
    let world = World::start().await;
    let pebble = Pebble::start(&world, Options::default()).await;
    for roots in [None, Some(other_root())] {
        let authority = Authority { roots, ..pebble.authority() };
        let refused = authority.account(None).await.err().unwrap();
        assert!(refused.line().contains("UnknownIssuer"), "{}", refused.line());
    }
    let authority = Authority { roots: Some(b"nothing".to_vec()), ..pebble.authority() };
    assert!(matches!(authority.account(None).await, Err(AcmeError::Roots(_))));
}

fn other_root() -> Vec<u8> {
    let (ca, _) = rigbox_certs::LocalCa::make("localhost", crate::world::now()).unwrap();
    ca.certificate_pem().to_owned().into_bytes()
}
