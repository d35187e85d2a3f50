/** Whisper's languages, by the codes that it knows them by. */
const CODES = 'en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue'.split(' ');
/** Where Whisper's word is another than Unicode's. */
const OTHER_NAMES: Record<string, string> = { burmese: 'my', myanmar: 'my', castilian: 'es', flemish: 'nl', haitian: 'ht', 'haitian creole': 'ht', javanese: 'jw', letzeburgesch: 'lb', mandarin: 'zh', moldavian: 'ro', moldovan: 'ro', nynorsk: 'nn', panjabi: 'pa', pushto: 'ps', sinhalese: 'si', tagalog: 'tl', valencian: 'ca' };

let names: Map<string, string> | undefined;

/** The code of a language that a server names in English, as OpenAI's does; what is no such name stays as it is. */
export function languageCode(said: string): string {
  const word = said.toLowerCase();
  if (CODES.includes(word)) return word;
  names ??= englishNames();
  return names.get(word) ?? said;
}

function englishNames(): Map<string, string> {
  const inEnglish = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' });
  const found = new Map(Object.entries(OTHER_NAMES));
  for (const code of CODES) {
    const name = inEnglish.of(code);
    if (name !== undefined) found.set(name.toLowerCase(), code);
  }
  return found;
}
