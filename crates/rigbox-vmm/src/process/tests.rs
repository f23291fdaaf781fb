use super::*;

#[test]
fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
    let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 987654 1 2 3";
    let stat = Stat::parse(text).expect("well-formed");
    assert_eq!((stat.state, stat.threads, stat.start_time_ticks), ('S', 1, 987_654));
}

#[test]
fn a_process_is_dead_when_its_last_thread_is() {
    let dead = |state: char, threads: u32| Stat { state, threads, start_time_ticks: 0 }.is_dead();
    assert!(dead('Z', 1) && dead('X', 0));
    assert!(!dead('Z', 2) && !dead('R', 1));
}

#[test]
fn a_short_line_is_refused() {
    for text in ["", "7 (a", "7 (a) S 1 2", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 x"]
    {
        assert!(Stat::parse(text).is_none(), "{text}");
    }
}

#[test]
fn this_process_is_alive_and_its_neighbours_in_time_are_not() {
    let me = ProcessId::of(std::process::id()).expect("own stat");
    assert!(me.is_alive());
    assert!(!ProcessId { start_time_ticks: me.start_time_ticks + 1, ..me }.is_alive());
    assert!(!ProcessId { boot: me.boot ^ 1, ..me }.is_alive());
}

#[tokio::test]
async fn a_killed_child_is_gone_for_all_but_its_parent_and_cannot_be_hit_again() {
    let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().expect("spawn");
    let process = ProcessId::of(child.id()).expect("a live child");
    let reused = ProcessId { start_time_ticks: process.start_time_ticks + 1, ..process };
    reused.kill().await.expect("a process that is not there is success");
    assert!(process.is_alive());
    process.kill().await.expect("kill");
    assert!(!process.is_alive());
    process.kill().await.expect("a zombie is success");
    child.wait().expect("reap");
    process.kill().await.expect("a reaped one is success");
    process.wait_exit().await.expect("it is gone");
}

#[test]
fn a_process_that_cannot_be_looked_at_is_not_taken_for_dead() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let me = ProcessId::of(std::process::id()).expect("own stat");
    let before = getrlimit(Resource::Nofile);
    let none = rustix::process::Rlimit { current: Some(0), ..before };
    setrlimit(Resource::Nofile, none).expect("lower the limit");
    let (alive, looked) = (me.is_alive(), me.stat().is_err());
    setrlimit(Resource::Nofile, before).expect("raise it again");
    assert!(alive && looked);
}
