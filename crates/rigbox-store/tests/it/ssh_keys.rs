use futures_util::future::join_all;
use rigbox_store::{
    Adding, Amount, PageRequest, Scope, StoreError, accounts::Profile, ssh_keys::SshKey,
};
use rigbox_types::{SshKeyId, Timestamp, authz::Standing};

use crate::kit::{SECOND, World, account};

fn id(n: u8) -> SshKeyId {
    SshKeyId::from_random([n; 16])
}

fn key(n: u8) -> SshKey {
    SshKey {
        name: format!("laptop {n}"),
        public_key: format!("ssh-ed25519 AAAA{n} me@ü"),
        fingerprint: format!("SHA256:{n}"),
    }
}

pub(crate) async fn a_key_is_there_once_within_its_account(world: World) {
    let keys = world.store.ssh_keys();
    world.add_account(2).await;
    let mut made = Vec::new();
    for n in 1..4 {
        made.push(keys.insert(id(n), world.account, &key(n), Adding::at_most(10)).await.unwrap());
        world.clock.turn(SECOND);
    }
    let taken = keys.insert(id(9), world.account, &key(1), Adding::at_most(10)).await.unwrap_err();
    assert_eq!(taken.to_string(), "SSH key SHA256:1 is taken");
    keys.insert(id(9), account(2), &key(1), Adding::at_most(10)).await.unwrap();
    let nobody = keys.insert(id(8), account(8), &key(1), Adding::at_most(10)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");

    assert_eq!(keys.of_account(world.account).await.unwrap(), made);
    let page = PageRequest { limit: 2, cursor: None };
    let first = keys.list(world.account, &page).await.unwrap();
    let page = PageRequest { limit: 2, cursor: first.next_cursor };
    let second = keys.list(world.account, &page).await.unwrap();
    let mut listed = [first.items, second.items].concat();
    listed.reverse();
    assert_eq!(listed, made);

    let holders = keys.holders("SHA256:1").await.unwrap();
    let of: Vec<_> = holders.iter().map(|holder| (holder.id, holder.account)).collect();
    assert_eq!(of, [(id(1), world.account), (id(9), account(2))]);
    assert_eq!(holders[0].standing, Standing::User);
    assert_eq!(keys.holders("SHA256:7").await.unwrap(), []);
    let disable = |_: &_, profile: &mut Profile| {
        profile.disabled_at = Some(Timestamp::from_micros(1));
        Ok::<_, std::convert::Infallible>(())
    };
    world.store.accounts().change(account(2), disable).await.unwrap();
    assert_eq!(keys.holders("SHA256:1").await.unwrap().len(), 1, "a disabled account is nobody");

    let foreign = keys.delete(account(2), id(1)).await;
    assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
    keys.delete(world.account, id(1)).await.unwrap();
    assert_eq!(keys.of_account(world.account).await.unwrap(), made[1..]);
}

pub(crate) async fn of_many_keys_at_once_as_many_are_kept_as_may_be(world: World) {
    let adds = (0..20).map(|n| {
        let (store, account) = (world.store.clone(), world.account);
        tokio::spawn(async move {
            store.ssh_keys().insert(id(n), account, &key(n), Adding::at_most(3)).await
        })
    });
    let mut kept = 0;
    for added in join_all(adds).await {
        match added.unwrap() {
            Ok(_) => kept += 1,
            Err(StoreError::Over(over)) => {
                assert_eq!((over.scope, over.what), (Scope::Account, Amount::SshKeys));
                assert_eq!((over.limit, over.used, over.asked), (3, 3, 1));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(kept, 3);
}

pub(crate) async fn a_change_of_keys_reaches_every_workspace_of_the_account(world: World) {
    let (keys, workspaces) = (world.store.ssh_keys(), world.store.workspaces());
    world.add_account(2).await;
    let mut rows = Vec::new();
    for owner in [world.account, world.account, account(2)] {
        let mut new = world.new_workspace();
        new.account = owner;
        rows.push(workspaces.insert(&new, None).await.unwrap());
    }
    keys.insert(id(1), world.account, &key(1), Adding::at_most(10)).await.unwrap();
    keys.delete(world.account, id(1)).await.unwrap();
    let mut generations = Vec::new();
    for row in &rows {
        let row = workspaces.get(&row.id).await.unwrap();
        assert!(row.wanted.env.is_some());
        generations.push(row.generation.0);
    }
    assert_eq!(generations, [3, 3, 1]);
}
