use futures_util::future::join_all;
use rigbox_store::{
    StoreError,
    accounts::Profile,
    identities::{Attach, Candidate, Found, Identity},
    tickets::{REMEMBERED, Spent},
    workspaces::ChangeError,
};

use crate::kit::{SECOND, World, account, profile};

fn ann(subject: &str) -> Identity {
    Identity {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        provider: "example".to_owned(),
        email: Some("ann@example.com".parse().unwrap()),
    }
}

fn with_email() -> Profile {
    Profile { email: ann("").email, ..profile("free") }
}

fn to_new(n: u8) -> Attach {
    Attach::ToNew { id: account(n), profile: Box::new(with_email()) }
}

/// Nobody may decide: the identity is known.
fn known(_: Option<&Candidate>) -> Result<Attach, ()> {
    Err(())
}

pub(crate) async fn of_many_sign_ins_at_once_one_makes_the_account(world: World) {
    let arrivals = (10..30).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let decide = |_: Option<&Candidate>| Ok::<_, ()>(to_new(n));
            store.identities().account_of(&ann("1"), decide).await.unwrap()
        })
    });
    let arrived: Vec<_> = join_all(arrivals).await.into_iter().map(Result::unwrap).collect();
    assert!(arrived.iter().all(|(row, _)| row.id == arrived[0].0.id));
    assert_eq!(arrived.iter().filter(|(_, found)| *found == Found::Made).count(), 1);
}

pub(crate) async fn a_subject_keeps_its_account_whatever_its_address_becomes(world: World) {
    let identities = world.store.identities();
    let decide = |candidate: Option<&Candidate>| {
        assert_eq!(candidate, None);
        Ok::<_, ()>(to_new(2))
    };
    let (row, found) = identities.account_of(&ann("1"), decide).await.unwrap();
    assert_eq!((row.id, row.profile, found), (account(2), with_email(), Found::Made));
    world.clock.turn(SECOND);
    let moved = Identity { email: Some("ann@other.example".parse().unwrap()), ..ann("1") };
    let (row, found) = identities.account_of(&moved, known).await.unwrap();
    assert_eq!((row.id, row.profile, found), (account(2), with_email(), Found::Known));
    let rows = identities.list(account(2)).await.unwrap();
    assert_eq!((rows.len(), &rows[0].identity), (1, &moved));
    assert!(rows[0].last_used_at > rows[0].created_at);
    // Whoever has the address now is somebody else, and is told apart.
    let decide = |candidate: Option<&Candidate>| {
        let candidate = candidate.unwrap();
        assert_eq!((candidate.account.id, candidate.has_issuer), (account(2), true));
        Ok::<_, ()>(Attach::ToCandidate)
    };
    let taken = identities.account_of(&ann("2"), decide).await;
    assert!(matches!(taken, Err(ChangeError::Store(StoreError::Conflict { .. }))), "{taken:?}");
    // The same subject of another issuer is another one too.
    let other = Identity { issuer: "https://other.example".to_owned(), ..ann("1") };
    let decide = |candidate: Option<&Candidate>| {
        assert!(!candidate.unwrap().has_issuer);
        Ok::<_, ()>(Attach::ToCandidate)
    };
    let (row, found) = identities.account_of(&other, decide).await.unwrap();
    assert_eq!((row.id, found), (account(2), Found::Linked));
}

pub(crate) async fn an_account_that_cannot_be_made_leaves_no_identity(world: World) {
    let identities = world.store.identities();
    let decide = |_: Option<&Candidate>| {
        let profile = Profile { plan: "gold".parse().unwrap(), ..with_email() };
        Ok::<_, ()>(Attach::ToNew { id: account(2), profile: Box::new(profile) })
    };
    let refused = identities.account_of(&ann("1"), decide).await;
    assert!(matches!(refused, Err(ChangeError::Store(StoreError::NotFound { .. }))));
    let refused = identities.account_of(&ann("1"), known).await;
    assert!(matches!(refused, Err(ChangeError::Refused(()))), "{refused:?}");
    assert!(world.store.accounts().get(account(2)).await.is_err());
}

pub(crate) async fn an_identity_is_linked_once_and_taken_back(world: World) {
    let identities = world.store.identities();
    world.store.accounts().insert_user(account(2), &profile("free"), None).await.unwrap();
    identities.link(world.account, &ann("1")).await.unwrap();
    identities.link(world.account, &ann("1")).await.unwrap();
    for (owner, subject) in [(account(2), "1"), (world.account, "2")] {
        let taken = identities.link(owner, &ann(subject)).await;
        assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    }
    let issuer = ann("1").issuer;
    let kept = identities.unlink(world.account, &issuer, |rows| {
        assert_eq!(rows.len(), 1);
        Err("the last one")
    });
    assert!(matches!(kept.await, Err(ChangeError::Refused("the last one"))));
    let foreign = identities.unlink(account(2), &issuer, |_| Ok::<_, ()>(())).await;
    assert!(matches!(foreign, Err(ChangeError::Store(StoreError::NotFound { .. }))));
    assert_eq!(identities.list(world.account).await.unwrap().len(), 1);
    identities.unlink(world.account, &issuer, |_| Ok::<_, ()>(())).await.unwrap();
    assert_eq!(identities.list(world.account).await.unwrap(), []);
    identities.link(account(2), &ann("1")).await.unwrap();
}

pub(crate) async fn a_ticket_serves_once(world: World) {
    let uses = (0..20).map(|_| {
        let store = world.store.clone();
        tokio::spawn(async move { store.tickets().spend(&[7; 32]).await.unwrap() })
    });
    let uses: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(uses.iter().filter(|spent| **spent == Spent::Now).count(), 1);
    let tickets = world.store.tickets();
    world.clock.turn(i64::try_from(REMEMBERED.as_micros()).unwrap());
    assert_eq!(tickets.spend(&[7; 32]).await.unwrap(), Spent::Before);
    assert_eq!(tickets.spend(&[8; 32]).await.unwrap(), Spent::Now);
}
