// One fault, one gateway: requests while one of two backends misbehaves, and what became of them.

import http from "node:http";

import { ask, OUTCOMES } from "./judge.mjs";

/** Some at a time, so that a fault meets requests that are under way. */
const CONNECTIONS = 4;

/**
 * Sends requests until `requests` are answered. After a client has waited in vain, no further ones are sent: each would
 * wait as long. `during(sent)` is called before each.
 */
export async function put(gateway, { stream, requests, patience_ms, connections = CONNECTIONS, more, during = async () => {} }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const answers = [];
  let sent = 0;
  const worker = async () => {
    while (sent < requests && !answers.some(({ outcome }) => outcome === "hang")) {
      const number = sent++;
      await during(number);
      let answer = await ask(gateway, { stream, agent, patience_ms, more, prompt: `Count, please. ${number}` });
      // A connection that the gateway closed while it was idle: every client asks again.
      if (answer.outcome === "broken" && answer.status === 0 && answer.why === "ECONNRESET" && answer.ms < 5 && isAlive(gateway)) {
        answer = await ask(gateway, { stream, agent, patience_ms, more, prompt: `Count, please. ${number}` });
      }
      answers.push(answer);
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return answers;
}

export const isAlive = ({ child }) => child.exitCode === null && child.signalCode === null;

/** Counts by outcome, and the first answer of each kind that was not complete. */
export function tally(answers) {
  const counts = Object.fromEntries(Object.keys(OUTCOMES).map((outcome) => [outcome, answers.filter((one) => one.outcome === outcome).length]));
  const examples = Object.keys(OUTCOMES).slice(1).flatMap((outcome) => {
    const found = answers.find((one) => one.outcome === outcome);
    return found ? [`${outcome}: ${found.why}`] : [];
  });
  return { sent: answers.length, ...counts, displaced: answers.filter((one) => one.outcome !== "wrong" && one.prefix === false).length, slowest_ms: Math.round(Math.max(0, ...answers.map(({ ms }) => ms))), examples };
}

/** `40` where all are complete; else what became of how many. */
export function brief(result) {
  if (result.note !== undefined) return result.note;
  if (result.died) return "**died**";
  const parts = [`${result.complete}`];
  for (const [outcome, word] of [["typed", "error"], ["broken", "broken"], ["wrong", "**wrong**"], ["hang", "**hang**"]]) {
    if (result[outcome] > 0) parts.push(`${result[outcome]} ${word}`);
  }
  return parts.join(", ");
}
