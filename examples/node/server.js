const express = require("express");

const app = express();
app.disable("x-powered-by");
app.get("/healthz", (request, response) => response.send("ok"));
app.get("/", (request, response) => {
  response.json({ hello: "from Node", slot: process.env.SLOT_MACHINE_SLOT, commit: process.env.SLOT_MACHINE_COMMIT });
});

const server = app.listen(Number(process.env.PORT), process.env.HOST ?? "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
