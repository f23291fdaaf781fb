use std::time::Duration;

use futures_util::future::join_all;
use rigbox_store::{
    certificates::{Budget, CertificateRow, Claim, LocalCaRow, Outcome},
    feed::Wake,
};
use rigbox_types::{Timestamp, edge::Challenge};

use crate::kit::{SECOND, World};

const LASTS: Duration = Duration::from_secs(600);

fn budget(most: u32) -> Budget<'static> {
    Budget { directory: "https://ca.example/dir", most, within: Duration::from_secs(3600) }
}

fn certificate(subject: &str, id: &str) -> CertificateRow {
    let at = Timestamp::from_micros;
    CertificateRow {
        subject: subject.to_owned(),
        id: id.to_owned(),
        names: vec![subject.to_owned(), format!("*.{subject}")],
        authority: "local".to_owned(),
        chain: "chain".to_owned(),
        sealed_key: vec![0, 255, 7],
        not_before: at(1),
        not_after: at(90),
        jitter: u32::MAX,
        renew_at: at(60),
        ask_at: at(30),
    }
}

pub(crate) async fn a_certificate_takes_the_place_of_the_one_before(world: World) {
    let certificates = world.store.certificates();
    let mut wakes = world.store.feed().subscribe();
    certificates.put(&certificate("a.example", "1")).await.unwrap();
    certificates.put(&certificate("b.example", "2")).await.unwrap();
    certificates.put(&certificate("a.example", "3")).await.unwrap();
    assert_eq!(wakes.next().await, Some(Wake::Certificates));
    let (planned, at) =
        (CertificateRow { ..certificate("a.example", "3") }, Timestamp::from_micros);
    // What is about an older one changes nothing.
    certificates.plan(("a.example", "1"), at(7), at(8)).await.unwrap();
    certificates.remove("a.example", "1").await.unwrap();
    assert!(certificates.all().await.unwrap() == [planned.clone(), certificate("b.example", "2")]);
    certificates.plan(("a.example", "3"), at(7), at(8)).await.unwrap();
    certificates.remove("b.example", "2").await.unwrap();
    let planned = CertificateRow { renew_at: at(7), ask_at: at(8), ..planned };
    assert!(certificates.all().await.unwrap() == [planned]);
}

pub(crate) async fn many_certificates_are_read_in_parts(world: World) {
    let certificates = world.store.certificates();
    for n in 0..300 {
        certificates.put(&certificate(&format!("{n:03}.example"), "1")).await.unwrap();
    }
    let all = certificates.all().await.unwrap();
    assert_eq!(all.len(), 300);
    assert!(all.iter().enumerate().all(|(n, row)| row.subject == format!("{n:03}.example")));
}

pub(crate) async fn of_many_first_starts_one_makes_the_ca_and_the_account(world: World) {
    let starts = (0..20_u8).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let ca = LocalCaRow { certificate: n.to_string(), sealed_key: vec![n] };
            let ca = store.certificates().keep_local_ca("rigbox.localhost", &ca).await.unwrap();
            let account = store.certificates().keep_account("https://ca.example", &[n]).await;
            (ca, account.unwrap())
        })
    });
    let kept: Vec<_> = join_all(starts).await.into_iter().map(Result::unwrap).collect();
    assert!(kept.iter().all(|one| *one == kept[0]));
    let certificates = world.store.certificates();
    assert!(certificates.local_ca("rigbox.localhost").await.unwrap().as_ref() == Some(&kept[0].0));
    assert!(certificates.local_ca("other.localhost").await.unwrap().is_none());
    // Another account than the one that is gone stays.
    certificates.forget_account("https://ca.example", b"other").await.unwrap();
    assert!(certificates.account("https://ca.example").await.unwrap().is_some());
    certificates.forget_account("https://ca.example", &kept[0].1).await.unwrap();
    assert!(certificates.account("https://ca.example").await.unwrap().is_none());
    certificates.remove_local_ca("rigbox.localhost", &kept[0].0).await.unwrap();
    assert!(certificates.local_ca("rigbox.localhost").await.unwrap().is_none());
}

pub(crate) async fn one_process_at_a_time_orders_for_a_name(world: World) {
    let claims = (0..20).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let order = format!("order-{n}");
            let claim = ("a.example", order.as_str());
            (store.certificates().claim(claim, LASTS, budget(100)).await.unwrap(), order)
        })
    });
    let claims: Vec<_> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
    let granted: Vec<_> = claims.iter().filter(|(claim, _)| *claim != Claim::Held).collect();
    let [(Claim::Granted { failures: 0 }, first)] = granted.as_slice() else {
        panic!("{claims:?}")
    };
    let certificates = world.store.certificates();
    let claim = async |subject, order| {
        certificates.claim((subject, order), LASTS, budget(100)).await.unwrap()
    };
    assert_eq!(claim("b.example", "b").await, Claim::Granted { failures: 0 });
    assert_eq!(claim("a.example", "late").await, Claim::Held);
    // Whoever held it is gone.
    world.clock.turn(601 * SECOND);
    assert_eq!(claim("a.example", "second").await, Claim::Granted { failures: 0 });
    // And comes back: it is not its order any longer.
    certificates.finish(("a.example", first.as_str()), &Outcome::Issued).await.unwrap();
    assert_eq!(claim("a.example", "third").await, Claim::Held);
    certificates.finish(("a.example", "second"), &Outcome::Issued).await.unwrap();
    assert_eq!(claim("a.example", "third").await, Claim::Granted { failures: 0 });
}

pub(crate) async fn what_failed_is_tried_again_when_it_was_said(world: World) {
    let certificates = world.store.certificates();
    let claim =
        async |order| certificates.claim(("a.example", order), LASTS, budget(100)).await.unwrap();
    assert_eq!(claim("1").await, Claim::Granted { failures: 0 });
    let next_at = Timestamp::from_micros(world.store.now().as_micros() + 60 * SECOND);
    let failed = Outcome::Failed { next_at, error: format!("no\0{}", "x".repeat(9000)) };
    certificates.finish(("a.example", "1"), &failed).await.unwrap();
    assert_eq!(claim("2").await, Claim::Later(next_at));
    let orders = certificates.orders().await.unwrap();
    assert_eq!((orders.len(), orders[0].failures, orders[0].held), (1, 1, false));
    assert!(orders[0].last_error.as_ref().is_some_and(|error| error.starts_with("no x")));
    world.clock.turn(60 * SECOND);
    assert_eq!(claim("2").await, Claim::Granted { failures: 1 });
    // One that is under way is not forgotten.
    certificates.forget_order("a.example").await.unwrap();
    assert_eq!(claim("3").await, Claim::Held);
    certificates.finish(("a.example", "2"), &failed).await.unwrap();
    certificates.forget_order("a.example").await.unwrap();
    assert_eq!(certificates.orders().await.unwrap(), []);
}

pub(crate) async fn orders_stay_within_the_budget_of_an_authority(world: World) {
    let certificates = world.store.certificates();
    let begun = world.store.now().as_micros();
    for n in 0..3 {
        let (subject, order) = (format!("{n}.example"), format!("order-{n}"));
        let claim = certificates.claim((&subject, &order), LASTS, budget(3)).await.unwrap();
        assert_eq!(claim, Claim::Granted { failures: 0 });
        world.clock.turn(SECOND);
    }
    let free = Timestamp::from_micros(begun + 3600 * SECOND);
    let claim =
        async |order| certificates.claim(("next.example", order), LASTS, budget(3)).await.unwrap();
    assert_eq!(claim("4").await, Claim::Later(free));
    let other = Budget { directory: "https://other.example/dir", ..budget(3) };
    let claimed = certificates.claim(("other.example", "5"), LASTS, other).await.unwrap();
    assert_eq!(claimed, Claim::Granted { failures: 0 });
    world.clock.turn(3597 * SECOND);
    assert_eq!(claim("6").await, Claim::Granted { failures: 0 });
}

pub(crate) async fn challenges_are_up_until_their_end(world: World) {
    let certificates = world.store.certificates();
    let challenge = |value: &str| Challenge::Dns {
        name: "_acme-challenge.example.com".to_owned(),
        value: value.to_owned(),
    };
    let end = |seconds| Timestamp::from_micros(world.store.now().as_micros() + seconds * SECOND);
    let first = [("1".to_owned(), challenge("a")), ("2".to_owned(), challenge("b"))];
    certificates.challenges_open(&first, end(60)).await.unwrap();
    certificates.challenges_open(&[("3".to_owned(), challenge("c"))], end(600)).await.unwrap();
    certificates.challenges_close(&["1".to_owned()]).await.unwrap();
    let up = certificates.challenges().await.unwrap();
    assert_eq!(up, [challenge("b"), challenge("c")]);
    world.clock.turn(60 * SECOND);
    assert_eq!(certificates.challenges().await.unwrap(), [challenge("c")]);
}

pub(crate) async fn keys_of_tickets_are_made_in_turn_by_one_of_many(world: World) {
    const EVERY: Duration = Duration::from_secs(3600);
    let rotate = async |round: u8| {
        let tries = (0..10_u8).map(|n| {
            let store = world.store.clone();
            tokio::spawn(async move {
                let id = format!("{round}-{n}");
                let sealed = [round];
                let key = (id.as_str(), sealed.as_slice());
                store.certificates().rotate_ticket_keys(key, EVERY, 3).await.unwrap()
            })
        });
        let made = join_all(tries).await.into_iter().filter(|made| *made.as_ref().unwrap());
        let keys = world.store.certificates().ticket_keys().await.unwrap();
        (made.count(), keys.iter().map(|key| key.sealed[0]).collect::<Vec<_>>())
    };
    assert_eq!(rotate(1).await, (1, vec![1]));
    assert_eq!(rotate(2).await, (0, vec![1]));
    world.clock.turn(3600 * SECOND);
    assert_eq!(rotate(3).await, (1, vec![3, 1]));
    world.clock.turn(3600 * SECOND);
    assert_eq!(rotate(4).await, (1, vec![4, 3, 1]));
    world.clock.turn(3600 * SECOND);
    assert_eq!(rotate(5).await, (1, vec![5, 4, 3]));
    // A clock that was put back: what seems to be from the future goes.
    world.clock.turn(-5400 * SECOND);
    assert_eq!(rotate(6).await, (1, vec![6, 3]));
    let key = world.store.certificates().ticket_keys().await.unwrap().remove(0);
    world.store.certificates().remove_ticket_key(&key.id).await.unwrap();
    assert_eq!(rotate(7).await, (0, vec![3]));
}
