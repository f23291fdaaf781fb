//! Who asks, where a proxy asks for them: the address of the client behind proxies that are trusted.
//! Invariant: an address that a client claims for itself counts for nothing: only what a trusted
//! proxy has added is believed, from the nearest one outwards.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Most addresses of a chain that are looked at.
const CHAIN_MAX_LEN: usize = 16;

/// The proxies whose word is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this is one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Makes the client's address the one that the request comes from.
    pub(crate) fn reveal(&self, request: &mut Request) {
        let Some(ConnectInfo(from)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return;
        };
        let from = *from;
        let client = self.client(from.ip(), request.headers());
        if client != from.ip() {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
        }
    }

    fn client(&self, from: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = from.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let words = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for word in words.take(CHAIN_MAX_LEN) {
            if !self.trusts(client) {
                break;
            }
            // Whoever wrote something else has not said whose request it is.
            let Ok(next) = word.trim().parse::<IpAddr>() else { break };
            client = next.to_canonical();
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(from: &str, forwarded: &[&str]) -> String {
        let networks = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"];
        let proxies = Proxies::new(networks.map(|network| network.parse().unwrap()).to_vec());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        proxies.client(from.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_trusted_proxy_says_who_its_client_is() {
        assert_eq!(client("127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("fd00::1", &["2001:db8::5"]), "2001:db8::5");
        assert_eq!(client("127.0.0.1", &["203.0.113.7, 10.1.2.3"]), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["203.0.113.7", "10.1.2.3"]), "203.0.113.7");
    }

    #[test]
    fn what_a_client_says_of_itself_counts_for_nothing() {
        assert_eq!(client("198.51.100.9", &["203.0.113.7"]), "198.51.100.9");
        // The proxy has added the last one; the client made up the rest.
        assert_eq!(client("127.0.0.1", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1, nonsense"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn without_trusted_proxies_the_connection_says_who_it_is() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "203.0.113.7".parse().unwrap());
        let from = "127.0.0.1".parse().unwrap();
        assert_eq!(Proxies::default().client(from, &headers), from);
    }
}
