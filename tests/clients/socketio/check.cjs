// Two socket.io servers, connected by the Redis adapter, which needs publish/subscribe alone.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");

const url = `redis://127.0.0.1:${process.argv[2]}`;

async function startServer() {
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const server = new Server(http, { adapter: createAdapter(publisher, subscriber) });
  server.on("connection", (socket) => socket.on("join", (room, done) => (socket.join(room), done())));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { server, http, publisher, subscriber };
}

async function connect({ http }) {
  const client = io(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"] });
  await once(client, "connect");
  return client;
}

async function check() {
  const servers = [await startServer(), await startServer()];
  const clients = [await connect(servers[0]), await connect(servers[1]), await connect(servers[1])];
  await clients[1].emitWithAck("join", "room");

  const news = Promise.all(clients.map((client) => once(client, "news")));
  servers[0].server.emit("news", "for all", Buffer.from([0, 255]));
  for (const [text, data] of await news) {
    assert.equal(text, "for all");
    assert.deepEqual([...data], [0, 255]);
  }

  const other = [];
  clients[2].on("secret", (text) => other.push(text));
  const secret = once(clients[1], "secret");
  servers[0].server.to("room").emit("secret", "for the room");
  assert.deepEqual(await secret, ["for the room"]);

  // A request to all servers, whose responses come over channels too.
  const sockets = await servers[0].server.fetchSockets();
  assert.equal(sockets.length, 3);
  assert.equal((await servers[0].server.in("room").fetchSockets()).length, 1);
  assert.deepEqual(other, []);

  clients.forEach((client) => client.close());
  for (const { server, publisher, subscriber } of servers) {
    await server.close();
    await Promise.all([publisher.quit(), subscriber.quit()]);
  }
  console.log("all as it should be");
}

check().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
