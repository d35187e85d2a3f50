// What runs in a process of its own: `child` of the module that the first argument names, asked over IPC.

const { child } = await import(`./${process.argv[2]}.mjs`);
let opened;

process.on("message", ({ method, task }) => void answer(method, task));
// The parent has gone: Ctrl-C, or a failure.
process.on("disconnect", () => process.exit(1));

async function answer(method, task) {
  try {
    if (method === "open") opened = await child(task);
    process.send({ answer: method === "open" ? null : await opened[method](task) });
  } catch (error) {
    process.send({ error: error?.stack ?? String(error) });
  }
}
