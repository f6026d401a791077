// An MCP server that tells what it sees from inside its container, and misbehaves on request. CommonJS, no packages.
const fs = require('fs'), net = require('net'), os = require('os'), child = require('child_process');
const mode = process.argv[process.argv.length - 1];
const attempt = (work) => { try { return { ok: work() }; } catch (error) { return { error: error.code || String(error) }; } };
const report = () => ({
  status: Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').trim().split('\n').map((line) => line.split(/:\s+/))),
  mounts: fs.readFileSync('/proc/self/mounts', 'utf8').trim().split('\n'),
  interfaces: Object.keys(os.networkInterfaces()),
  routes: fs.readFileSync('/proc/net/route', 'utf8').trim().split('\n').slice(1),
  devices: fs.readdirSync('/sys/class/net'),
  writeRoot: attempt(() => fs.writeFileSync('/x', 'x')),
  writeSrv: attempt(() => fs.writeFileSync('/usr/bin/x', 'x')),
  writeTmp: attempt(() => fs.writeFileSync('/tmp/x', '#!/usr/bin/server\n', { mode: 0o755 })),
  fillTmp: attempt(() => { fs.writeFileSync('/tmp/big', Buffer.alloc(64 << 20)); }),
  execTmp: attempt(() => { fs.rmSync('/tmp/big', { force: true }); fs.copyFileSync('/usr/bin/server', '/tmp/server'); }),
  runTmp: attempt(() => { fs.rmSync('/tmp/server', { force: true }); fs.writeFileSync('/tmp/run', 'x', { mode: 0o755 }); const r = child.spawnSync('/tmp/run'); if (r.error) throw r.error; return r.status; }),
  mknod: attempt(() => { const r = child.spawnSync('/usr/bin/mknod', ['/tmp/d', 'b', '8', '0']); if (r.error) throw r.error; return r.status; }),
  chown: attempt(() => fs.chownSync('/tmp/x', 0, 0)),
  shm: attempt(() => fs.writeFileSync('/dev/shm/x', 'x')),
  sysrq: attempt(() => fs.writeFileSync('/proc/sysrq-trigger', 'b')),
  env: process.env,
  uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), parent: process.ppid, pid: process.pid,
  init: attempt(() => fs.readFileSync('/proc/1/cmdline', 'utf8').split('\0')[0]),
  limits: fs.readFileSync('/proc/self/limits', 'utf8'),
  socket: fs.existsSync('/var/run/docker.sock') || fs.existsSync('/run/docker.sock'),
});
const dial = (host, port) => new Promise((resolve) => {
  const socket = net.connect({ host, port, timeout: 1500 }, () => { socket.destroy(); resolve('open'); });
  socket.on('timeout', () => { socket.destroy(); resolve('timeout'); });
  socket.on('error', (error) => resolve(error.code));
});
const spawnMany = () => new Promise((resolve) => {
  let refused = 0, started = [];
  for (let i = 0; i < 200; i++) {
    const one = child.spawn('/usr/bin/server', ['-e', 'setTimeout(()=>{},3000)'], { stdio: 'ignore' });
    one.on('error', () => refused++);
    if (one.pid) started.push(one);
  }
  setTimeout(() => { started.forEach((one) => one.kill('SIGKILL')); resolve({ refused, started: started.length }); }, 500);
});
async function answer(message) {
  const text = (value) => ({ content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] });
  const params = message.params || {};
  if (message.method === 'initialize') return { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'probe', version: '1' } };
  if (message.method === 'ping') return {};
  if (message.method === 'tools/list') return { tools: [{ name: 'report', inputSchema: { type: 'object' } }] };
  if (message.method !== 'tools/call') throw { code: -32601, message: 'no such method' };
  const given = params.arguments || {};
  switch (params.name) {
    case 'report': return text(report());
    case 'echo': return text(given.message);
    case 'dial': return text(await dial(given.host, given.port));
    case 'read': return text(fs.readFileSync(given.path, 'utf8') + ' ' + (fs.statSync(given.path).mode & 0o777).toString(8));
    case 'spawn': return text(await spawnMany());
    case 'eat': { const all = []; for (;;) all.push(Buffer.alloc(16 << 20, 1)); }
    case 'die': process.kill(process.pid, 'SIGKILL'); return new Promise(() => {});
    case 'silent': return new Promise(() => {});
    default: throw { code: -32602, message: 'no such tool' };
  }
}
const reply = async (message) => {
  try { return { jsonrpc: '2.0', id: message.id, result: await answer(message) }; }
  catch (error) { return { jsonrpc: '2.0', id: message.id, error: { code: error.code || -32603, message: error.message || String(error) } }; }
};
if (mode === 'http') {
  // A session server as 2025-11-25 has them: strict about its id, forgetful when asked.
  let session = 0;
  require('http').createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => { body += piece; });
    request.on('end', async () => {
      const message = JSON.parse(body);
      const id = request.headers['mcp-session-id'];
      if (message.method === 'initialize') session += 1;
      else if (id === undefined) return response.writeHead(400).end('no session');
      else if (id !== 's' + session) return response.writeHead(404).end('no such session');
      if (message.id === undefined) return response.writeHead(202).end();
      if ((message.params || {}).name === 'forget') { session += 1; }
      const told = await reply(message);
      response.writeHead(200, { 'content-type': 'text/event-stream', 'mcp-session-id': 's' + session });
      response.write('id: 1\ndata:\n\n');
      const token = message.params && message.params._meta && message.params._meta.progressToken;
      if (token !== undefined) response.write('data: ' + JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: token, progress: 1 } }) + '\n\n');
      response.end('data: ' + JSON.stringify(told) + '\n\n');
    });
  }).listen(8080, '0.0.0.0');
} else {
  process.stderr.write('probe is up\n');
  require('readline').createInterface({ input: process.stdin }).on('line', async (line) => {
    const message = JSON.parse(line);
    if (message.id === undefined || message.method === undefined) return;
    process.stdout.write(JSON.stringify(await reply(message)) + '\n');
  });
}
