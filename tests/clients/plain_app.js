// An app that handles no signal. Its WebSockets say its version and then nothing more.

const { createHash } = require("node:crypto");
const http = require("node:http");
const { version } = require("./behaviour.json");

const server = http.createServer((request, response) => {
  const answer = () => response.end(version);
  request.resume().on("end", () => (request.url === "/slow" ? setTimeout(answer, 200) : answer()));
});

server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  socket.on("error", () => {});
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`,
  );
  socket.write(Buffer.concat([Buffer.from([0x81, version.length]), Buffer.from(version)]));
});

server.listen(process.env.PORT, "127.0.0.1");
