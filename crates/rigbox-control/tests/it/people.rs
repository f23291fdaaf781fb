//! Callers beside the operator: users with keys and sessions of their own, put into the store, and
//! keys that were asked for.

use std::sync::Arc;

use rigbox_store::{
    Adding, Store, SystemClock,
    accounts::{Preferences, Profile},
    api_keys::{KeyHasher, NewApiKey},
    sessions::{Carrier, Epoch, Level, NewSession},
};
use rigbox_types::{AccountId, ApiKeyId, KeyScopes, Quotas, SessionId};
use serde_json::{Value, json};

use crate::{browser::Browser, client::Client, world::World};

/// The account of a user.
pub(crate) fn account(number: u8) -> AccountId {
    AccountId::from_random([number; 16])
}

/// A user with a key for everything.
pub(crate) async fn user(world: &World, number: u8) -> Client {
    user_with(world, number, KeyScopes::full()).await
}

/// A user whose row of the key says that it has these scopes, while its hash is that of a key with
/// all of them.
pub(crate) async fn user_with(world: &World, number: u8, scopes: KeyScopes) -> Client {
    let store = Store::open(&world.store, Arc::new(SystemClock)).await.unwrap();
    let account = account(number);
    let profile = Profile {
        email: None,
        display_name: None,
        plan: "operator".parse().unwrap(),
        overrides: Quotas::default(),
        disabled_at: None,
        preferences: Preferences::default(),
    };
    store.accounts().insert_user(account, &profile, None).await.unwrap();
    let text = format!("rb_{number:08x}{}", format!("{number:02x}").repeat(32));
    let hasher = KeyHasher::load_or_create(&world.path().join("secrets/api-keys.key")).unwrap();
    let new = NewApiKey {
        id: ApiKeyId::from_random([number; 16]),
        account,
        prefix: text[..11].to_owned(),
        hash: hasher.hash(&text.clone().into()),
        name: None,
        expires_at: None,
        scopes,
    };
    store.api_keys().insert(&new, Adding::at_most(100)).await.unwrap();
    store.close().await;
    world.api.with_key(text)
}

/// Makes a key with these scopes for the caller's account.
pub(crate) async fn key(api: &Client, scopes: &[&str]) -> (String, Client) {
    let made: Value = api.json("POST", "/api-keys", json!({ "scopes": scopes })).await.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    (id, api.with_key(made["key"].as_str().unwrap()))
}

/// A session of a user, for a program.
pub(crate) async fn session(world: &World, number: u8) -> (String, Client) {
    let store = Store::open(&world.store, world.clock.clone()).await.unwrap();
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    let id = SessionId::from_random(random);
    let text = format!("rbs_{}{}", id.to_string().replace('-', ""), "5a".repeat(32));
    let hasher = KeyHasher::load_or_create(&world.path().join("secrets/api-keys.key")).unwrap();
    let new = NewSession {
        id,
        account: account(number),
        epoch: Epoch::default(),
        level: Level::Full,
        carrier: Carrier::Bearer,
        hash: hasher.hash(&text.clone().into()),
        address: None,
        user_agent: None,
    };
    store.sessions().insert(&new).await.unwrap();
    store.close().await;
    (id.to_string(), world.api.with_key(text))
}

/// The password of everybody who has one.
pub(crate) const PASSWORD: &str = "quiet river stone";

/// Makes an account by the API and gives it a password by a link. Its id.
pub(crate) async fn person(world: &World, email: &str) -> String {
    let made = world.api.json("POST", "/users", json!({ "email": email })).await.expect(201);
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    let browser = Browser::new(world);
    browser.take_link(&link(world, &id).await).await;
    let set = browser.post("/password", &[("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(set.status, 303, "{set:?}");
    id
}

/// A link for an account to set its password by.
pub(crate) async fn link(world: &World, id: &str) -> String {
    let made = world.api.post(&format!("/users/{id}/sign-in-link")).await.expect(201);
    made["url"].as_str().unwrap().to_owned()
}

/// Gives the user of this number a role.
pub(crate) async fn grant(by: &Client, number: u8, resource: &str, role: &str) {
    by.json("POST", "/access-control/bindings", binding(number, resource, role)).await.expect(200);
}

/// Takes it away again.
pub(crate) async fn revoke(by: &Client, number: u8, resource: &str, role: &str) {
    let body = binding(number, resource, role);
    let answer = by.json("DELETE", "/access-control/bindings", body).await.expect(200);
    assert_eq!(answer["deleted"], true, "{answer}");
}

/// The document of a role of the user of this number.
pub(crate) fn binding(number: u8, resource: &str, role: &str) -> Value {
    let principal = format!("user:{}", account(number));
    json!({ "principal": principal, "resource": resource, "role": role })
}
