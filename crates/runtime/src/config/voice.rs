use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::check::{not_a_base_url, out_of_range};
use super::finding::Finding;
use super::socket_address;

/// `[voice]`: who writes down what was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VoiceConfig {
    /// The model that transcribes where none is named: one of `uat models list`, or one that the server at `base_url` knows.
    pub model: String,
    /// Threads that compute; absent: as many as the machine has cores.
    #[schemars(range(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// A server with OpenAI's `/audio/transcriptions` that transcribes, such as `https://api.openai.com/v1`; absent: this machine does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds that server's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Browsers that speak over WebRTC.
    pub webrtc: WebRtcConfig,
}

/// `[voice.webrtc]`: where browsers that speak are heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebRtcConfig {
    /// The UDP address of all of them; port 0 takes a free one.
    #[serde(deserialize_with = "socket_address")]
    pub udp: SocketAddr,
    /// Where browsers find it, if not at that address: those of a NAT, or of the machine where it is every address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public_ips: Vec<IpAddr>,
    /// Browsers that are heard at the same time.
    #[schemars(range(min = 1, max = 10_000))]
    pub sessions: u32,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self {
            model: "whisper-tiny.en".to_owned(),
            threads: None,
            base_url: None,
            api_key_env: None,
            webrtc: WebRtcConfig::default(),
        }
    }
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        // Pages on this machine; as many as two cores follow.
        let udp = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { udp, public_ips: Vec::new(), sessions: 64 }
    }
}

impl WebRtcConfig {
    /// How peers are heard at a socket that is bound to `bound`.
    pub fn options(&self, bound: SocketAddr) -> webrtc_audio::Options {
        let addresses = match &self.public_ips[..] {
            [] => vec![bound],
            ips => ips.iter().map(|ip| SocketAddr::new(*ip, bound.port())).collect(),
        };
        webrtc_audio::Options { sessions: self.sessions as usize, ..webrtc_audio::Options::new(addresses) }
    }
}

impl VoiceConfig {
    /// How many threads compute.
    pub fn thread_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, |threads| threads as usize)
    }
}

/// What is wrong with the section.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.voice.model.is_empty() {
        let message = "`voice.model`: expected a model's name, got nothing";
        found.push(Finding::new("voice.model", message).hint("`uat models list` shows the names"));
    }
    let threads = config.voice.threads.map(u64::from);
    found.extend(threads.and_then(|threads| out_of_range("voice.threads", threads, 1..=256)));
    let url = config.voice.base_url.as_deref();
    found.extend(url.and_then(|url| not_a_base_url("voice.base_url".to_owned(), "`[voice]`", url)));
    if config.voice.api_key_env.is_some() && url.is_none() {
        let message = "`voice.api_key_env`: expected `voice.base_url` beside it: this machine needs no key";
        found.push(Finding::new("voice.api_key_env", message));
    }
    let WebRtcConfig { udp, public_ips, sessions } = &config.voice.webrtc;
    found.extend(out_of_range("voice.webrtc.sessions", u64::from(*sessions), 1..=10_000));
    if udp.ip().is_unspecified() && public_ips.is_empty() {
        let message =
            format!("`voice.webrtc.udp`: {} is every address, and browsers have to be told one", udp.ip());
        let hint = "name the addresses of this machine that browsers reach in voice.webrtc.public_ips";
        found.push(Finding::new("voice.webrtc.udp", message).hint(hint));
    }
    for (index, ip) in
        public_ips.iter().enumerate().filter(|(_, ip)| ip.is_unspecified() || ip.is_multicast())
    {
        let path = format!("voice.webrtc.public_ips[{index}]");
        let message = format!("`{path}`: expected the address of a machine, got {ip}");
        found.push(Finding::new(path, message));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_transcribe_is_refused() {
        let count = |voice: VoiceConfig| findings(&UatConfig { voice, ..UatConfig::default() }).len();
        let with =
            |model: &str, threads| VoiceConfig { model: model.to_owned(), threads, ..VoiceConfig::default() };
        assert_eq!(count(VoiceConfig::default()), 0);
        assert_eq!(count(with("whisper-base", Some(256))), 0);
        assert_eq!(count(with("", Some(0))), 2);
    }

    #[test]
    fn a_server_that_transcribes_is_named_by_its_url() {
        let count = |base_url: Option<&str>, key: Option<&str>| {
            let voice = VoiceConfig {
                base_url: base_url.map(str::to_owned),
                api_key_env: key.map(str::to_owned),
                ..VoiceConfig::default()
            };
            findings(&UatConfig { voice, ..UatConfig::default() }).len()
        };
        assert_eq!(count(Some("https://api.openai.com/v1"), Some("OPENAI_API_KEY")), 0);
        assert_eq!(count(Some("api.openai.com"), None), 1);
        assert_eq!(count(Some("https://user:password@api.openai.com/v1"), None), 1);
        assert_eq!(count(None, Some("OPENAI_API_KEY")), 1);
    }

    #[test]
    fn browsers_are_told_an_address_that_they_can_reach() {
        let webrtc = |udp: &str, ips: &[&str]| WebRtcConfig {
            udp: udp.parse().unwrap(),
            public_ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            ..WebRtcConfig::default()
        };
        let found = |webrtc| {
            let voice = VoiceConfig { webrtc, ..VoiceConfig::default() };
            findings(&UatConfig { voice, ..UatConfig::default() }).len()
        };
        assert_eq!(found(webrtc("0.0.0.0:5000", &[])), 1);
        assert_eq!(found(webrtc("0.0.0.0:5000", &["198.51.100.1", "::"])), 1);
        let behind_nat = webrtc("10.0.0.2:5000", &["198.51.100.1", "2001:db8::1"]);
        assert_eq!(found(behind_nat.clone()), 0);
        let addresses = behind_nat.options("10.0.0.2:5000".parse().unwrap()).addresses;
        assert_eq!(addresses, ["198.51.100.1:5000", "[2001:db8::1]:5000"].map(|a| a.parse().unwrap()));
        let local = webrtc("127.0.0.1:0", &[]).options("127.0.0.1:9".parse().unwrap());
        assert_eq!(local.addresses, ["127.0.0.1:9".parse().unwrap()]);
    }
}
