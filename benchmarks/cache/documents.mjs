// Documents as services cache them, for the bytes that they take in Redis: answers and requests of language models, and
// sessions. Made for this benchmark alone: neither the shapes nor the sentences were taken from the generator that the
// shipped dictionary was trained with, nor from that of the Rust tests. The field names are those of public APIs and
// session middleware, which any document of that kind has. Prose is put together word by word from the lists below, so that
// sentences do not recur; ids, tokens and numbers are random. Everything is seeded. Since such prose has no grammar to speak of
// and none of the frequent words of real answers, a second kind of LLM JSON takes sentences that people wrote: those of the
// READMEs of the peers' packages, which the lock file pins.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { seeded } from "./traces.mjs";

const words = (text) => text.trim().split(/\s+/);
const NOUNS = words("harbour ledger turbine orchard satellite invoice violin compiler glacier pension bakery algorithm treaty kidney canal warehouse poem reactor sparrow contract circuit meadow vaccine archive tunnel merchant protein lantern senate bicycle estuary catalogue pilot furnace chapel sensor dialect quarry novel auction parachute tax ferry enzyme census corridor kiln mortgage comet tribunal hinge sonata greenhouse cable pasture printer delta verdict");
const VERBS = words("measures replaces delays protects reveals carries absorbs questions outlives repairs governs reflects weakens imitates finances scatters restores describes crosses inherits doubles shelters postpones filters explains borrows surrounds rejects steers dissolves");
const ADJECTIVES = words("narrow coastal seasonal fragile municipal copper silent recursive provincial amber elaborate temporary distant magnetic rural obsolete generous granular northern bitter transparent medieval portable hollow reluctant digital humid precise");
const ADVERBS = ["rarely", "often", "quietly", "by law", "nearly", "almost always", "twice a year", "sometimes", "gradually", "seldom"];
const LINKS = ["because", "although", "while", "so that", "unless", "which is why", "whenever", "even if"];
const NAMES = words("Marisol Bjorn Anneke Rashid Chiamaka Piotr Noor Giulia Takeshi Siobhan Dmitri Amara Lennart Yara Oskar Priyanka");
const SURNAMES = words("Okafor Lindqvist Haddad Moreau Kowalczyk Iyer Brannigan Castellanos Fujimoto Petrov Achterberg Njoroge");
const CITIES = ["Porto", "Tampere", "Gdansk", "Osaka", "Valparaiso", "Leuven", "Nairobi", "Halifax"];
const HEX = "0123456789abcdef";
const BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** How many sentences an answer has: some are short, few are long. */
const SENTENCES = [1, 2, 3, 4, 6, 8, 12, 20];

class Maker {
  /** @param sentences Those of people, or none: then they are put together from the lists. */
  constructor(seed, sentences) {
    this.random = seeded(seed);
    this.sentences = sentences;
  }
  below(end) {
    return Math.floor(this.random() * end);
  }
  pick(list) {
    return list[this.below(list.length)];
  }
  chance(probability) {
    return this.random() < probability;
  }
  from(alphabet, length) {
    return Array.from({ length }, () => alphabet[this.below(alphabet.length)]).join("");
  }
  hex(length) {
    return this.from(HEX, length);
  }
  id(length) {
    return this.from(BASE62, length);
  }
  uuid() {
    return [8, 4, 4, 4, 12].map((length) => this.hex(length)).join("-");
  }
  iso() {
    return new Date(1_770_000_000_000 + this.below(20_000_000_000)).toISOString();
  }
  seconds() {
    return 1_770_000_000 + this.below(20_000_000);
  }
  thing() {
    return `${this.chance(0.7) ? "the" : "every"} ${this.chance(0.6) ? `${this.pick(ADJECTIVES)} ` : ""}${this.pick(NOUNS)}`;
  }
  clause() {
    return `${this.thing()} ${this.chance(0.3) ? `${this.pick(ADVERBS)} ` : ""}${this.pick(VERBS)} ${this.thing()}`;
  }
  sentence() {
    if (this.sentences !== undefined) return this.pick(this.sentences);
    const text = this.chance(0.5) ? `${this.clause()} ${this.pick(LINKS)} ${this.clause()}` : `${this.clause()}, and ${this.clause()}`;
    return `${text[0].toUpperCase()}${text.slice(1)}${this.chance(0.15) ? ` (${this.below(3000)})` : ""}.`;
  }
  prose(sentences = this.pick(SENTENCES)) {
    const between = this.pick([" ", " ", " ", "\n\n", "\n- "]);
    return Array.from({ length: sentences }, () => this.sentence()).join(between);
  }
  person() {
    const [name, surname] = [this.pick(NAMES), this.pick(SURNAMES)];
    return { name: `${name} ${surname}`, email: `${name}.${surname}${this.below(100)}@example.${this.pick(["org", "net", "com"])}`.toLowerCase() };
  }
}

const LLM = {
  openai: (make) => {
    const [asked, said] = [10 + make.below(4000), 5 + make.below(900)];
    return { id: `chatcmpl-${make.id(29)}`, object: "chat.completion", created: make.seconds(), model: make.pick(["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "o4-mini"]), choices: [{ index: 0, message: { role: "assistant", content: make.prose(), refusal: null }, logprobs: null, finish_reason: make.pick(["stop", "stop", "length"]) }], usage: { prompt_tokens: asked, completion_tokens: said, total_tokens: asked + said }, system_fingerprint: `fp_${make.hex(10)}` };
  },
  anthropic: (make) => ({ id: `msg_${make.id(24)}`, type: "message", role: "assistant", model: make.pick(["claude-sonnet-4-20250514", "claude-opus-4-1"]), content: [{ type: "text", text: make.prose() }], stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: make.below(5000), output_tokens: make.below(900) } }),
  gemini: (make) => {
    const [asked, said] = [make.below(3000), make.below(700)];
    return { candidates: [{ content: { parts: [{ text: make.prose() }], role: "model" }, finishReason: "STOP", avgLogprobs: -make.random(), safetyRatings: ["HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH"].map((category) => ({ category, probability: "NEGLIGIBLE" })) }], usageMetadata: { promptTokenCount: asked, candidatesTokenCount: said, totalTokenCount: asked + said }, modelVersion: "gemini-2.0-flash", responseId: make.id(22) };
  },
  mistral: (make) => ({ id: `cmpl-${make.hex(32)}`, object: "chat.completion", created: make.seconds(), model: "mistral-small-latest", choices: [{ index: 0, message: { role: "assistant", tool_calls: null, content: make.prose() }, finish_reason: "stop" }], usage: { prompt_tokens: make.below(2000), total_tokens: make.below(3000), completion_tokens: make.below(900) } }),
  cohere: (make) => ({ id: make.uuid(), message: { role: "assistant", content: [{ type: "text", text: make.prose() }], citations: Array.from({ length: make.below(3) }, () => ({ start: make.below(200), end: 200 + make.below(200), text: make.sentence(), sources: [{ type: "document", id: `doc:${make.below(40)}` }] })) }, finish_reason: "COMPLETE", usage: { billed_units: { input_tokens: make.below(900), output_tokens: make.below(500) } } }),
  bedrock: (make) => ({ output: { message: { role: "assistant", content: [{ text: make.prose() }] } }, stopReason: "end_turn", metrics: { latencyMs: make.below(9000) }, usage: { inputTokens: make.below(2000), outputTokens: make.below(800), totalTokens: make.below(2800) } }),
  conversation: (make) => ({ conversation: make.uuid(), turns: Array.from({ length: 2 + make.below(7) }, (_, at) => ({ speaker: at % 2 ? "bot" : "human", at: make.iso(), said: make.prose(1 + make.below(3)) })), summary: make.sentence(), lang: make.pick(["en", "en-GB"]) }),
  retrieval: (make) => ({ query: make.sentence(), topK: 5, matches: Array.from({ length: 5 }, () => ({ docId: make.uuid(), distance: make.random(), chunk: make.prose(2), source: { path: `/corpus/${make.pick(NOUNS)}/${make.pick(NOUNS)}.md`, page: make.below(90) } })), tookMs: make.below(80) }),
  "cached call": (make) => ({ prompt_hash: make.hex(64), provider: make.pick(["vllm", "together", "groq"]), params: { temperature: make.pick([0, 0.2, 0.7]), top_p: 1, max_tokens: 512, stop: null }, messages: [{ role: "system", content: make.prose(2) }, { role: "user", content: make.prose(1) }], response: { text: make.prose(), finish: "stop", latency_ms: make.below(4000) }, cached_at: make.iso() }),
  "tool calls": (make) => ({ role: "assistant", content: "", tool_calls: Array.from({ length: 1 + make.below(2) }, () => ({ id: `call_${make.id(24)}`, type: "function", function: { name: make.pick(["search_archive", "convert_units", "open_ticket"]), arguments: JSON.stringify({ subject: make.thing(), limit: make.below(20), since: make.iso() }) } })) }),
};

const AGENTS = [
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Dalvik/2.1.0 (Linux; U; Android 15; Pixel 8 Build/AP4A.250205.002)",
];
const cookie = (make) => ({ originalMaxAge: make.pick([1_209_600_000, 3_600_000, 86_400_000]), expires: make.iso(), secure: make.chance(0.8), httpOnly: true, path: "/", sameSite: make.pick(["lax", "strict"]) });

const SESSIONS = {
  passport: (make) => ({ cookie: cookie(make), passport: { user: make.below(200_000) }, lastSeen: make.seconds(), csrf: make.id(24) }),
  profile: (make) => {
    const { name, email } = make.person();
    return { cookie: cookie(make), user: { id: make.uuid(), email, displayName: name, avatar: `https://cdn.example.net/a/${make.hex(20)}.webp`, locale: make.pick(["pt-PT", "fi-FI", "pl-PL", "ja-JP"]), plan: make.pick(["free", "team"]) }, referrer: `https://search.example.com/?q=${make.pick(NOUNS)}+${make.pick(NOUNS)}`, experiments: { checkout: make.pick(["A", "B"]), banner: make.chance(0.5) } };
  },
  "next-auth": (make) => {
    const { name, email } = make.person();
    return { user: { name, email, image: null }, expires: make.iso(), accessToken: `${make.id(36)}.${make.id(180)}.${make.id(43)}`, provider: make.pick(["google", "github", "azure-ad"]) };
  },
  basket: (make) => ({ basket: Array.from({ length: 1 + make.below(5) }, () => ({ sku: `${make.id(3).toUpperCase()}-${make.below(100_000)}`, title: `${make.pick(ADJECTIVES)} ${make.pick(NOUNS)}`, qty: 1 + make.below(4), unit_price_cents: make.below(20_000), added_at: make.seconds() })), coupon: make.chance(0.3) ? make.id(8).toUpperCase() : null, ship_to: { city: make.pick(CITIES), postcode: String(10_000 + make.below(80_000)) }, step: make.pick(["cart", "address", "payment"]) }),
  oidc: (make) => ({ sub: `auth0|${make.hex(24)}`, sid: make.id(32), iat: make.seconds(), exp: make.seconds(), scope: "openid profile email offline_access", ip: `${make.below(223)}.${make.below(255)}.${make.below(255)}.${make.below(255)}`, user_agent: make.pick(AGENTS), amr: make.pick([["pwd"], ["pwd", "otp"]]) }),
  staff: (make) => {
    const { name, email } = make.person();
    return { account_id: make.below(90_000), username: name.toLowerCase().replace(" ", "."), contact: email, groups: [make.pick(["staff", "editors"]), make.pick(["region-north", "region-south"])], login_at: make.iso(), last_request_at: make.iso(), device: { agent: make.pick(AGENTS), fingerprint: make.hex(32) }, flash: make.chance(0.4) ? [{ level: "success", text: "Your changes were saved." }] : [] };
  },
  lobby: (make) => ({ cookie: cookie(make), lobby: { room: make.id(6), seat: make.below(8), team: make.pick(["red", "blue"]), rating: 800 + make.below(1500) }, locale: "en", muted: Array.from({ length: make.below(4) }, () => make.below(1_000_000)), joinedAt: make.iso() }),
  visitor: (make) => ({ visitor: make.uuid(), first_page: `/${make.pick(NOUNS)}/${make.pick(NOUNS)}`, pages: Array.from({ length: 1 + make.below(10) }, () => ({ p: `/${make.pick(NOUNS)}`, t: make.seconds() })), consent: { necessary: true, analytics: make.chance(0.5), marketing: false }, tz: make.pick(["Europe/Lisbon", "Asia/Tokyo", "America/Halifax"]) }),
};

/** Kinds of documents: each makes `count` of them for a seed, as `{ shape, document }`. */
export const KINDS = { "LLM JSON": made(LLM), "LLM JSON, sentences of people": made(LLM, sentencesOfPeople), sessions: made(SESSIONS) };

function made(shapes, sentences = () => undefined) {
  return (seed, count) => {
    const make = new Maker(seed, sentences());
    return Array.from({ length: count }, () => {
      const [shape, document] = make.pick(Object.entries(shapes));
      return { shape, document: document(make) };
    });
  };
}

/** Prose of READMEs, without code, tables, lists, links and headings, each sentence once, in an order that does not depend on the disk's. */
function sentencesOfPeople() {
  const folder = path.join(import.meta.dirname, "..", "peers", "node_modules");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => /(^|\/)readme\.md$/i.test(file)).sort();
  const sentences = new Set();
  for (const file of files) {
    const prose = readFileSync(path.join(folder, file), "utf8").replace(/```.*?```/gs, "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
    for (const paragraph of prose.split(/\n\s*\n/)) {
      for (const [sentence] of paragraph.replace(/\s+/g, " ").matchAll(/(?<=^|[.!?] )[A-Z][^.!?|<>#*=\[\]{}]{40,240}[.!?](?= |$)/g)) sentences.add(sentence);
    }
  }
  return [...sentences];
}
