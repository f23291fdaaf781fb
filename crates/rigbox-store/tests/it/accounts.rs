use std::convert::Infallible;

use camino::Utf8Path;
use futures_util::future::join_all;
use rigbox_store::{
    PageRequest, StoreError,
    accounts::Profile,
    api_keys::{KeyHasher, NewApiKey},
    plans::PlanRow,
    workspaces::ChangeError,
};
use rigbox_types::{ApiKeyId, Quotas, Timestamp, authz::Standing};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::kit::{SECOND, World, account, profile};

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
    let again = accounts.insert_user(world.account, &profile("free"), None).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let missing = accounts.get(account(99)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let unknown = accounts.insert_user(account(3), &profile("gold"), None).await.unwrap_err();
    assert_eq!(unknown.to_string(), "plan gold does not exist");
    let missing = accounts.get(account(3)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

fn ann() -> Profile {
    Profile { email: Some("ann@example.com".parse().unwrap()), ..profile("free") }
}

pub(crate) async fn an_address_belongs_to_one_account(world: World) {
    let inserts = (10..30).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move { store.accounts().insert_user(account(n), &ann(), None).await })
    });
    let mut made = 0;
    for inserted in join_all(inserts).await {
        match inserted.unwrap() {
            Ok(row) => {
                made += 1;
                assert_eq!(row.profile, ann());
            }
            Err(StoreError::Conflict { what, .. }) => assert_eq!(what, "e-mail address"),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(made, 1);
    let accounts = world.store.accounts();
    let change = accounts.change(world.account, |_, profile| {
        profile.email = ann().email;
        Ok::<_, Infallible>(())
    });
    let taken = change.await;
    assert!(matches!(taken, Err(ChangeError::Store(StoreError::Conflict { .. }))), "{taken:?}");
}

pub(crate) async fn an_account_and_its_first_key_are_made_together(world: World) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("k");
    let hasher = KeyHasher::load_or_create(&path).unwrap();
    let key = |n: u8, owner: u8| NewApiKey {
        id: ApiKeyId::from_random([n; 16]),
        account: account(owner),
        prefix: "rb_aaaaaaaa".to_owned(),
        hash: hasher.hash(&"rb_aaaaaaaa".to_owned().into()),
        name: None,
        expires_at: None,
        scopes: rigbox_types::KeyScopes::full(),
    };
    let accounts = world.store.accounts();
    accounts.insert_user(account(2), &ann(), Some(&key(1, 2))).await.unwrap();
    let found = world.store.api_keys().find_by_prefix("rb_aaaaaaaa").await.unwrap().unwrap();
    assert_eq!((found.account, found.standing), (account(2), Standing::User));
    let taken = accounts.insert_user(account(3), &profile("pro"), Some(&key(2, 3))).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    let missing = accounts.get(account(3)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

pub(crate) async fn an_account_from_before_there_were_plans_has_one(world: World) {
    let accounts = world.store.accounts();
    let operator = accounts.ensure_operator(account(7)).await.unwrap();
    assert_eq!(operator.profile, profile("operator"));
    assert!(operator.quotas.is_empty());
    let row = format!("INSERT INTO accounts VALUES ('{}', 'user', 7)", account(8));
    let insert = sqlx::raw_sql(AssertSqlSafe(row));
    insert.execute(&mut world.raw().await).await.unwrap();
    let user = accounts.get(account(8)).await.unwrap();
    assert_eq!(user.profile, profile("free"));
    assert_eq!((user.quotas.max_vms, user.quotas.max_disk_total_mb), (Some(2), Some(8_192)));
    let plans = world.store.plans().list().await.unwrap();
    let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["free", "operator", "pro"]);
    let pro = Quotas::effective(plans[2].quotas, Quotas::default());
    assert_eq!((pro.max_ram_total_mb, pro.max_running_vcpus), (Some(40_960), Some(40)));
}

pub(crate) async fn a_plan_is_made_changed_and_deleted_once_nobody_has_it(world: World) {
    let plans = world.store.plans();
    let gold = PlanRow {
        name: "gold".parse().unwrap(),
        quotas: Quotas { max_vms: Some(3), ..Quotas::default() },
    };
    plans.insert(&gold).await.unwrap();
    let again = plans.insert(&gold).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let accounts = world.store.accounts();
    accounts.insert_user(account(3), &profile("gold"), None).await.unwrap();
    let more = |quotas| Quotas { max_vms: Some(4), ..quotas };
    let changed = plans.change(&gold.name, more).await.unwrap();
    assert_eq!(changed.quotas.max_vms, Some(4));
    assert_eq!(accounts.get(account(3)).await.unwrap().quotas.max_vms, Some(4));
    let used = plans.delete(&gold.name).await;
    assert!(matches!(used, Err(StoreError::Conflict { .. })), "{used:?}");
    let leave = accounts.change(account(3), |_, profile| {
        profile.plan = "free".parse().unwrap();
        Ok::<_, Infallible>(())
    });
    leave.await.unwrap();
    plans.delete(&gold.name).await.unwrap();
    for missing in
        [plans.delete(&gold.name).await, plans.change(&gold.name, more).await.map(|_| ())]
    {
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    }
}

pub(crate) async fn accounts_are_changed_and_listed(world: World) {
    let accounts = world.store.accounts();
    let mut made = vec![accounts.get(world.account).await.unwrap()];
    for n in 2..5 {
        world.clock.turn(SECOND);
        made.push(accounts.insert_user(account(n), &profile("free"), None).await.unwrap());
    }
    let change = accounts.change(account(3), |row, profile| {
        assert_eq!(row.profile, *profile);
        profile.display_name = Some("Ann".to_owned());
        profile.plan = "pro".parse().unwrap();
        profile.overrides.max_vms = Some(11);
        profile.disabled_at = Some(Timestamp::from_micros(5));
        profile.preferences.default_image = Some("dev".parse().unwrap());
        profile.preferences.usage_alerts = Some(false);
        Ok::<_, Infallible>(())
    });
    made[2] = change.await.unwrap();
    assert_eq!(made[2].quotas.max_vms, Some(11));
    assert!(made[2].updated_at > made[2].created_at);
    assert_eq!(made[2].quotas.max_ram_total_mb, Some(11 * 4_096));
    assert_eq!(accounts.get(account(3)).await.unwrap(), made[2]);
    let refused = accounts.change(account(3), |_, profile| {
        profile.plan = "free".parse().unwrap();
        Err("no")
    });
    assert!(matches!(refused.await, Err(ChangeError::Refused("no"))));
    made.reverse();
    let first = accounts.list(&PageRequest { limit: 3, cursor: None }).await.unwrap();
    let rest = PageRequest { limit: 3, cursor: first.next_cursor };
    let rest = accounts.list(&rest).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), made);
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
