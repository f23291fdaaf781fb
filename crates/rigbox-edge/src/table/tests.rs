//! The table: what leads where, and what a change costs.

use std::time::Instant;

use rigbox_types::{
    Generation, Revision,
    edge::{EdgeEvent, Route, RouteState, Visibility},
};

use super::{Applied, Builder};
use crate::config::Dialers;

fn route(app: u32, names: &[&str]) -> Route {
    let digits = |prefix: &str| format!("{prefix}{app:08}");
    Route {
        app: digits("app-").parse().unwrap(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        workspace: digits("ws-").parse().unwrap(),
        owner: rigbox_types::AccountId::from_random([1; 16]),
        generation: Generation(1),
        host: Some("unix:/run/dial.sock".to_owned()),
        port: 80,
        state: RouteState::Serving,
        visibility: Visibility::Public,
        allowed_emails: Vec::new(),
    }
}

fn told(route: Route) -> EdgeEvent {
    EdgeEvent::Route { revision: Revision(1), route: Box::new(route) }
}

fn builder() -> Builder {
    Builder::new(Dialers::local(), 8)
}

fn leads(builder: &Builder, name: &str) -> Option<String> {
    builder.snapshot.app(name).map(|app| app.route.app.to_string())
}

#[test]
fn a_name_leads_to_the_app_that_has_it_now() {
    let mut builder = builder();
    builder.apply(told(route(1, &["a.example", "b.example"])));
    builder.apply(told(route(1, &["a.example", "c.example"])));
    assert_eq!(leads(&builder, "b.example"), None);
    assert_eq!(leads(&builder, "c.example").as_deref(), Some("app-00000001"));
    // Another app gets the name before its old one is told to have given it up.
    builder.apply(told(route(2, &["a.example"])));
    builder.apply(told(route(1, &["c.example"])));
    assert_eq!(leads(&builder, "a.example").as_deref(), Some("app-00000002"));
    let app = "app-00000002".parse().unwrap();
    builder.apply(EdgeEvent::Gone { revision: Revision(2), app });
    assert_eq!(leads(&builder, "a.example"), None);
}

#[test]
fn a_bad_route_keeps_the_last_good_one_but_who_may_come() {
    let mut builder = builder();
    builder.apply(told(route(1, &["a.example"])));
    let bad =
        Route { visibility: Visibility::Private, port: 0, ..route(1, &["A/..", "b.example"]) };
    assert!(matches!(builder.apply(told(bad)), Applied::Refused(_)));
    let app = builder.snapshot.app("a.example").unwrap();
    assert_eq!((app.route.port, app.route.visibility), (80, Visibility::Private));
    assert_eq!(leads(&builder, "b.example"), None);
}

#[test]
fn connections_are_kept_while_a_route_leads_to_the_same_place() {
    let mut builder = builder();
    let upstream =
        |builder: &Builder| builder.snapshot.app("a.example").unwrap().upstream.clone().unwrap();
    builder.apply(told(route(1, &["a.example"])));
    let first = upstream(&builder);
    let changed = Route { visibility: Visibility::Private, ..route(1, &["a.example"]) };
    builder.apply(told(changed));
    assert!(std::sync::Arc::ptr_eq(&first, &upstream(&builder)));
    builder.apply(told(Route { generation: Generation(2), ..route(1, &["a.example"]) }));
    assert!(!std::sync::Arc::ptr_eq(&first, &upstream(&builder)), "another boot");
}

#[test]
fn a_table_that_is_not_told_to_its_end_is_given_up() {
    let mut builder = builder();
    builder.apply(told(route(1, &["a.example"])));
    builder.apply(EdgeEvent::Synced { revision: Revision(1) });
    builder.apply(EdgeEvent::Reset);
    builder.apply(told(route(2, &["b.example"])));
    assert!(builder.is_partial());
    builder.abandon();
    assert!(leads(&builder, "a.example").is_some() && leads(&builder, "b.example").is_none());
}

/// What a change costs may not grow with the table. Measured against a small table in the same run,
/// with a wide margin: the machine may be busy.
#[test]
fn a_change_costs_about_the_same_in_a_large_table() {
    let cost = |apps: u32| {
        let mut builder = builder();
        for app in 0..apps {
            builder.apply(told(route(app, &[&format!("n{app}.example")])));
        }
        let mut best = std::time::Duration::MAX;
        for round in 0..20 {
            let _served = builder.snapshot.clone();
            let began = Instant::now();
            builder.apply(told(route(round, &[&format!("n{round}.example")])));
            best = best.min(began.elapsed());
        }
        println!("{apps} apps: {best:?} a change");
        best
    };
    let (small, large) = (cost(100), cost(20_000));
    assert!(large < small * 20, "{small:?} became {large:?}");
}
