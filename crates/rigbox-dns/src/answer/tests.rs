//! What is asked in bytes and answered in bytes; arbitrary bytes besides.

use hickory_proto::op::Query;
use proptest::prelude::*;

use super::*;

fn zones() -> Vec<Zone> {
    vec![Zone::new("_acme-challenge.example.com", "ns.example.com").unwrap()]
}

fn records() -> BTreeMap<Name, Vec<String>> {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    BTreeMap::from([
        (name("_acme-challenge.example.com."), vec!["one".to_owned(), "two".to_owned()]),
        (name("a.b._acme-challenge.example.com."), vec!["deep".to_owned()]),
        (
            name("many._acme-challenge.example.com."),
            (0..32).map(|n| format!("{n:0>200}")).collect(),
        ),
    ])
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn ask_as(message: &Message, way: Way) -> Option<Message> {
    let bytes = answer(&zones(), &records(), &message.to_vec().unwrap(), way)?;
    Some(Message::from_vec(&bytes).unwrap())
}

fn ask(name: &str, kind: RecordType) -> Message {
    let asked = question(name, kind);
    let told = ask_as(&asked, Way::Udp).unwrap();
    assert_eq!(told.metadata.id, asked.metadata.id);
    assert!(!told.metadata.recursion_available);
    told
}

#[test]
fn a_name_is_answered_with_all_its_values() {
    let told = ask("_acme-challenge.example.com.", RecordType::TXT);
    let values: Vec<_> = told.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(values, ["one", "two"]);
    assert!(told.metadata.authoritative);
}

#[test]
fn case_does_not_matter_and_is_repeated() {
    let told = ask("_aCmE-cHaLlEnGe.ExAmPlE.cOm.", RecordType::TXT);
    assert_eq!(told.answers.len(), 2);
    let name = Name::from_ascii("_aCmE-cHaLlEnGe.ExAmPlE.cOm.").unwrap();
    assert!(told.queries[0].name.eq_case(&name));
    assert!(told.answers[0].name.eq_case(&name));
}

#[test]
fn what_is_not_there_is_told_apart() {
    for (name, kind, code, has_soa) in [
        ("_acme-challenge.example.com.", RecordType::A, ResponseCode::NoError, true),
        // Between the zone and a name that is there.
        ("b._acme-challenge.example.com.", RecordType::TXT, ResponseCode::NoError, true),
        ("c._acme-challenge.example.com.", RecordType::TXT, ResponseCode::NXDomain, true),
        ("x_acme-challenge.example.com.", RecordType::TXT, ResponseCode::Refused, false),
        ("example.com.", RecordType::TXT, ResponseCode::Refused, false),
        (".", RecordType::NS, ResponseCode::Refused, false),
        ("_acme-challenge.example.com.", RecordType::ANY, ResponseCode::Refused, false),
        ("_acme-challenge.example.com.", RecordType::AXFR, ResponseCode::Refused, false),
    ] {
        let told = ask(name, kind);
        assert_eq!(told.metadata.response_code, code, "{name} {kind}");
        assert!(told.answers.is_empty());
        assert_eq!(!told.authorities.is_empty(), has_soa, "{name} {kind}");
    }
}

#[test]
fn a_zone_names_its_server() {
    let told = ask("_acme-challenge.example.com.", RecordType::NS);
    assert_eq!(told.answers[0].data.to_string(), "ns.example.com.");
    let told = ask("_acme-challenge.example.com.", RecordType::SOA);
    assert!(
        told.answers[0].data.to_string().starts_with("ns.example.com. hostmaster.ns.example.com.")
    );
}

#[test]
fn what_is_too_long_for_a_datagram_is_had_over_a_connection() {
    let mut asked = question("many._acme-challenge.example.com.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_max_payload(65_535);
    asked.set_edns(edns);
    let bytes = answer(&zones(), &records(), &asked.to_vec().unwrap(), Way::Udp).unwrap();
    assert!(bytes.len() <= usize::from(UDP_MAX_BYTES));
    let told = Message::from_vec(&bytes).unwrap();
    assert!(told.metadata.truncation && told.answers.is_empty());
    let told = ask_as(&asked, Way::Tcp).unwrap();
    assert!(!told.metadata.truncation);
    assert_eq!(told.answers.len(), 32);
}

#[test]
fn who_asks_too_much_gets_no_more_bytes_than_it_sent() {
    let asked = question("many._acme-challenge.example.com.", RecordType::TXT);
    let sent = asked.to_vec().unwrap();
    let told = answer(&zones(), &records(), &sent, Way::UdpTooOften).unwrap();
    assert!(told.len() <= sent.len());
    assert!(Message::from_vec(&told).unwrap().metadata.truncation);
}

#[test]
fn an_answer_is_not_answered() {
    let mut asked = question("_acme-challenge.example.com.", RecordType::TXT);
    asked.metadata.message_type = MessageType::Response;
    assert_eq!(ask_as(&asked, Way::Udp), None);
}

#[test]
fn other_operations_and_versions_are_refused_by_their_codes() {
    let mut asked = question("_acme-challenge.example.com.", RecordType::SOA);
    asked.metadata.op_code = OpCode::Notify;
    assert_eq!(ask_as(&asked, Way::Udp).unwrap().metadata.response_code, ResponseCode::NotImp);
    let mut asked = question("_acme-challenge.example.com.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_version(1);
    asked.set_edns(edns);
    let told = ask_as(&asked, Way::Udp).unwrap();
    assert_eq!(told.edns.as_ref().unwrap().rcode_high(), 1);
    assert!(told.answers.is_empty());
    let mut asked = question("_acme-challenge.example.com.", RecordType::TXT);
    asked.add_query(Query::query(Name::from_ascii("b.").unwrap(), RecordType::A));
    assert_eq!(ask_as(&asked, Way::Udp).unwrap().metadata.response_code, ResponseCode::FormErr);
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_within_the_limits_or_not_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let told = answer(&zones(), &records(), &bytes, Way::Udp);
        prop_assert!(told.is_none_or(|told| told.len() <= usize::from(UDP_MAX_BYTES)));
        let told = answer(&zones(), &records(), &bytes, Way::UdpTooOften);
        prop_assert!(told.is_none_or(|told| told.len() <= bytes.len().max(HEADER_BYTES)));
    }

    #[test]
    fn a_broken_question_is_answered_within_the_limits_or_not_at_all(
        at in 0_usize..60, value in any::<u8>(), cut in 0_usize..60,
    ) {
        let mut bytes = question("many._acme-challenge.example.com.", RecordType::TXT)
            .to_vec()
            .unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let told = answer(&zones(), &records(), &bytes, Way::Udp);
        prop_assert!(told.is_none_or(|told| told.len() <= usize::from(UDP_MAX_BYTES)));
    }
}
