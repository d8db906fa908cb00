// Files of JSON lines in the folder that all versions share.
const fs = require("node:fs");
const path = require("node:path");

const folder = path.join(__dirname, "data");
const file = (name) => path.join(folder, `${name}.jsonl`);

function lines(name) {
  if (!fs.existsSync(file(name))) return [];
  // What follows the last line break is empty, or a line that another process is writing.
  const written = fs.readFileSync(file(name), "utf8").split("\n").slice(0, -1);
  return written.map((line) => JSON.parse(line));
}

function append(name, entry) {
  fs.appendFileSync(file(name), `${JSON.stringify(entry)}\n`);
}

module.exports = { append, lines };
