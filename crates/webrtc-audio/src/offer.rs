//! What a browser offers, looked at before it is taken: so that what is missing is said in words. Pure.

use crate::OfferError;

/// More tracks than any page offers.
const MOST_TRACKS: usize = 32;

/// The longest offer, in bytes: a browser's has some KiB.
pub const LONGEST_OFFER: usize = 64 << 10;

/// Whether an offer may be taken, and whether it has a data channel: what can be said before anything is made ready for it.
///
/// # Errors
/// What is wrong with it.
pub fn check_offer(text: &str) -> Result<bool, OfferError> {
    check(text).map(|offer| offer.has_channel)
}

/// An offer that may be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The text, with lines as RFC 8866 ends them, and without the addresses that the browser names: it is answered at the address from
    /// which it proves to know the password, so that nobody can have us send to others.
    pub(crate) text: String,
    /// Whether it has a data channel.
    pub(crate) has_channel: bool,
}

#[derive(Debug, Default)]
struct Track<'a> {
    kind: &'a str,
    direction: Option<&'a str>,
    codecs: Vec<&'a str>,
}

/// Looks at an offer of at most [`LONGEST_OFFER`] bytes.
pub(crate) fn check(text: &str) -> Result<Offer, OfferError> {
    if text.len() > LONGEST_OFFER {
        return Err(OfferError::TooLong { length: text.len(), longest: LONGEST_OFFER });
    }
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).peekable();
    let first = lines.peek().copied().unwrap_or_default();
    if first != "v=0" {
        return Err(OfferError::NotSdp { begins: first.chars().take(40).collect() });
    }
    let (mut tracks, mut kept) = (Vec::<Track<'_>>::new(), String::with_capacity(text.len() + 256));
    for line in lines {
        if let Some(media) = line.strip_prefix("m=") {
            let kind = media.split(' ').next().unwrap_or_default();
            tracks.push(Track { kind, ..Track::default() });
        }
        if let (Some(track), Some(attribute)) = (tracks.last_mut(), line.strip_prefix("a=")) {
            track.note(attribute);
        }
        if !line.starts_with("a=candidate:") && line != "a=end-of-candidates" {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    if tracks.len() > MOST_TRACKS {
        return Err(OfferError::TooManyTracks { tracks: tracks.len(), most: MOST_TRACKS });
    }
    listens(&tracks)?;
    let has_channel = tracks.iter().any(|track| track.kind == "application");
    Ok(Offer { text: kept, has_channel })
}

impl<'a> Track<'a> {
    fn note(&mut self, attribute: &'a str) {
        if matches!(attribute, "sendrecv" | "sendonly" | "recvonly" | "inactive") {
            self.direction = Some(attribute);
        }
        let codec = attribute.strip_prefix("rtpmap:").and_then(|map| map.split_once(' '));
        self.codecs.extend(codec.and_then(|(_, codec)| codec.split('/').next()));
    }

    fn has_opus(&self) -> bool {
        self.codecs.iter().any(|codec| codec.eq_ignore_ascii_case("opus"))
    }

    fn is_sent(&self) -> bool {
        matches!(self.direction, None | Some("sendrecv" | "sendonly"))
    }
}

/// Whether there is something to hear.
fn listens(tracks: &[Track<'_>]) -> Result<(), OfferError> {
    let listed = |mut names: Vec<&str>| {
        names.truncate(8);
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ").chars().take(100).collect() }
    };
    let audio: Vec<&Track<'_>> = tracks.iter().filter(|track| track.kind == "audio").collect();
    let Some(first) = audio.first() else {
        return Err(OfferError::NoAudio { got: listed(tracks.iter().map(|track| track.kind).collect()) });
    };
    if !first.has_opus() {
        return Err(OfferError::NoOpus { got: listed(first.codecs.clone()) });
    }
    if !first.is_sent() {
        return Err(OfferError::NotSent { got: first.direction.unwrap_or_default().to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

    fn of(media: &str) -> Result<Offer, OfferError> {
        check(&format!("{HEAD}{media}"))
    }

    #[test]
    fn what_can_be_heard_is_taken_and_its_addresses_are_left_out() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 OPUS/48000/2\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\na=sendonly\n";
        let offer = of(audio).unwrap();
        assert!(!offer.has_channel && !offer.text.contains("10.0.0.1"), "{offer:?}");
        assert!(offer.text.ends_with("a=rtpmap:111 OPUS/48000/2\r\na=sendonly\r\n"), "{offer:?}");
        let both = format!("{audio}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n");
        assert!(of(&both).unwrap().has_channel);
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |media: &str, expected: &str| {
            let error = of(media).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "got nothing");
        check("m=video 9 UDP/TLS/RTP/SAVPF 96\n", "got video");
        check("m=audio 9 UDP/TLS/RTP/SAVPF 0\na=rtpmap:0 PCMU/8000\n", "got PCMU");
        check("m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 opus/48000/2\na=recvonly\n", "got a=recvonly");
        check(&"m=video 9 UDP/TLS/RTP/SAVPF 96\n".repeat(33), "got 33");
    }

    #[test]
    fn what_is_no_offer_is_said_to_be_none() {
        for text in ["", "{\"sdp\": 1}", "v=1", "\0\u{1F980}"] {
            assert!(matches!(check(text), Err(OfferError::NotSdp { .. })), "{text}");
        }
        let long = format!("{HEAD}{}", "a=x\n".repeat(1 << 18));
        assert!(matches!(check(&long), Err(OfferError::TooLong { longest: 65_536, .. })));
    }
}
