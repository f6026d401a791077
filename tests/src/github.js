// GitHub's API, as much as a test needs: it knows people by the SHA-256 of their tokens, and tells who asked for what.
const crypto = require('crypto');
const people = JSON.parse(process.env.PEOPLE);
const issues = [];
require('https').createServer({ cert: process.env.CERTIFICATE, key: process.env.KEY }, (request, response) => {
  let body = '';
  request.on('data', (piece) => { body += piece; });
  request.on('end', () => {
    const token = (request.headers.authorization || '').replace(/^(Bearer|token) /, '');
    const login = people[crypto.createHash('sha256').update(token).digest('hex')];
    process.stdout.write(`${login || 'nobody'} ${request.method} ${request.url}\n`);
    const answer = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (!login) return answer(401, { message: 'Bad credentials' });
    if (request.url === '/user') return answer(200, { login });
    if (/^\/repos\/[^/]+\/[^/]+\/issues$/.test(request.url) && request.method === 'POST') {
      const issue = { number: issues.length + 1, title: JSON.parse(body).title, user: { login } };
      issues.push(issue);
      return answer(201, issue);
    }
    const one = request.url.match(/^\/repos\/[^/]+\/[^/]+\/issues\/(\d+)$/);
    if (one && issues[one[1] - 1]) return answer(200, issues[one[1] - 1]);
    return answer(404, { message: 'Not Found' });
  });
}).listen(443, '0.0.0.0', () => process.stdout.write('ready\n'));
