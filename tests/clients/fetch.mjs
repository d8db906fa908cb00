// Asks with Node's fetch, over its kept-alive connections, until stdin ends. Prints who asked and the version that answered.

const url = process.argv[2];
let over = false;
process.stdin.on("end", () => (over = true)).resume();

async function ask(name, options = () => ({})) {
  while (!over) {
    const reply = await fetch(url, options());
    const text = await reply.text();
    if (reply.status !== 200) throw new Error(`${name}: ${reply.status} ${text}`);
    console.log(name, text.split(" ")[0]);
  }
}

const text = "x".repeat(100_000);
const sized = () => ({ method: "POST", body: text });
const chunked = () => ({ method: "POST", body: new Blob([text]).stream(), duplex: "half" });
await Promise.all([ask("GET-1"), ask("GET-2"), ask("POST-sized", sized), ask("POST-chunked", chunked)]);
