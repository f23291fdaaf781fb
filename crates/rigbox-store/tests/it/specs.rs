use std::collections::BTreeMap;

use rigbox_store::{
    Adding, Amount, Over, PageRequest, StoreError, service_specs::ServiceSpec, workspaces::EnvVars,
};
use rigbox_types::{ServiceSpecId, api::service_specs::RestartPolicy};

use crate::kit::{SECOND, World, account};

fn id(n: u8) -> ServiceSpecId {
    ServiceSpecId::from_random([n; 16])
}

fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        exec_start: "/usr/bin/true --x='ü'".to_owned(),
        env: EnvVars(BTreeMap::from([("A".to_owned(), "b\u{0}".to_owned())])),
        environment_file: Some("/etc/x".to_owned()),
        restart_policy: RestartPolicy::OnFailure,
        auto_enable: true,
        setup_script: String::new(),
    }
}

pub(crate) async fn a_spec_is_kept_changed_and_forgotten(world: World) {
    let specs = world.store.service_specs();
    let made = specs.insert(id(1), world.account, &spec("a"), Adding::at_most(100)).await.unwrap();
    assert_eq!(specs.get(world.account, id(1)).await.unwrap(), made);
    world.clock.turn(SECOND);
    let edit = |spec: &mut ServiceSpec| {
        spec.environment_file = None;
        spec.restart_policy = RestartPolicy::No;
        spec.auto_enable = false;
    };
    let changed = specs.change(world.account, id(1), edit).await.unwrap();
    assert_eq!(specs.get(world.account, id(1)).await.unwrap(), changed);
    assert_eq!((changed.spec.environment_file.as_ref(), changed.spec.auto_enable), (None, false));
    assert!(changed.updated_at > made.updated_at);
    for n in 2..5 {
        world.clock.turn(SECOND);
        specs
            .insert(id(n), world.account, &spec(&format!("s{n}")), Adding::at_most(100))
            .await
            .unwrap();
    }
    let page = PageRequest { limit: 3, cursor: None };
    let page = specs.list(world.account, &page).await.unwrap();
    let names: Vec<_> = page.items.into_iter().map(|row| row.spec.name).collect();
    assert_eq!(names, ["s4", "s3", "s2"]);
    let page = PageRequest { limit: 3, cursor: page.next_cursor };
    let page = specs.list(world.account, &page).await.unwrap();
    assert_eq!((page.items.as_slice(), page.next_cursor), ([changed].as_slice(), None));
    specs.delete(world.account, id(1)).await.unwrap();
    let gone = specs.get(world.account, id(1)).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    assert!(specs.of_ids(world.account, &[id(1), id(2)]).await.unwrap().len() == 1);
}

pub(crate) async fn a_name_of_a_spec_is_taken_once(world: World) {
    let specs = world.store.service_specs();
    world.add_account(2).await;
    specs.insert(id(1), world.account, &spec("a"), Adding::at_most(100)).await.unwrap();
    specs.insert(id(2), world.account, &spec("b"), Adding::at_most(100)).await.unwrap();
    specs.insert(id(3), account(2), &spec("a"), Adding::at_most(100)).await.unwrap();
    for taken in [
        specs.insert(id(4), world.account, &spec("a"), Adding::at_most(100)).await,
        specs.change(world.account, id(2), |spec| spec.name = "a".to_owned()).await,
    ] {
        assert_eq!(taken.unwrap_err().to_string(), "service spec name a is taken");
    }
    assert_eq!(specs.get(world.account, id(2)).await.unwrap().spec.name, "b");
    let foreign = specs.change(account(2), id(1), |spec| spec.auto_enable = false).await;
    assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
}

pub(crate) async fn a_change_of_a_spec_reaches_the_workspaces_that_have_it(world: World) {
    let (specs, workspaces) = (world.store.service_specs(), world.store.workspaces());
    specs.insert(id(1), world.account, &spec("a"), Adding::at_most(100)).await.unwrap();
    let mut new = world.new_workspace();
    new.wanted.service_specs = vec![id(1), id(2)];
    let attached = workspaces.insert(&new, None).await.unwrap();
    let without = workspaces.insert(&world.new_workspace(), None).await.unwrap();
    specs.change(world.account, id(1), |spec| spec.auto_enable = false).await.unwrap();
    specs.delete(world.account, id(1)).await.unwrap();
    let row = workspaces.get(&attached.id).await.unwrap();
    assert_eq!((row.generation.0, row.wanted.service_specs), (3, vec![id(2)]));
    assert_eq!(workspaces.get(&without.id).await.unwrap(), without);
}

pub(crate) async fn an_account_has_no_more_specs_than_it_may(world: World) {
    let specs = world.store.service_specs();
    specs.insert(id(1), world.account, &spec("a"), Adding::at_most(1)).await.unwrap();
    let over = specs.insert(id(2), world.account, &spec("b"), Adding::at_most(1)).await;
    assert!(
        matches!(over, Err(StoreError::Over(Over { what: Amount::ServiceSpecs, used: 1, .. }))),
        "{over:?}"
    );
    specs.delete(world.account, id(1)).await.unwrap();
    specs.insert(id(2), world.account, &spec("b"), Adding::at_most(1)).await.unwrap();
}
