// The official Node library, unmodified, over the queue resources of a server: prints what it saw as one line of JSON.
// Run with NODE_PATH at its node_modules; BASE_URL, ACCOUNT_SID, AUTH_TOKEN, QUEUE_SID (a queue with three members) in the environment.
const { ACCOUNT_SID, AUTH_TOKEN, BASE_URL, QUEUE_SID } = process.env;
const client = require("twilio")(ACCOUNT_SID, AUTH_TOKEN);
client.api.baseUrl = BASE_URL;

const refusal = (promise) => promise.then(() => "no refusal", (error) => [error.status, error.code]);

async function main() {
  const queue = await client.queues.create({ friendlyName: "from node", maxSize: 7 });
  const fetched = await client.queues(queue.sid).fetch();
  const updated = await fetched.update({ maxSize: 9 });
  const twice = await refusal(client.queues.create({ friendlyName: "from node" }));
  const removed = await fetched.remove();
  const gone = await refusal(client.queues(queue.sid).fetch());

  for (let n = 0; n < 5; n += 1) await client.queues.create({ friendlyName: `page ${n}` });
  const names = (await client.queues.list({ pageSize: 2 })).map((one) => one.friendlyName);

  const members = client.queues(QUEUE_SID).members;
  const waiting = await members.list({ pageSize: 2 });
  const front = await members("Front").fetch();
  const dequeued = await members("Front").update({ url: "http://tenant.test/next", method: "GET" });
  const call = await client.calls(waiting[1].callSid).update({ url: "http://tenant.test/other" });
  const left = await members.list();
  console.log(JSON.stringify({
    created: [queue.friendlyName, queue.maxSize, queue.currentSize, queue.dateCreated instanceof Date],
    fetched: fetched.sid === queue.sid, updated: updated.maxSize, twice, removed, gone, names,
    waiting: waiting.map((member) => [member.callSid, member.position]),
    front: front.callSid, dequeued: dequeued.callSid, updated_call: call.sid, left: left.map((member) => member.callSid),
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
