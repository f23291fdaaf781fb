//! A machine with room for a few.

use rigbox_tests::{client::Answer, platform::Platform};
use serde_json::json;

#[test]
fn fifty_creates_at_once_on_a_machine_with_room_for_five_make_five() {
    // Disk is promised at create: the pool of the tests, 8 GiB less what its file system needs,
    // holds five of this size.
    let disk_size_mb = 1_500;
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..50)
            .map(|n| {
                let client = &client;
                scope.spawn(move || {
                    let body = json!({"name": format!("ws-{n}"), "template_id": "tiny",
                                      "disk_size_mb": disk_size_mb});
                    // All at once may be too many for the database, which says nothing of room.
                    let mut answers = (0..20).map(|_| client.post("/workspaces", &body).unwrap());
                    let says = |answer: &Answer| answer.text_at("/error/code") != "unavailable";
                    answers.find(says).expect("the database is there at some time")
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!((made.len(), refused.len()), (5, 45));
    for answer in refused {
        assert_eq!(answer.text_at("/error/code"), "capacity_exhausted", "{}", answer.text);
        assert!(answer.at("/error/details/retry_after_s").is_number(), "{}", answer.text);
    }
    for answer in made {
        let id = answer.text_at("/vm/id");
        platform.act(&id, "start").unwrap();
    }
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        platform.wait_status(&answer.text_at("/vm/id"), "running").unwrap();
    }
}
