use std::time::Duration;

use rigbox_fabric::task;
use tokio::sync::oneshot;

#[tokio::test]
async fn shutting_down_waits_for_every_task_and_names_those_that_stay() {
    let (leave, left) = oneshot::channel::<()>();
    let stays = task::spawn("test.stays", async move { left.await.is_ok() });
    let ended = task::spawn("test.ends", async { 7 });
    assert_eq!(ended.await.unwrap(), 7);
    let error = task::drain(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.names, ["test.stays"]);
    leave.send(()).unwrap();
    assert!(stays.await.unwrap());
    task::drain(Duration::from_secs(10)).await.unwrap();
    assert!(task::running().is_empty());
}

#[tokio::test]
async fn a_panic_is_handed_on_and_counts_as_an_end() {
    let panicked = task::spawn("test.panics", async { panic!("on purpose") });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!task::running().contains(&"test.panics"));
}
