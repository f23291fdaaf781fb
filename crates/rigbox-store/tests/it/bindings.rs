use std::{collections::BTreeMap, time::Duration};

use rigbox_store::{Amount, PageRequest, StoreError, feed::Wake, workspaces::NewWorkspace};
use rigbox_types::{
    AccountId, Desired, Observed, WorkspaceId,
    access::{ResourceRef, Role, ScopeKind, Tags},
};
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use crate::kit::{SECOND, World, account, observation};

const PATIENCE: Duration = Duration::from_secs(30);

async fn workspace(world: &World) -> WorkspaceId {
    let new = world.new_workspace();
    world.clock.turn(SECOND);
    world.store.workspaces().insert(&new, None).await.unwrap().id
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect::<BTreeMap<_, _>>().try_into().unwrap()
}

/// The roles that an account has on a workspace of the world's account.
async fn roles(world: &World, of: AccountId, on: &WorkspaceId) -> Vec<Role> {
    let facts = world.store.bindings().on_workspace(of, on, world.account).await.unwrap();
    let mut roles: Vec<Role> = facts.given.iter().map(|given| given.role).collect();
    roles.sort();
    roles
}

pub(crate) async fn an_account_has_one_role_on_a_thing(world: World) {
    world.add_account(2).await;
    let (bindings, on) = (world.store.bindings(), workspace(&world).await);
    let thing = ResourceRef::Workspace(on.clone());
    let whose = (account(2), world.account);
    let mut wakes = world.store.feed().subscribe();
    let given = bindings.insert(whose, &thing, Role::Viewer).await.unwrap();
    assert_eq!((given.principal, given.created_by), whose);
    assert_eq!(bindings.insert(whose, &thing, Role::Viewer).await.unwrap(), given);
    let other = bindings.insert(whose, &thing, Role::Owner).await;
    assert!(
        matches!(&other, Err(StoreError::Conflict { what: "role", id }) if id == "viewer"),
        "{other:?}"
    );
    assert_eq!(roles(&world, account(2), &on).await, [Role::Viewer]);
    assert_eq!(roles(&world, account(3), &on).await, []);
    let of_account = ResourceRef::Account(world.account);
    bindings.insert(whose, &of_account, Role::Admin).await.unwrap();
    assert_eq!(roles(&world, account(2), &on).await, [Role::Viewer, Role::Admin]);
    let facts = bindings.on_account(account(2), world.account).await.unwrap();
    assert_eq!(facts.given.len(), 1);
    let missing = bindings.change(account(2), &thing, (Role::Admin, Role::Owner)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    world.clock.turn(SECOND);
    let changed = bindings.change(account(2), &thing, (Role::Viewer, Role::Owner)).await.unwrap();
    assert_eq!((changed.role, changed.created_at), (Role::Owner, given.created_at));
    assert!(changed.updated_at > given.updated_at);
    assert_eq!(bindings.list(&thing).await.unwrap(), [changed]);
    assert!(!bindings.delete(account(2), &thing, Role::Viewer).await.unwrap());
    assert!(bindings.delete(account(2), &thing, Role::Owner).await.unwrap());
    assert_eq!(roles(&world, account(2), &on).await, [Role::Admin]);
    // Nobody has to look again where there is only more.
    let mut told = 0;
    while told < 2 {
        match timeout(PATIENCE, wakes.next()).await.unwrap().unwrap() {
            Wake::Access(of) if of == account(2) => told += 1,
            // The one of its making may come late.
            Wake::Workspace { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn roles_are_given_on_what_there_is_to_whom_there_is(world: World) {
    world.add_account(2).await;
    let bindings = world.store.bindings();
    for (principal, thing, what) in [
        (account(2), "workspace:ws-00000000".to_owned(), "workspace"),
        (account(2), format!("account:{}", account(9)), "account"),
        (account(2), "app:app-00000000".to_owned(), "app"),
        (account(9), format!("account:{}", world.account), "principal"),
    ] {
        let whose = (principal, world.account);
        let refused = bindings.insert(whose, &thing.parse().unwrap(), Role::Viewer).await;
        let is_missing =
            matches!(&refused, Err(StoreError::NotFound { what: said, .. }) if *said == what);
        assert!(is_missing, "{thing}: {refused:?}");
    }
}

pub(crate) async fn what_is_said_of_a_workspace_goes_with_it(world: World) {
    world.add_account(2).await;
    let (bindings, on) = (world.store.bindings(), workspace(&world).await);
    let thing = ResourceRef::Workspace(on.clone());
    bindings.insert((account(2), world.account), &thing, Role::Owner).await.unwrap();
    world.store.tags().set(&thing, &tags(&[("env", "dev")])).await.unwrap();
    let edit = |_: &_, wanted: &mut rigbox_store::workspaces::Wanted| {
        wanted.desired = Desired::Deleted;
        Ok::<_, std::convert::Infallible>(())
    };
    let row = world.store.workspaces().change(&on, None, edit).await.unwrap();
    assert_eq!(bindings.list(&thing).await.unwrap().len(), 1);
    let gone = observation(&on, row.generation.0, Observed::Absent, (1, 1));
    world.store.workspaces().observe(&world.host, &[gone]).await.unwrap();
    assert_eq!(bindings.list(&thing).await.unwrap(), []);
    assert_eq!(world.store.tags().get(&thing).await.unwrap(), Tags::default());
    let refused = world.store.tags().set(&thing, &Tags::default()).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}

pub(crate) async fn of_many_roles_at_once_as_many_are_given_as_there_may_be(world: World) {
    let on = workspace(&world).await;
    let thing = ResourceRef::Workspace(on);
    for number in 2..110 {
        world.add_account(number).await;
    }
    let give = |number: u8| {
        let (store, thing, by) = (world.store.clone(), thing.clone(), world.account);
        tokio::spawn(async move {
            store.bindings().insert((account(number), by), &thing, Role::Viewer).await
        })
    };
    let given = futures_util::future::join_all((2..110).map(give)).await;
    assert_eq!(given.iter().filter(|given| matches!(given, Ok(Ok(_)))).count(), 100);
    let over =
        |given: &&Result<Result<_, StoreError>, _>| matches!(given, Ok(Err(StoreError::Over(_))));
    assert_eq!(given.iter().filter(over).count(), 8);
}

pub(crate) async fn what_others_have_given_leaves_room_for_what_an_owner_gives(world: World) {
    let (bindings, victim) = (world.store.bindings(), account(2));
    world.add_account(2).await;
    world.add_account(3).await;
    let give = async |owner: AccountId, on: WorkspaceId| {
        bindings.insert((victim, owner), &ResourceRef::Workspace(on), Role::Viewer).await
    };
    let theirs = async || {
        let new = NewWorkspace { account: account(3), ..world.new_workspace() };
        world.store.workspaces().insert(&new, None).await.unwrap().id
    };
    for _ in 0..99 {
        give(account(3), theirs().await).await.unwrap();
    }
    // One on the account counts with those on its things.
    let of_account = ResourceRef::Account(account(3));
    bindings.insert((victim, account(3)), &of_account, Role::Viewer).await.unwrap();
    let on = theirs().await;
    match give(account(3), on).await.unwrap_err() {
        StoreError::Over(over) => {
            assert_eq!((over.what, over.limit), (Amount::BindingsOfPrincipal, 100));
        }
        other => panic!("{other:?}"),
    }
    give(world.account, workspace(&world).await).await.unwrap();
}

pub(crate) async fn what_is_shared_is_listed_page_by_page(world: World) {
    for number in [2, 3] {
        world.add_account(number).await;
    }
    let bindings = world.store.bindings();
    let mut made = Vec::new();
    for number in 0..6 {
        let mut new = world.new_workspace();
        new.account = if number % 2 == 0 { world.account } else { account(3) };
        // Two have the same age.
        world.clock.turn(if number == 3 { 0 } else { SECOND });
        made.push(world.store.workspaces().insert(&new, None).await.unwrap().id);
    }
    let given = [1, 3, 4].map(|number: usize| ResourceRef::Workspace(made[number].clone()));
    for thing in given.iter().chain([&ResourceRef::Account(world.account)]) {
        let whose = (account(2), world.account);
        bindings.insert(whose, thing, Role::Viewer).await.unwrap();
    }
    let mut page = PageRequest { limit: 2, cursor: None };
    let mut seen = Vec::new();
    loop {
        let shared = world.store.workspaces().list_shared(account(2), &page).await.unwrap();
        assert!(shared.items.len() <= 2);
        seen.extend(shared.items.into_iter().map(|row| row.id));
        page.cursor = shared.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    // All but the one that nobody shared, newest first; of the same age by id.
    assert_eq!(seen, [4, 3, 2, 1, 0].map(|number: usize| made[number].clone()));
    let none = world.store.workspaces().list_shared(account(3), &PageRequest::default()).await;
    assert_eq!(none.unwrap().items, []);
    let cursor = Some("x".to_owned());
    let wrong = PageRequest { limit: 2, cursor };
    let refused = world.store.workspaces().list_shared(account(2), &wrong).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
}

pub(crate) async fn a_role_with_conditions_brings_the_tags_they_need(world: World) {
    world.add_account(2).await;
    let (bindings, on) = (world.store.bindings(), workspace(&world).await);
    let thing = ResourceRef::Workspace(on.clone());
    bindings.insert((account(2), world.account), &thing, Role::Viewer).await.unwrap();
    world.store.tags().set(&thing, &tags(&[("env", "dev")])).await.unwrap();
    let own = ResourceRef::Account(account(2));
    world.store.tags().set(&own, &tags(&[("team", "x")])).await.unwrap();
    assert!(!bindings.has_conditions().await.unwrap());
    let facts = bindings.on_workspace(account(2), &on, world.account).await.unwrap();
    assert_eq!((facts.given[0].tags.clone(), facts.tags), (Tags::default(), Tags::default()));
    let presets = bindings.presets().await.unwrap();
    assert_eq!(presets.len(), 12);
    assert_eq!((presets[4].kind, presets[4].role), (ScopeKind::Workspace, Role::Viewer));
    let change = "UPDATE role_presets SET required_resource_tags = '{\"env\":\"dev\"}' \
         WHERE scope_kind = 'workspace' AND role = 'viewer'";
    let mut raw = world.raw().await;
    sqlx::raw_sql(AssertSqlSafe(change.to_owned())).execute(&mut raw).await.unwrap();
    assert!(bindings.has_conditions().await.unwrap());
    let facts = bindings.on_workspace(account(2), &on, world.account).await.unwrap();
    assert_eq!(facts.given[0].tags, tags(&[("env", "dev")]));
    assert_eq!(facts.tags, tags(&[("team", "x")]));
    assert!(facts.given[0].conditions.hold(&facts.given[0].tags, &facts.tags));
}

pub(crate) async fn a_profile_of_rates_is_kept_until_it_is_cleared(world: World) {
    let profiles = world.store.rate_profiles();
    let mut wakes = world.store.feed().subscribe();
    assert_eq!(profiles.get(world.account).await.unwrap(), None);
    profiles.set(world.account, Some("fast")).await.unwrap();
    profiles.set(world.account, Some("slow")).await.unwrap();
    let (name, rules) = profiles.get(world.account).await.unwrap().unwrap();
    assert_eq!((name.as_str(), rules.workspaces), ("slow", Some(45)));
    for (whose, profile) in [(world.account, "none"), (account(9), "slow")] {
        let refused = profiles.set(whose, Some(profile)).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    }
    profiles.set(world.account, None).await.unwrap();
    assert_eq!(profiles.get(world.account).await.unwrap(), None);
    for _ in 0..3 {
        let wake = timeout(PATIENCE, wakes.next()).await.unwrap();
        assert_eq!(wake, Some(Wake::Throttle(world.account)));
    }
}
