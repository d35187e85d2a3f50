//! Who may call a server on loopback: programs of this machine, and the web pages that were allowed.
//!
//! Every web page that the user opens can send requests to 127.0.0.1. Two checks keep it out. A page of another origin
//! says so in `Origin`, and only listed origins and those on loopback pass. A page that was loaded from a name which
//! then *resolves* to 127.0.0.1 (DNS rebinding) has no foreign origin, but its `Host` is that name.

use std::net::IpAddr;

use http::Uri;

/// The checks for one listener.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    port: u16,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `Host` names somebody else.
    Host(String),
    /// The page behind `Origin` was not allowed.
    Origin(String),
}

impl Gate {
    pub(crate) fn new(port: u16) -> Self {
        Self { port }
    }

    /// Checks what the client says about where it is and whom it means. HTTP/1.0 clients, which no browser is, may
    /// send no `Host`. `is_listed` is asked for pages from elsewhere.
    pub(crate) fn check(
        &self,
        host: Option<&[u8]>,
        origin: Option<&[u8]>,
        is_listed: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        if let Some(host) = host
            && !self.is_ours(host)
        {
            return Err(Refusal::Host(String::from_utf8_lossy(host).into_owned()));
        }
        match origin {
            Some(origin) if !may_call(origin, is_listed) => {
                Err(Refusal::Origin(String::from_utf8_lossy(origin).into_owned()))
            }
            _ => Ok(()),
        }
    }

    fn is_ours(&self, host: &[u8]) -> bool {
        let Some((name, port)) = split_port(host) else { return false };
        is_loopback_name(name) && port.unwrap_or(80) == self.port
    }
}

fn may_call(origin: &[u8], is_listed: impl Fn(&str) -> bool) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    if is_listed(origin) {
        return true;
    }
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(is_loopback_name)
}

fn split_port(host: &[u8]) -> Option<(&str, Option<u16>)> {
    let host = std::str::from_utf8(host).ok()?;
    let colon = match host.rfind(':') {
        // The colons of an IPv6 address stand inside its brackets.
        Some(colon) if !host[colon..].contains(']') => colon,
        _ => return Some((host, None)),
    };
    let port = host[colon + 1..].parse().ok()?;
    Some((&host[..colon], Some(port)))
}

fn is_loopback_name(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(port: u16, host: Option<&str>, origin: Option<&str>) -> Result<(), Refusal> {
        let is_listed = |page: &str| page.eq_ignore_ascii_case("https://App.example");
        Gate::new(port).check(host.map(str::as_bytes), origin.map(str::as_bytes), is_listed)
    }

    fn host(host: &str) -> Result<(), Refusal> {
        check(8642, Some(host), None)
    }

    fn origin(origin: &str) -> Result<(), Refusal> {
        check(8642, Some("127.0.0.1:8642"), Some(origin))
    }

    #[test]
    fn loopback_names_with_our_port_are_us() {
        for name in ["127.0.0.1:8642", "localhost:8642", "LocalHost:8642", "[::1]:8642", "127.8.8.8:8642"] {
            assert_eq!(host(name), Ok(()), "{name}");
        }
        assert_eq!(check(80, Some("localhost"), None), Ok(()));
        assert_eq!(check(8642, None, None), Ok(()));
    }

    #[test]
    fn every_other_host_is_refused() {
        for name in [
            "evil.example:8642",
            "localhost.evil.example:8642",
            "127.0.0.1.nip.io:8642",
            "127.0.0.1:80",
            "127.0.0.1",
            "localhost:",
            "10.0.0.1:8642",
            "[::2]:8642",
            "",
            "user@127.0.0.1:8642",
            "2130706433:8642",
        ] {
            assert_eq!(host(name), Err(Refusal::Host(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn pages_on_loopback_and_listed_pages_may_call() {
        for page in ["http://localhost:3000", "http://127.0.0.1:8642", "https://[::1]", "https://app.example"]
        {
            assert_eq!(origin(page), Ok(()), "{page}");
        }
    }

    #[test]
    fn every_other_page_is_refused() {
        for page in [
            "https://evil.example",
            "null",
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example:444",
            "file://",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
        ] {
            assert_eq!(origin(page), Err(Refusal::Origin(page.to_owned())), "{page}");
        }
    }
}
