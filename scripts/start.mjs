// npm start: sets up what is missing and runs the server until Ctrl-C. Arguments go to `uat serve`.

import { built, ROOT, SET_UP } from './front-door/build.mjs';
import { door, inOrder, run } from './front-door/terminal.mjs';

await door('start', async () => {
  await inOrder(SET_UP);
  await run(built('uat'), ['serve', ...process.argv.slice(2)], { cwd: ROOT });
});
