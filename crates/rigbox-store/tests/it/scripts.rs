use rigbox_store::{
    Adding, Amount, PageRequest, StoreError,
    feed::{Change, Changes},
    setup_scripts::SetupScript,
};
use rigbox_types::{SetupScriptId, api::setup_scripts::RunOn};

use crate::kit::{SECOND, World, account};

fn id(n: u8) -> SetupScriptId {
    SetupScriptId::from_random([n; 16])
}

fn script(name: &str, order: i32) -> SetupScript {
    let content = "echo 'ü $1'\n".to_owned();
    SetupScript { name: name.to_owned(), content, run_on: RunOn::EveryStart, order }
}

pub(crate) async fn a_script_is_kept_changed_and_forgotten(world: World) {
    let scripts = world.store.setup_scripts();
    let made =
        scripts.insert(id(1), world.account, &script("a", -3), Adding::at_most(100)).await.unwrap();
    assert_eq!(scripts.get(world.account, id(1)).await.unwrap(), made);
    let taken = scripts.insert(id(1), world.account, &script("b", 0), Adding::at_most(100)).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    let nobody = scripts.insert(id(2), account(9), &script("b", 0), Adding::at_most(100)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");

    world.clock.turn(SECOND);
    let changed = scripts
        .change(world.account, id(1), |script| script.content = "true".to_owned())
        .await
        .unwrap();
    assert_eq!((changed.script.content.as_str(), changed.created_at), ("true", made.created_at));
    assert!(changed.updated_at > made.updated_at);
    assert_eq!(scripts.get(world.account, id(1)).await.unwrap(), changed);
    scripts.delete(world.account, id(1)).await.unwrap();
    let gone = scripts.delete(world.account, id(1)).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

pub(crate) async fn scripts_are_listed_in_the_order_in_which_they_run(world: World) {
    let scripts = world.store.setup_scripts();
    for (n, (name, order)) in
        [("d", 1), ("b", -1), ("c", -1), ("a", i32::MIN), ("e", 1)].into_iter().enumerate()
    {
        let id = id(u8::try_from(n).unwrap());
        scripts
            .insert(id, world.account, &script(name, order), Adding::at_most(100))
            .await
            .unwrap();
        world.clock.turn(SECOND);
    }
    let mut page = PageRequest { limit: 2, cursor: None };
    let mut names = String::new();
    loop {
        let found = scripts.list(world.account, &page).await.unwrap();
        names.extend(found.items.into_iter().map(|row| row.script.name));
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, "abcde");
    let some = scripts.of_ids(world.account, &[id(0), id(3), id(77)]).await.unwrap();
    let some: String = some.into_iter().map(|row| row.script.name).collect();
    assert_eq!(some, "ad");
    assert!(scripts.of_ids(world.account, &[]).await.unwrap().is_empty());
}

pub(crate) async fn a_change_of_a_script_reaches_the_workspaces_that_have_it(world: World) {
    let (scripts, workspaces) = (world.store.setup_scripts(), world.store.workspaces());
    for n in [1, 2] {
        scripts.insert(id(n), world.account, &script("a", 0), Adding::at_most(100)).await.unwrap();
    }
    let mut rows = Vec::new();
    for attached in [vec![id(1)], vec![id(2)], vec![id(2), id(1)]] {
        let mut new = world.new_workspace();
        new.wanted.setup_scripts = attached;
        rows.push(workspaces.insert(&new, None).await.unwrap());
    }
    let generations = async || {
        let mut generations = Vec::new();
        for row in &rows {
            generations.push(workspaces.get(&row.id).await.unwrap().generation.0);
        }
        generations
    };
    let before = world.store.feed().revision().await.unwrap();
    let edit = |script: &mut SetupScript| script.order = 7;
    scripts.change(world.account, id(1), edit).await.unwrap();
    assert_eq!(generations().await, [2, 1, 2]);
    scripts.change(world.account, id(1), edit).await.unwrap();
    assert_eq!(generations().await, [2, 1, 2], "nothing has changed");
    let changes = world.store.feed().changes_since(&world.host, before).await.unwrap();
    let Changes::Since { changes, .. } = changes else { panic!("a gap") };
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| matches!(change, Change::Changed(_))));

    scripts.delete(world.account, id(1)).await.unwrap();
    assert_eq!(generations().await, [3, 1, 3]);
    let last = workspaces.get(&rows[2].id).await.unwrap();
    assert_eq!(last.wanted.setup_scripts, [id(2)]);
    assert!(last.wanted.env.is_some());
}

pub(crate) async fn scripts_of_another_account_do_not_exist(world: World) {
    let scripts = world.store.setup_scripts();
    world.add_account(2).await;
    scripts.insert(id(1), world.account, &script("a", 0), Adding::at_most(100)).await.unwrap();
    for missing in [
        scripts.get(account(2), id(1)).await.map(|_| ()),
        scripts.change(account(2), id(1), |script| script.order = 9).await.map(|_| ()),
        scripts.delete(account(2), id(1)).await,
    ] {
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    }
    assert!(scripts.of_ids(account(2), &[id(1)]).await.unwrap().is_empty());
    assert_eq!(scripts.get(world.account, id(1)).await.unwrap().script.order, 0);
}

pub(crate) async fn of_many_scripts_at_once_as_many_are_kept_as_may_be(world: World) {
    let inserts = (1..=9).map(|n| {
        let (store, account) = (world.store.clone(), world.account);
        tokio::spawn(async move {
            let scripts = store.setup_scripts();
            scripts.insert(id(n), account, &script("a", 0), Adding::at_most(4)).await
        })
    });
    let mut kept = 0;
    for insert in futures_util::future::join_all(inserts).await {
        match insert.unwrap() {
            Ok(_) => kept += 1,
            Err(StoreError::Over(over)) => {
                assert_eq!((over.what, over.limit, over.used), (Amount::SetupScripts, 4, 4));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(kept, 4);
}
