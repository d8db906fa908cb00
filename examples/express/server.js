const express = require("express");
const { append, lines } = require("./data.js");

const app = express();
app.disable("x-powered-by");
app.use(express.text());
app.get("/healthz", (request, response) => response.send("ok"));
app.get("/", (request, response) => {
  response.json({ commit: process.env.SLOT_MACHINE_COMMIT, entries: lines("done"), days: lines("days") });
});
app.post("/", (request, response) => {
  append("queue", { text: String(request.body), at: new Date().toISOString() });
  response.status(202).end();
});

const server = app.listen(Number(process.env.PORT), process.env.HOST ?? "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
