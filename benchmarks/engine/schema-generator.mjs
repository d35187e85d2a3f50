// Random JSON schemas, each with an example that satisfies it: a schema that nobody can satisfy would prove nothing.

import { below } from "../measure/engine.mjs";

const NAMES = ["name", "age", "city", "tags", "status", "price", "id", "address", "email", "items", "first name", "größe", 'say "hi"', "a/b", "$id-2", "x"];
const VALUES = ["red", "green", "blue", "north", "south", "draft", "done", "två", 'a "quoted" one', "back\\slash", ""];
/** Nesting below the root. Deeper answers seldom end within a bounded number of tokens. */
const MOST_DEPTH = 3;

/** A schema whose root is an object, as chat interfaces ask for. The same `random` makes the same schema. */
export function randomSchema(random) {
  const draw = new Draw(random);
  const { schema, example } = draw.object(0);
  return { schema: Object.keys(draw.defs).length > 0 ? { ...schema, $defs: draw.defs } : schema, example };
}

class Draw {
  defs = {};
  examples = {};

  constructor(random) {
    this.random = random;
  }

  between(least, most) {
    return least + below(this.random, most - least + 1);
  }

  chance(probability) {
    return this.random() < probability;
  }

  one(list) {
    return list[below(this.random, list.length)];
  }

  some(list, count) {
    const rest = [...list];
    return Array.from({ length: count }, () => rest.splice(below(this.random, rest.length), 1)[0]);
  }

  any(depth) {
    const leaves = ["string", "string", "pattern", "enumeration", "enumeration", "integer", "integer", "number", "constant", "boolean", "nothing"];
    const nested = ["object", "object", "array", "array", "anyOf", "reference"];
    return this[this.one(depth < MOST_DEPTH ? [...leaves, ...nested] : leaves)](depth);
  }

  object(depth) {
    const names = this.some(NAMES, this.between(1, depth === 0 ? 4 : 3));
    const drawn = names.map((name) => [name, this.any(depth + 1)]);
    const required = names.filter(() => this.chance(0.8));
    const schema = { type: "object", properties: Object.fromEntries(drawn.map(([name, { schema }]) => [name, schema])), required };
    if (this.chance(0.85)) schema.additionalProperties = false;
    if (required.length === 0 && this.chance(0.5)) delete schema.required;
    return { schema, example: Object.fromEntries(drawn.map(([name, { example }]) => [name, example])) };
  }

  array(depth) {
    const { schema: items, example } = this.any(depth + 1);
    const least = this.between(0, 2);
    const schema = { type: "array", items, maxItems: least + this.between(0, 2) };
    if (least > 0) schema.minItems = least;
    return { schema, example: Array.from({ length: least }, () => example) };
  }

  anyOf(depth) {
    const drawn = Array.from({ length: this.between(2, 3) }, () => this.any(depth + 1));
    return { schema: { anyOf: drawn.map(({ schema }) => schema) }, example: drawn[0].example };
  }

  /** Another name for a schema; sometimes one that was defined before. */
  reference(depth) {
    const known = Object.keys(this.defs);
    if (known.length > 0 && this.chance(0.4)) {
      const name = this.one(known);
      return { schema: { $ref: `#/$defs/${name}` }, example: this.examples[name] };
    }
    const { schema, example } = this.any(depth + 1);
    // Counted now: drawing it may have defined others.
    const name = `part${Object.keys(this.defs).length}`;
    this.defs[name] = schema;
    this.examples[name] = example;
    return { schema: { $ref: `#/$defs/${name}` }, example };
  }

  string() {
    const schema = { type: "string" };
    const least = this.chance(0.3) ? this.between(1, 5) : 0;
    if (least > 0) schema.minLength = least;
    if (this.chance(0.85)) schema.maxLength = least + this.between(1, 20);
    return { schema, example: "x".repeat(least) };
  }

  /** A few pieces, each a class or a choice with a bounded number of repetitions. */
  pattern() {
    const pieces = [["[a-z]", "q"], ["[A-Z]", "Q"], ["[0-9]", "7"], ["\\d", "4"], ["[A-Fa-f0-9]", "b"], ["\\w", "_"], ["(red|green|blue)", "red"], ["[^\"\\\\\\s]", "!"]];
    const between = ["-", "_", "@", "\\.", ":", " "];
    const drawn = Array.from({ length: this.between(1, 3) }, () => {
      const [piece, example] = this.one(pieces);
      const least = this.between(1, 3);
      const [times, count] = this.one([["", 1], [`{${least}}`, least], [`{${least},${least + 2}}`, least], ["?", 0]]);
      return { source: piece + times, example: example.repeat(count) };
    });
    const glue = this.one(between);
    return {
      schema: { type: "string", pattern: `^${drawn.map(({ source }) => source).join(glue)}$` },
      example: drawn.map(({ example }) => example).join(glue.replace("\\", "")),
    };
  }

  enumeration() {
    const values = this.some(this.chance(0.8) ? VALUES : [...VALUES, 1, 2.5, -3, true, null], this.between(1, 5));
    const schema = values.every((value) => typeof value === "string") && this.chance(0.5) ? { type: "string", enum: values } : { enum: values };
    return { schema, example: values[0] };
  }

  integer() {
    const least = this.between(-200, 200);
    const most = least + this.between(0, this.one([0, 5, 90, 10_000]));
    const schema = { type: "integer" };
    if (this.chance(0.8)) schema.minimum = least;
    if (this.chance(0.8)) schema.maximum = most;
    if (schema.maximum !== undefined && most > least && this.chance(0.2)) {
      schema.exclusiveMaximum = most;
      delete schema.maximum;
    }
    return { schema, example: least };
  }

  number() {
    const schema = { type: "number" };
    const least = this.between(-50, 50) / 2;
    if (this.chance(0.4)) schema.minimum = least;
    if (this.chance(0.4)) schema.maximum = least + this.between(1, 100);
    return { schema, example: least };
  }

  constant() {
    const value = this.one([...VALUES, 0, -1, 42, true, false, null, ["a", 1], { k: "v" }]);
    return { schema: { const: value }, example: value };
  }

  boolean() {
    return { schema: { type: "boolean" }, example: true };
  }

  nothing() {
    return { schema: { type: "null" }, example: null };
  }
}
