use futures_util::future::join_all;
use rigbox_store::StoreError;
use rigbox_types::authz::Standing;
use serde_json::{Value, json};

use crate::kit::{World, account};

pub(crate) async fn many_starts_at_once_make_one_operator(world: World) {
    let accounts = world.store.accounts();
    let starts = (10..20).map(|n| accounts.ensure_operator(account(n)));
    let operators: Vec<_> = join_all(starts).await.into_iter().map(Result::unwrap).collect();
    for operator in &operators {
        assert_eq!(operator, &operators[0]);
        assert_eq!(operator.standing, Standing::Operator);
    }
    assert_eq!(accounts.get(operators[0].id).await.unwrap(), operators[0]);
    assert_eq!(accounts.get(world.account).await.unwrap().standing, Standing::User);
}

pub(crate) async fn a_user_is_made_once(world: World) {
    let accounts = world.store.accounts();
    let again = accounts.insert_user(world.account).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let missing = accounts.get(account(99)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

pub(crate) async fn a_setting_is_kept_and_the_first_one_wins(world: World) {
    let settings = world.store.settings();
    assert_eq!(settings.get::<Value>("x").await.unwrap(), None);
    let numbers = [0, 1, 2, 3, 4, 5];
    let firsts = numbers.iter().map(|n| settings.get_or_put("x", n));
    let firsts: Vec<i32> = join_all(firsts).await.into_iter().map(Result::unwrap).collect();
    assert!(firsts.iter().all(|first| *first == firsts[0]), "{firsts:?}");
    settings.put("x", &json!({ "a": [1, "ü\u{0}"] })).await.unwrap();
    assert_eq!(settings.get("x").await.unwrap(), Some(json!({ "a": [1, "ü\u{0}"] })));
    let other = settings.get::<bool>("x").await;
    assert!(matches!(other, Err(StoreError::Corrupt { .. })), "{other:?}");
    settings.delete("x").await.unwrap();
    assert_eq!(settings.get::<Value>("x").await.unwrap(), None);
}
