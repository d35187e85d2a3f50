// Whether what was asked for as JSON of a schema is JSON of that schema, judged by a validator that knows nothing of us.

import { chat, seeded, startEngine } from "../measure/engine.mjs";
import { exactly, shown } from "../measure/goals.mjs";
import { installFromNpm, peerModule } from "./peers.mjs";
import { randomSchema } from "./schema-generator.mjs";

const IN_FLIGHT = 8;
/** Most answers are far shorter; what does not end by then is counted as `length`. */
const MOST_TOKENS = 400;
/** The most random choice that users make, and none. */
const TEMPERATURES = [1, 0];

export const title = "JSON schemas";

export async function run({ quick, model }) {
  await installFromNpm();
  const schemas = drawn(quick ? 30 : 300);
  const engine = await startEngine();
  try {
    const raw = [];
    for (const temperature of TEMPERATURES) {
      const rows = await answers(engine.to, model, schemas, temperature);
      console.log(`  temperature ${temperature}: ${OUTCOMES.map((outcome) => `${count(rows, outcome)} ${outcome}`).join(", ")}`);
      raw.push(...rows.sort((a, b) => a.schema - b.schema));
    }
    return { claims: TEMPERATURES.flatMap((temperature) => claims(raw, temperature)), tables: [], notes: notes(raw, schemas.length), raw };
  } finally {
    await engine.end();
  }
}

/** `valid` and `invalid` ended with `stop`; `length` was cut off; `refused` by name before anything was computed. */
const OUTCOMES = ["valid", "invalid", "length", "refused", "failed"];
const count = (rows, outcome) => rows.filter((row) => row.outcome === outcome).length;

/** Seeded schemas with their validators; each can be satisfied, or the generator is wrong. */
function drawn(number) {
  const Ajv = peerModule("ajv/dist/2020.js").default;
  return Array.from({ length: number }, (_, index) => {
    const { schema, example } = randomSchema(seeded(index + 1));
    // One each: their definitions have the same names.
    const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
    if (!validate(example)) throw new Error(`schema ${index}: its own example is invalid: ${JSON.stringify({ schema, example, errors: validate.errors })}`);
    return { index, schema, validate };
  });
}

async function answers(to, model, schemas, temperature) {
  const left = [...schemas];
  const rows = [];
  const worker = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) {
      const answer = await chat(to, {
        model, temperature, max_tokens: MOST_TOKENS, seed: one.index,
        messages: [{ role: "user", content: `Write a small record about a person, as JSON with the fields ${Object.keys(one.schema.properties).join(", ")}.` }],
        response_format: { type: "json_schema", json_schema: { name: `schema_${one.index}`, strict: true, schema: one.schema } },
      });
      rows.push({ schema: one.index, temperature, ...judge(answer, one.validate), tokens: answer.usage?.completion_tokens, ms: answer.endedAt - answer.sentAt });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return rows;
}

function judge({ error, finish, text, status }, validate) {
  if (error) return { outcome: status === 400 ? "refused" : "failed", problem: error.message };
  if (finish !== "stop") return { outcome: finish, text };
  try {
    const isValid = validate(JSON.parse(text));
    return isValid ? { outcome: "valid" } : { outcome: "invalid", problem: JSON.stringify(validate.errors), text };
  } catch (failure) {
    return { outcome: "invalid", problem: failure.message, text };
  }
}

function claims(raw, temperature) {
  const rows = raw.filter((row) => row.temperature === temperature);
  const [valid, invalid, length, refused, failed] = OUTCOMES.map((outcome) => count(rows, outcome));
  return [
    exactly(`temperature ${temperature}: of answers that ended with \`stop\` parse and validate, %`, 100, 100 * valid / (valid + invalid)),
    exactly(`temperature ${temperature}: failed`, 0, failed),
    shown(`temperature ${temperature}: ended with \`stop\`, of ${rows.length}`, [valid + invalid]),
    shown(`temperature ${temperature}: cut off at ${MOST_TOKENS} tokens`, [length]),
    shown(`temperature ${temperature}: refused by name`, [refused]),
  ];
}

function notes(raw, number) {
  const reasons = [...new Set(raw.filter(({ outcome }) => outcome === "refused").map(({ problem }) => problem))];
  return [
    `${number} seeded schemas (nested objects, arrays with bounds, enums, constants, patterns, bounds of length and number, anyOf, $defs), \`strict\`, ${IN_FLIGHT} in flight. Validated by ajv (draft 2020-12).`,
    ...(reasons.length > 0 ? [`Refusals, up to ten: ${reasons.slice(0, 10).map((reason) => `"${reason}"`).join("; ")}`] : []),
  ];
}
