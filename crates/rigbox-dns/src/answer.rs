//! From a question to its answer, as a pure function of zones, records and bytes.
//! Invariants: a response is never answered, so that two servers cannot keep each other busy; the
//! question is repeated in the case in which it was asked (0x20); NXDOMAIN and NODATA carry the SOA.

use std::collections::BTreeMap;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{NS, SOA, TXT},
    },
};

use crate::{UDP_MAX_BYTES, Zone};

/// How long others may remember an answer, in seconds: a challenge lives for minutes.
const TTL_SECONDS: u32 = 1;

/// The same of the zone's own records.
const ZONE_TTL_SECONDS: u32 = 3600;

/// Length of a header.
const HEADER_BYTES: usize = 12;

/// Least that every client takes over UDP.
const UDP_LEAST_BYTES: u16 = 512;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a datagram.
    Udp,
    /// In a datagram, from where too much comes: it is to come again over TCP.
    UdpTooOften,
    /// Over a connection, whose other end is who it says.
    Tcp,
}

/// The answer to a message; none where there is to be none.
pub(crate) fn answer(
    zones: &[Zone],
    records: &BTreeMap<Name, Vec<String>>,
    bytes: &[u8],
    way: Way,
) -> Option<Vec<u8>> {
    // A response is not answered, and neither is what has not even a header.
    let header = bytes.get(..HEADER_BYTES)?;
    let (id, flags) = match header {
        [first, second, flags, ..] => (u16::from_be_bytes([*first, *second]), *flags),
        _ => return None,
    };
    if flags & 0x80 != 0 {
        return None;
    }
    let Ok(asked) = Message::from_vec(bytes) else {
        let broken = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
        return broken.to_vec().ok();
    };
    let reply = reply(zones, records, &asked);
    let most = match (&asked.edns, way) {
        (_, Way::Tcp) => u16::MAX,
        (Some(edns), _) => edns.max_payload().clamp(UDP_LEAST_BYTES, UDP_MAX_BYTES),
        (None, _) => UDP_LEAST_BYTES,
    };
    if way == Way::UdpTooOften {
        return reply.truncate().to_vec().ok().filter(|reply| reply.len() <= bytes.len());
    }
    let whole = reply.to_vec().ok()?;
    if whole.len() <= usize::from(most) {
        return Some(whole);
    }
    reply.truncate().to_vec().ok()
}

fn reply(zones: &[Zone], records: &BTreeMap<Name, Vec<String>>, asked: &Message) -> Message {
    let mut reply = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    if let Some(edns) = &asked.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(UDP_MAX_BYTES).set_version(0);
        if edns.version() > 0 {
            ours.set_rcode_high(1);
            reply.metadata.response_code = ResponseCode::BADVERS;
        }
        reply.set_edns(ours);
    }
    let [query] = asked.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return reply;
    };
    reply.add_query(query.clone());
    if reply.metadata.response_code != ResponseCode::NoError {
        return reply;
    }
    if asked.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return reply;
    }
    let zone = zones.iter().filter(|zone| zone.origin.zone_of(&query.name));
    let zone = zone.max_by_key(|zone| zone.origin.num_labels());
    let refused = matches!(
        query.query_type,
        RecordType::ANY | RecordType::AXFR | RecordType::IXFR | RecordType::OPT
    );
    let Some(zone) = zone.filter(|_| query.query_class == DNSClass::IN && !refused) else {
        reply.metadata.response_code = ResponseCode::Refused;
        return reply;
    };
    reply.metadata.authoritative = true;
    let name = query.name.to_lowercase();
    let found = match query.query_type {
        RecordType::TXT => texts(records, &name, &query.name),
        RecordType::SOA if name == zone.origin => vec![soa(zone)],
        RecordType::NS if name == zone.origin => vec![ns(zone)],
        _ => Vec::new(),
    };
    if found.is_empty() {
        let exists = name == zone.origin || records.keys().any(|known| name.zone_of(known));
        if !exists {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        reply.add_authority(soa(zone));
    } else {
        reply.add_answers(found);
    }
    reply
}

fn texts(records: &BTreeMap<Name, Vec<String>>, name: &Name, asked: &Name) -> Vec<Record> {
    let values = records.get(name).map(Vec::as_slice).unwrap_or_default();
    let text = |value: &String| {
        let text = RData::TXT(TXT::new(vec![value.clone()]));
        Record::from_rdata(asked.clone(), TTL_SECONDS, text)
    };
    values.iter().map(text).collect()
}

/// The serial is always the same: nobody copies the zone, which is refused.
fn soa(zone: &Zone) -> Record {
    let contact =
        Name::from_ascii("hostmaster").and_then(|name| name.append_domain(&zone.name_server));
    let contact = contact.unwrap_or_else(|_| zone.name_server.clone());
    let soa = SOA::new(zone.name_server.clone(), contact, 1, 3600, 600, 86_400, TTL_SECONDS);
    Record::from_rdata(zone.origin.clone(), TTL_SECONDS, RData::SOA(soa))
}

fn ns(zone: &Zone) -> Record {
    let ns = RData::NS(NS(zone.name_server.clone()));
    Record::from_rdata(zone.origin.clone(), ZONE_TTL_SECONDS, ns)
}

#[cfg(test)]
mod tests;
