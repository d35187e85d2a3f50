//! Languages by the names that OpenAI's servers give them. Pure.

/// Whisper's, code and name each:
/// <https://github.com/openai/whisper/blob/main/whisper/tokenizer.py>.
const LANGUAGES: &str = "\
    en english, zh chinese, de german, es spanish, ru russian, ko korean, fr french, ja japanese, pt \
    portuguese, tr turkish, pl polish, ca catalan, nl dutch, ar arabic, sv swedish, it italian, id \
    indonesian, hi hindi, fi finnish, vi vietnamese, he hebrew, uk ukrainian, el greek, ms malay, cs \
    czech, ro romanian, da danish, hu hungarian, ta tamil, no norwegian, th thai, ur urdu, hr croatian, \
    bg bulgarian, lt lithuanian, la latin, mi maori, ml malayalam, cy welsh, sk slovak, te telugu, fa \
    persian, lv latvian, bn bengali, sr serbian, az azerbaijani, sl slovenian, kn kannada, et estonian, \
    mk macedonian, br breton, eu basque, is icelandic, hy armenian, ne nepali, mn mongolian, bs bosnian, \
    kk kazakh, sq albanian, sw swahili, gl galician, mr marathi, pa punjabi, si sinhala, km khmer, sn \
    shona, yo yoruba, so somali, af afrikaans, oc occitan, ka georgian, be belarusian, tg tajik, sd \
    sindhi, gu gujarati, am amharic, yi yiddish, lo lao, uz uzbek, fo faroese, ht haitian creole, ps \
    pashto, tk turkmen, nn nynorsk, mt maltese, sa sanskrit, lb luxembourgish, my myanmar, bo tibetan, \
    tl tagalog, mg malagasy, as assamese, tt tatar, haw hawaiian, ln lingala, ha hausa, ba bashkir, jw \
    javanese, su sundanese, yue cantonese";

/// The code of a language that a server names in English; what is no such name stays as it is.
pub(super) fn code(said: &str) -> String {
    let word = said.trim().to_lowercase();
    let known = LANGUAGES.split(", ").filter_map(|entry| entry.split_once(' '));
    let found = known.into_iter().find(|(_, name)| *name == word);
    found.map_or_else(|| said.to_owned(), |(code, _)| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_code_and_a_code_stays_one() {
        let codes = ["english", "German", "haitian creole", "cantonese", "en", "Klingon", ""].map(code);
        assert_eq!(codes, ["en", "de", "ht", "yue", "en", "Klingon", ""]);
    }
}
