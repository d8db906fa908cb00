// Moves entries from the queue to the guestbook. It ends after the entry at hand when it gets SIGTERM.
const { append, lines } = require("./data.js");

const PAUSE_MS = 300;
let ended = false;

async function work() {
  while (!ended) {
    const done = lines("done").length;
    const next = lines("queue")[done];
    if (next) append("done", { ...next, number: done + 1 });
    else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

process.on("SIGTERM", () => {
  ended = true;
});
work();
