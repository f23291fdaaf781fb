use std::{collections::BTreeSet, convert::Infallible};

use futures_util::future::join_all;
use rigbox_store::{
    Amount, StoreError,
    api_keys::KeyHash,
    app_log_sources::LogPlace,
    app_visits::{CookieRow, RestsOn, Transfer},
    apps::{
        AppRow, NewApp, Published,
        routes::{RouteChange, RouteChanges},
    },
    feed::Wake,
    sessions::{Carrier, Level, NewSession},
    share_links::ShareLinkRow,
    workspaces::ChangeError,
};
use rigbox_types::{
    AppId, AppLogSourceId, Desired, Generation, Observed, Quotas, Revision, SessionId, ShareLinkId,
    Status, Timestamp, WorkspaceId,
    access::{ResourceRef, Role},
    api::{
        apps::{AppKind, AppProtocol},
        services::LogSourceType,
    },
    edge::Visibility,
};
use serde_json::json;

use crate::kit::{SECOND, World, account, observation};

const DAY: i64 = 24 * 3600 * SECOND;

fn new(workspace: &WorkspaceId, n: u8) -> NewApp {
    NewApp {
        id: AppId::from_random([n; 8]),
        workspace: workspace.clone(),
        name: format!("app-{n}").parse().unwrap(),
        kind: AppKind::Service,
        port: 3000,
        protocol: AppProtocol::Http,
        description: Some("ä".to_owned()),
        metadata: json!({ "a": [1, null] }),
    }
}

async fn workspace(world: &World) -> WorkspaceId {
    let new = world.new_workspace();
    world.store.workspaces().insert(&new, None).await.unwrap().id
}

async fn made(world: &World, n: u8) -> AppRow {
    let workspace = workspace(world).await;
    world.store.apps().insert(&new(&workspace, n), None).await.unwrap()
}

async fn edit(
    world: &World,
    id: &AppId,
    edit: impl FnOnce(&mut Published) + Send,
) -> Result<AppRow, StoreError> {
    let edit = |_: &AppRow, published: &mut Published| {
        edit(published);
        Ok::<_, Infallible>(())
    };
    match world.store.apps().change(id, edit).await {
        Ok(row) => Ok(row),
        Err(ChangeError::Store(error)) => Err(error),
        Err(ChangeError::Refused(never)) => match never {},
    }
}

async fn since(world: &World, after: Revision) -> (Vec<RouteChange>, Revision) {
    match world.store.routes().changes_since(after).await.unwrap() {
        RouteChanges::Since { changes, upto, more: false } => (changes, upto),
        other => panic!("{other:?}"),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
}

pub(crate) async fn an_app_is_read_back_as_it_was_made(world: World) {
    let app = made(&world, 1).await;
    assert_eq!(world.store.apps().get(&app.id).await.unwrap(), app);
    let is = &app.published;
    assert_eq!((is.port, is.active, is.visibility), (3000, true, Visibility::Private));
    assert_eq!(is.metadata, json!({ "a": [1, null] }));
    assert_eq!((app.status, app.account), (Status::Provisioned, world.account));
    assert_eq!(app.address.as_deref(), Some("unix:/run/host.sock"));
    let found = world.store.apps().by_name(&is.name).await.unwrap();
    assert_eq!(found.unwrap().id, app.id);
    assert_eq!(world.store.apps().count(world.account).await.unwrap(), 1);
    let nowhere = "ws-zzzzzzzz".parse().unwrap();
    let missing = world.store.apps().insert(&new(&nowhere, 2), None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

pub(crate) async fn a_name_is_one_app_s_and_stays_with_its_account_for_a_day(world: World) {
    world.add_account(2).await;
    let (mine, other) = (made(&world, 1).await, {
        let mut theirs = world.new_workspace();
        theirs.account = account(2);
        world.store.workspaces().insert(&theirs, None).await.unwrap().id
    });
    let taken = NewApp { id: AppId::from_random([9; 8]), ..new(&other, 1) };
    conflict(world.store.apps().insert(&taken, None).await);
    world.store.apps().delete(&mine.id).await.unwrap();
    world.clock.turn(DAY - 1);
    conflict(world.store.apps().insert(&taken, None).await);
    // Whoever had it may have it again.
    let again = world.store.apps().insert(&new(&mine.workspace, 1), None).await.unwrap();
    edit(&world, &again.id, |is| is.name = "elsewhere".parse().unwrap()).await.unwrap();
    conflict(world.store.apps().insert(&taken, None).await);
    world.clock.turn(DAY);
    let theirs = world.store.apps().insert(&taken, None).await.unwrap();
    assert_eq!(theirs.account, account(2));
    conflict(edit(&world, &again.id, |is| is.name = theirs.published.name.clone()).await);
}

pub(crate) async fn of_many_apps_at_once_as_many_are_made_as_the_plan_says(world: World) {
    let room = Quotas { max_apps_per_vm: Some(3), ..Quotas::default() };
    world.quota("operator", room).await;
    let workspace = workspace(&world).await;
    let all = (0..100).map(|n| {
        let (store, new) = (world.store.clone(), new(&workspace, n));
        tokio::spawn(async move { store.apps().insert(&new, None).await })
    });
    let mut made = 0;
    for one in join_all(all).await {
        match one.unwrap() {
            Ok(_) => made += 1,
            Err(StoreError::Over(over)) => {
                assert_eq!((over.what, over.limit, over.used), (Amount::AppsOfWorkspace, 3, 3));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(made, 3);
    assert_eq!(world.store.apps().of_workspace(&workspace).await.unwrap().len(), 3);
}

pub(crate) async fn an_edge_is_told_of_what_happens_to_apps_and_their_workspaces(world: World) {
    let mut wakes = world.store.feed().subscribe();
    let app = made(&world, 1).await;
    let (changes, at) = since(&world, Revision(0)).await;
    assert_eq!(changes, [RouteChange::Changed(Box::new(app.clone()))]);
    assert!(at >= app.revision);
    let changed = edit(&world, &app.id, |is| is.visibility = Visibility::Public).await.unwrap();
    let same = edit(&world, &app.id, |_| {}).await.unwrap();
    assert_eq!(same.revision, changed.revision);
    let (changes, at) = since(&world, at).await;
    assert_eq!(changes, [RouteChange::Changed(Box::new(changed))]);
    // Its workspace starts, runs, and stays as it is.
    let start = |_: &_, wanted: &mut rigbox_store::workspaces::Wanted| {
        wanted.desired = Desired::Running;
        wanted.restart_generation = Generation(2);
        Ok::<_, Infallible>(())
    };
    world.store.workspaces().change(&app.workspace, None, start).await.unwrap();
    let (changes, at) = since(&world, at).await;
    let [RouteChange::Changed(starting)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((starting.status, starting.generation), (Status::Provisioning, Generation(2)));
    let observe = async |observed, count| {
        let seen = observation(&app.workspace, 2, observed, (1, count));
        world.store.workspaces().observe(&world.host, &[seen]).await.unwrap();
    };
    observe(Observed::Running, 1).await;
    let (changes, at) = since(&world, at).await;
    let [RouteChange::Changed(running)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(running.status, Status::Running);
    observe(Observed::Running, 2).await;
    assert_eq!(since(&world, at).await.0, []);
    let revision = world.store.apps().delete(&app.id).await.unwrap();
    let (changes, _) = since(&world, at).await;
    assert_eq!(changes, [RouteChange::Removed { revision, app: app.id.clone() }]);
    let mut told = 0;
    while let Some(wake) = wakes.next().await {
        told += u32::from(wake == Wake::App(app.id.clone()));
        if told == 5 {
            break;
        }
    }
}

pub(crate) async fn the_whole_set_of_routes_comes_in_parts(world: World) {
    let workspace = workspace(&world).await;
    for n in 0..5 {
        world.store.apps().insert(&new(&workspace, n), None).await.unwrap();
    }
    let (mut found, mut after) = (BTreeSet::new(), None);
    loop {
        let part = world.store.routes().whole_set(after.as_ref()).await.unwrap();
        let Some(last) = part.last() else { break };
        after = Some(last.id.clone());
        found.extend(part.into_iter().map(|row| row.id));
    }
    assert_eq!(found.len(), 5);
    let future = Revision(world.store.routes().revision().await.unwrap().0 + 1);
    let gap = world.store.routes().changes_since(future).await.unwrap();
    assert_eq!(gap, RouteChanges::Gap);
}

pub(crate) async fn apps_go_with_their_workspace(world: World) {
    world.add_account(2).await;
    let app = made(&world, 1).await;
    let thing = ResourceRef::App(app.id.clone());
    let given = (account(2), world.account);
    world.store.bindings().insert(given, &thing, Role::Viewer).await.unwrap();
    let shared = world.store.apps().list_shared(account(2), &Default::default()).await.unwrap();
    assert_eq!(shared.items.len(), 1);
    let at = world.store.routes().revision().await.unwrap();
    let delete = |_: &_, wanted: &mut rigbox_store::workspaces::Wanted| {
        wanted.desired = Desired::Deleted;
        Ok::<_, Infallible>(())
    };
    let row = world.store.workspaces().change(&app.workspace, None, delete).await.unwrap();
    let late = world.store.apps().insert(&new(&app.workspace, 2), None).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
    let gone = observation(&app.workspace, row.generation.0, Observed::Absent, (1, 1));
    world.store.workspaces().observe(&world.host, &[gone]).await.unwrap();
    let missing = world.store.apps().get(&app.id).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let (changes, _) = since(&world, at).await;
    let last = changes.last().unwrap();
    assert!(matches!(last, RouteChange::Removed { app: gone, .. } if *gone == app.id), "{last:?}");
    assert_eq!(world.store.bindings().list(&thing).await.unwrap(), []);
}

pub(crate) async fn a_disabled_owner_is_told_to_edges(world: World) {
    let app = made(&world, 1).await;
    let at = world.store.routes().revision().await.unwrap();
    let disable = |_: &_, profile: &mut rigbox_store::accounts::Profile| {
        profile.disabled_at = Some(Timestamp::from_micros(1));
        Ok::<_, Infallible>(())
    };
    world.store.accounts().change(world.account, disable).await.unwrap();
    let (changes, _) = since(&world, at).await;
    let [RouteChange::Changed(row)] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(row.id == app.id && row.owner_disabled);
}

pub(crate) async fn a_domain_is_verified_for_one_app(world: World) {
    world.add_account(2).await;
    let app = made(&world, 1).await;
    let domain = |is: &mut Published| is.custom_domain = Some("app.example.com".to_owned());
    edit(&world, &app.id, domain).await.unwrap();
    assert!(world.store.apps().by_domain("app.example.com").await.unwrap().is_none());
    edit(&world, &app.id, |is| is.domain_verified = true).await.unwrap();
    let found = world.store.apps().by_domain("app.example.com").await.unwrap();
    assert_eq!(found.unwrap().id, app.id);
    let mut theirs = world.new_workspace();
    theirs.account = account(2);
    let theirs = world.store.workspaces().insert(&theirs, None).await.unwrap().id;
    let other = world.store.apps().insert(&new(&theirs, 2), None).await.unwrap();
    edit(&world, &other.id, domain).await.unwrap();
    conflict(edit(&world, &other.id, |is| is.domain_verified = true).await);
    // Another domain is another question, and the one that was given up is kept for a while.
    let given_up = edit(&world, &app.id, |is| is.custom_domain = None).await.unwrap();
    assert!(!given_up.published.domain_verified);
    conflict(edit(&world, &other.id, |is| is.domain_verified = true).await);
    world.clock.turn(DAY);
    edit(&world, &other.id, |is| is.domain_verified = true).await.unwrap();
}

fn hash(n: u8) -> KeyHash {
    crate::sign_in::hash(&n.to_string())
}

fn link(app: &AppId, n: u8, expires_at: Timestamp) -> ShareLinkRow {
    ShareLinkRow {
        id: ShareLinkId::from_random([n; 16]),
        app: app.clone(),
        hash: hash(n),
        name: None,
        created_by: account(1),
        created_at: Timestamp::from_micros(0),
        expires_at,
    }
}

fn later(world: &World, micros: i64) -> Timestamp {
    Timestamp::from_micros(world.store.now().as_micros() + micros)
}

pub(crate) async fn a_link_ends_by_itself_or_is_taken_back_with_its_cookies(world: World) {
    let (app, other) = (made(&world, 1).await.id, made(&world, 2).await.id);
    let links = world.store.share_links();
    let (short, long) = (later(&world, SECOND), later(&world, DAY));
    links.insert(&link(&app, 1, short)).await.unwrap();
    let kept = links.insert(&link(&app, 2, long)).await.unwrap();
    assert!(links.find(&app, &hash(1)).await.unwrap().is_some());
    assert!(links.find(&other, &hash(1)).await.unwrap().is_none());
    world.clock.turn(SECOND);
    assert!(links.find(&app, &hash(1)).await.unwrap().is_none());
    assert_eq!(links.list(&app).await.unwrap(), std::slice::from_ref(&kept));
    let visits = world.store.app_visits();
    let cookie = CookieRow { rests_on: RestsOn::Link(kept.id), expires_at: long };
    visits.cookie_insert(&hash(7), &app, cookie).await.unwrap();
    assert_eq!(visits.cookie(&app, &hash(7)).await.unwrap(), Some(cookie));
    assert_eq!(visits.cookie(&other, &hash(7)).await.unwrap(), None);
    let at = world.store.routes().revision().await.unwrap();
    links.delete(&app, kept.id).await.unwrap();
    assert_eq!(visits.cookie(&app, &hash(7)).await.unwrap(), None);
    assert_eq!(since(&world, at).await.0.len(), 1, "edges forget the visitors of the app");
    let again = links.delete(&app, kept.id).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
}

pub(crate) async fn links_of_an_app_are_bounded(world: World) {
    let app = made(&world, 1).await.id;
    let most = u8::try_from(rigbox_types::limits::SHARE_LINKS_MAX_COUNT).unwrap();
    for n in 0..most {
        world.store.share_links().insert(&link(&app, n, later(&world, DAY))).await.unwrap();
    }
    let over = world.store.share_links().insert(&link(&app, most, later(&world, DAY))).await;
    assert!(matches!(over, Err(StoreError::Over(_))), "{over:?}");
}

async fn session(world: &World, n: u8) -> SessionId {
    let id = SessionId::from_random([n; 16]);
    let session = NewSession {
        id,
        account: world.account,
        epoch: world.store.sessions().epoch(world.account).await.unwrap(),
        level: Level::Full,
        carrier: Carrier::Cookie,
        hash: hash(n),
        address: None,
        user_agent: None,
    };
    world.store.sessions().insert(&session).await.unwrap();
    id
}

pub(crate) async fn a_token_serves_once_and_a_cookie_ends_with_its_session(world: World) {
    let app = made(&world, 1).await.id;
    let session = session(&world, 5).await;
    let visits = world.store.app_visits();
    let transfer = |expires_at| Transfer {
        app: app.clone(),
        name: "app-1.rigbox.localhost".to_owned(),
        state: "0".repeat(64),
        session,
        expires_at,
    };
    let good = transfer(later(&world, 30 * SECOND));
    visits.transfer_insert(&hash(1), &good).await.unwrap();
    let takes = (0..8).map(|_| {
        let store = world.store.clone();
        tokio::spawn(async move { store.app_visits().transfer_take(&hash(1)).await.unwrap() })
    });
    let taken: Vec<_> = join_all(takes).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken, [good]);
    visits.transfer_insert(&hash(2), &transfer(later(&world, SECOND))).await.unwrap();
    world.clock.turn(SECOND);
    assert_eq!(visits.transfer_take(&hash(2)).await.unwrap(), None);
    let cookie = CookieRow { rests_on: RestsOn::Session(session), expires_at: later(&world, DAY) };
    for n in 10..20 {
        visits.cookie_insert(&hash(n), &app, cookie).await.unwrap();
        world.clock.turn(1);
    }
    assert_eq!(visits.cookie(&app, &hash(10)).await.unwrap(), None, "the oldest make room");
    assert_eq!(visits.cookie(&app, &hash(19)).await.unwrap(), Some(cookie));
    world.store.sessions().end(world.account, session).await.unwrap();
    assert_eq!(visits.cookie(&app, &hash(19)).await.unwrap(), None);
}

pub(crate) async fn an_app_has_one_primary_log_source(world: World) {
    let app = made(&world, 1).await.id;
    let sources = world.store.app_log_sources();
    let id = |n| AppLogSourceId::from_random([n; 16]);
    let place = |source_ref: &str| LogPlace {
        source_type: LogSourceType::SystemdUnit,
        source_ref: source_ref.to_owned(),
        display_name: None,
        is_primary: false,
    };
    let first = sources.insert((&app, id(1)), &place("a.service")).await.unwrap();
    assert!(first.place.is_primary);
    sources.insert((&app, id(2)), &place("b.service")).await.unwrap();
    sources.change((&app, id(2)), |place| place.is_primary = true).await.unwrap();
    let primary = |all: Vec<rigbox_store::app_log_sources::AppLogSourceRow>| {
        all.iter().filter(|row| row.place.is_primary).map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(primary(sources.list(&app).await.unwrap()), [id(2)]);
    sources.delete(&app, id(2)).await.unwrap();
    assert_eq!(sources.list(&app).await.unwrap().len(), 1);
}
