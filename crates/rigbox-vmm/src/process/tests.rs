use super::*;

#[test]
fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
    let text = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 987654 1 2 3";
    let stat = Stat::parse(text).expect("well-formed");
    assert_eq!((stat.state, stat.start_time_ticks), ('S', 987_654));
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
