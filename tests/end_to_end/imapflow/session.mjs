// A day of imapflow: what it offers is used, and what comes back compared. `../test_imapflow.py` runs this as
//
//     node session.mjs settings.json
//
// and delivers a message whenever a line `deliver` comes; every protocol line goes to the file `trace`.
// `messages` are the files of what lies in INBOX, in order, `news` is what will be delivered.

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { ImapFlow } from 'imapflow';

globalThis.crypto ??= webcrypto; // Debian 12 has Node 18, imapflow would like 20

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const messages = settings.messages.map(path => readFileSync(path));
const news = readFileSync(settings.news);
const trace = entry => entry.msg && appendFileSync(settings.trace, `${entry.src ?? '-'}: ${entry.msg}\n`);
const uid = { uid: true };
const titles = {
  welcome: 'Welcome to your encrypted mailbox',
  chart: 'Chart and numbers for June',
  cafe: 'Le café est prêt'
};

function connection(options = {}) {
  return new ImapFlow({
    host: '127.0.0.1',
    port: settings.port,
    secure: true,
    tls: { ca: readFileSync(settings.certificate) },
    auth: { user: settings.user, pass: settings.password },
    clientInfo: { name: 'imapflow test', version: ImapFlow.version },
    logger: { trace, debug: trace, info: trace, warn: trace, error: trace },
    qresync: true,
    disableAutoIdle: true,
    ...options
  });
}

async function folders(client) {
  const listed = await client.list({ statusQuery: { messages: true, unseen: true, uidNext: true } });
  const uses = Object.fromEntries(listed.map(each => [each.path, each.specialUse]));
  assert.deepEqual(uses, {
    INBOX: '\\Inbox', Archive: '\\Archive', Drafts: '\\Drafts', Sent: '\\Sent', Spam: '\\Junk', Trash: '\\Trash'
  });
  const counts = { messages: messages.length, unseen: messages.length, uidNext: messages.length + 1 };
  const { path, ...inbox } = listed.find(each => each.path == 'INBOX').status;
  assert.deepEqual(inbox, counts);
  const status = await client.status('INBOX', { messages: true, uidValidity: true, highestModseq: true });
  assert.equal(status.messages, messages.length);
  assert(status.highestModseq > 0n && status.uidValidity > 0n);
}

async function reading(client) {
  const mailbox = await client.mailboxOpen('INBOX');
  assert.equal(mailbox.exists, messages.length);
  assert(mailbox.permanentFlags.has('\\*') && mailbox.mailboxId && mailbox.highestModseq > 0n);
  const wanted = { envelope: true, bodyStructure: true, source: true, size: true, flags: true, internalDate: true,
    emailId: true, threadId: true };
  const fetched = await client.fetchAll('1:*', wanted);
  fetched.forEach((each, index) => {
    assert.equal(each.size, messages[index].length);
    assert(each.source.equals(messages[index]), `message ${index + 1} came as something else`);
    assert(each.emailId && each.internalDate);
  });
  const [welcome, chart, cafe] = Object.values(titles).map(title => fetched.find(each => each.envelope.subject == title));
  assert.equal(welcome.envelope.messageId, '<sample-00@example.org>');
  assert.deepEqual(welcome.envelope.from, [{ name: 'Postmaster', address: 'postmaster@example.org' }]);
  assert.equal(cafe.envelope.from[0].name, 'René');
  assert.deepEqual(chart.bodyStructure.childNodes.map(node => node.type), ['text/plain', 'image/png', 'text/csv']);
  assert.equal(chart.bodyStructure.childNodes[1].dispositionParameters.filename, 'chart.png');
  assert.equal(await client.fetchOne('999', wanted, uid), false);
  await parts(client, chart.uid, cafe.uid);
}

async function parts(client, chart, cafe) {
  const table = await client.download(`${chart}`, '3', uid);
  assert.equal(table.meta.filename, 'numbers.csv');
  assert.match((await buffer(table.content)).toString(), /^month,messages,megabytes\r\nApril,812,93\r\n/);
  const both = await client.downloadMany(`${chart}`, ['1', '2'], uid);
  assert.match(both[1].content.toString(), /the chart and the numbers behind it/);
  assert.equal(both[2].content.subarray(1, 4).toString(), 'PNG');
  const text = await client.download(`${cafe}`, '1', uid); // Latin-1 on the server
  assert.match((await buffer(text.content)).toString(), /le café est prêt\. À bientôt/);
  const whole = await client.download(`${chart}`, undefined, { uid: true, chunkSize: 100 });
  assert((await buffer(whole.content)).equals(messages[chart - 1]));
}

async function searching(client) {
  const found = query => client.search(query, uid);
  const [welcome, chart, cafe] = await Promise.all(Object.values(titles).map(subject => found({ subject })));
  assert.deepEqual([welcome.length, chart.length, cafe.length], [1, 1, 1]);
  assert.deepEqual(await found({ body: 'the numbers behind it' }), chart);
  assert.deepEqual(await found({ or: [{ from: 'René' }, { header: { 'Message-ID': 'sample-00' } }] }), [...welcome, ...cafe]);
  assert.deepEqual(await found({ seen: true }), []);
  assert.deepEqual(await found({ larger: 1000, all: true }), messages.flatMap((each, i) => (each.length > 1000 ? [i + 1] : [])));
  const summary = await client.search({ all: true }, { uid: true, returnOptions: ['MIN', 'MAX', 'COUNT'] });
  assert.deepEqual([summary.min, summary.max, summary.count], [1, messages.length, messages.length]);
}

async function changing(client) {
  const flags = async () => [...(await client.fetchOne('1', { flags: true }, uid)).flags].sort();
  assert.equal(await client.messageFlagsAdd('1', ['\\Flagged', 'work'], uid), true);
  assert.deepEqual(await flags(), ['\\Flagged', 'work']);
  assert.equal(await client.messageFlagsRemove('1', ['\\Flagged'], uid), true);
  assert.equal(await client.messageFlagsSet('1', ['\\Seen', 'work'], uid), true);
  assert.deepEqual(await flags(), ['\\Seen', 'work']);

  const sent = await client.append('Sent', messages[3], ['\\Seen'], new Date('2026-06-01T10:00:00Z'));
  assert.equal(sent.uid, 1);
  const copied = await client.messageCopy('1:2', 'Archive', uid);
  assert.deepEqual([...copied.uidMap], [[1, 1], [2, 2]]);
  const expunged = [];
  const note = event => expunged.push(event);
  client.on('expunge', note);
  const moved = await client.messageMove('2', 'Trash', uid);
  assert.deepEqual([...moved.uidMap], [[2, 1]]);
  assert.equal(await client.messageDelete('3', uid), true);
  assert.equal(expunged.length, 2);
  client.off('expunge', note);
  assert.equal(client.mailbox.exists, messages.length - 2);

  await client.mailboxOpen('Sent');
  const [copy] = await client.fetchAll('*', { source: true, flags: true, internalDate: true });
  assert(copy.source.equals(messages[3]) && copy.flags.has('\\Seen'));
  assert.equal(copy.internalDate.toISOString(), '2026-06-01T10:00:00.000Z');
}

async function mailboxes(client) {
  const name = 'Entwürfe & ☃';
  assert.equal((await client.mailboxCreate([name, 'unter'])).path, `${name}/unter`);
  assert.equal((await client.mailboxRename([name, 'unter'], [name, 'ober'])).newPath, `${name}/ober`);
  assert.equal(await client.mailboxSubscribe(`${name}/ober`), true);
  assert((await client.list()).some(each => each.path == `${name}/ober` && each.subscribed));
  assert.equal((await client.mailboxDelete(`${name}/ober`)).path, `${name}/ober`);
}

async function idling(client) {
  const { exists } = await client.mailboxOpen('INBOX');
  const told = once(client, 'exists');
  const idle = client.idle();
  console.log('deliver');
  const [event] = await told;
  assert.deepEqual([event.count, event.prevCount], [exists + 1, exists]);
  const newest = await client.fetchOne('*', { source: true });
  await idle;
  assert(newest.source.equals(news));
}

// What another session did meanwhile comes with SELECT (QRESYNC ...).
async function resyncing(client) {
  const { uidValidity, highestModseq } = await client.mailboxOpen('INBOX');
  const before = { uidValidity, changedSince: highestModseq };
  await client.mailboxClose();
  const other = connection({ qresync: false });
  await other.connect();
  await other.mailboxOpen('INBOX');
  await other.messageFlagsAdd('5', ['\\Answered'], uid);
  await other.messageDelete('6', uid);
  await other.logout();
  const flags = [];
  const gone = [];
  client.on('flags', event => flags.push(event));
  client.on('expunge', event => gone.push(event));
  assert.equal((await client.mailboxOpen('INBOX', before)).exists, messages.length - 2);
  assert.deepEqual(flags.map(event => [event.uid, ...event.flags]), [[5, '\\Answered']]);
  assert.deepEqual(gone.map(event => [event.uid, event.vanished, event.earlier]), [[6, true, true]]);
}

const client = connection();
await client.connect();
assert.equal(client.serverInfo.name, 'crymapd');
for (const capability of ['QRESYNC', 'CONDSTORE', 'UTF8=ACCEPT']) {
  assert(client.enabled.has(capability), `${capability} is not enabled, only ${[...client.enabled]}`);
}
for (const step of [folders, reading, searching, changing, mailboxes, idling, resyncing]) {
  await step(client);
}
await client.logout();
console.log('done');
