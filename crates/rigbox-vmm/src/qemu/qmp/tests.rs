use tokio::net::UnixListener;

use super::*;

const GREETING: &str =
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": []}}\n";
const OK: &str = "{\"return\": {}}\n";

/// Serves one connection: the answers, one for each line that the client sends, the first unasked.
/// Returns what the client sent.
fn serve(listener: UnixListener, answers: Vec<String>) -> tokio::task::JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accept");
        let mut stream = BufReader::new(stream);
        let mut heard = Vec::new();
        for (index, answer) in answers.into_iter().enumerate() {
            if index > 0 {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                heard.push(line.trim_end().to_owned());
            }
            // The client may hang up on what it does not like.
            stream.get_mut().write_all(answer.as_bytes()).await.ok();
        }
        heard
    })
}

fn listen() -> (tempfile::TempDir, Utf8PathBuf, UnixListener) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = Utf8PathBuf::try_from(dir.path().join("qmp")).expect("UTF-8");
    let listener = UnixListener::bind(&path).expect("bind");
    (dir, path, listener)
}

/// A connection whose further lines are `answers`.
async fn connected(
    answers: &[&str],
) -> (tempfile::TempDir, Qmp, tokio::task::JoinHandle<Vec<String>>) {
    let (dir, path, listener) = listen();
    let all = [GREETING, OK].iter().chain(answers).map(|&text| text.to_owned()).collect();
    let server = serve(listener, all);
    (dir, Qmp::connect(&path).await.expect("connect"), server)
}

#[tokio::test]
async fn commands_are_written_as_qemu_reads_them() {
    let (_dir, mut qmp, server) = connected(&[OK, OK, OK, OK]).await;
    qmp.execute(&Command::Cont).await.expect("cont");
    qmp.execute(&Command::SystemPowerdown).await.expect("system_powerdown");
    qmp.execute(&Command::Migrate { uri: "fd:state" }).await.expect("migrate");
    let capability = MigrationCapability { capability: "events", state: true };
    let command = Command::MigrateSetCapabilities { capabilities: &[capability] };
    qmp.execute(&command).await.expect("capabilities");
    assert_eq!(
        server.await.expect("the server does not panic"),
        [
            r#"{"execute":"qmp_capabilities"}"#,
            r#"{"execute":"cont"}"#,
            r#"{"execute":"system_powerdown"}"#,
            r#"{"execute":"migrate","arguments":{"uri":"fd:state"}}"#,
            r#"{"execute":"migrate-set-capabilities","arguments":{"capabilities":[{"capability":"events","state":true}]}}"#,
        ]
    );
}

#[tokio::test]
async fn an_event_before_an_answer_is_kept_until_it_is_waited_for() {
    let event =
        "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}, \"timestamp\": {}}\n";
    let other = "{\"event\": \"STOP\", \"timestamp\": {}}\n";
    let answer = "{\"return\": {\"status\": \"paused\", \"running\": false}}\n";
    let (_dir, mut qmp, _server) = connected(&[&[other, event, answer].concat()]).await;
    assert_eq!(qmp.run_state().await.expect("state"), RunState::Paused);
    let data = qmp.wait_for("MIGRATION", Duration::from_secs(5), |_| true).await.expect("event");
    assert_eq!(data["status"], "completed");
}

#[tokio::test]
async fn a_refusal_is_told_in_qemus_words() {
    let refusal = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no room\"}}\n";
    let (_dir, mut qmp, _server) = connected(&[refusal]).await;
    let error = qmp.execute(&Command::Cont).await.expect_err("refused");
    assert_eq!(error.to_string(), "the VMM refused cont: no room");
}

#[tokio::test]
async fn a_state_that_is_new_is_no_error() {
    let answer = "{\"return\": {\"status\": \"io-error\", \"running\": false, \"new\": 1}}\n";
    let (_dir, mut qmp, _server) = connected(&[answer]).await;
    assert_eq!(qmp.run_state().await.expect("state"), RunState::Other);
}

#[tokio::test]
async fn a_qemu_that_ends_is_seen_to_end() {
    let (_dir, mut qmp, server) = connected(&[]).await;
    server.await.expect("the server does not panic");
    let error = qmp.execute(&Command::Cont).await.expect_err("ended");
    assert!(matches!(error, VmmError::Ended { .. } | VmmError::Control { .. }), "{error:?}");
}

#[tokio::test]
async fn rubbish_and_lines_without_end_are_refused() {
    let long = format!("{{\"return\": \"{}\"}}\n", "x".repeat(200_000));
    for answer in ["rubbish\n", "{\"neither\": 1}\n", long.as_str()] {
        let (_dir, mut qmp, _server) = connected(&[answer]).await;
        let error = qmp.execute(&Command::Stop).await.expect_err("refused");
        assert!(matches!(error, VmmError::Protocol { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_flood_of_events_keeps_the_last_few() {
    let flood: String = (0..1000)
        .map(|number| format!("{{\"event\": \"E\", \"data\": {{\"number\": {number}}}}}\n"))
        .chain([OK.to_owned()])
        .collect();
    let (_dir, mut qmp, _server) = connected(&[&flood]).await;
    qmp.execute(&Command::Cont).await.expect("cont");
    assert_eq!(qmp.events.len(), EVENTS_MAX);
    let data = qmp.wait_for("E", Duration::from_secs(5), |_| true).await.expect("event");
    assert_eq!(data["number"], 1000 - EVENTS_MAX);
}
