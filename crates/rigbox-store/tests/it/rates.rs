use futures_util::future::join_all;
use rigbox_types::{
    endpoint::RateClass,
    rate::{Draw, Rate},
};

use crate::kit::{SECOND, World, account};

const RATE: Rate = Rate { limit: 10, window_s: 60 };

fn passed(drawn: &[Draw]) -> usize {
    drawn.iter().filter(|draw| matches!(draw, Draw::Passed { .. })).count()
}

pub(crate) async fn of_many_draws_at_once_as_many_pass_as_there_are_tokens(world: World) {
    let other = world.another_store().await;
    let stores = [&world.store, &other];
    let draws = stores.iter().cycle().take(40).map(|store| async {
        store.rates().draw(world.account, RateClass::Apps, (RATE, 1)).await.unwrap()
    });
    assert_eq!(passed(&join_all(draws).await), 10);
    // Another account and another class have buckets of their own.
    let rates = world.store.rates();
    let drawn = rates.draw(account(2), RateClass::Apps, (RATE, 1)).await.unwrap();
    let full = Draw::Passed { full_at: 1_800_000_006 * SECOND, remaining: 9, reset_s: 6 };
    assert_eq!(drawn, full);
    let drawn = rates.draw(world.account, RateClass::Workspaces, (RATE, 1)).await.unwrap();
    assert_eq!(drawn, full);
}

pub(crate) async fn tokens_come_back_with_time(world: World) {
    let rates = world.store.rates();
    let draw = |tokens| rates.draw(world.account, RateClass::Apps, (RATE, tokens));
    assert_eq!(passed(&[draw(10).await.unwrap()]), 1);
    assert_eq!(draw(3).await.unwrap(), Draw::Empty { retry_after_s: 18 });
    world.clock.turn(18 * SECOND);
    rates.forget().await.unwrap();
    assert!(matches!(draw(3).await.unwrap(), Draw::Passed { remaining: 0, .. }));
    assert_eq!(draw(1).await.unwrap(), Draw::Empty { retry_after_s: 6 });
    world.clock.turn(61 * SECOND);
    rates.forget().await.unwrap();
    assert!(matches!(draw(1).await.unwrap(), Draw::Passed { remaining: 9, .. }));
}
