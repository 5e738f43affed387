// nginx on a free port of the loopback, with a log of what went over the wire. What else is in its configuration is the caller's.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Process, freePort, until } from '../flow/lib/locum.mjs';

const PROGRAM = 'nginx';

export class Nginx {
  /** `served`: the folder behind /. `more`: further lines of the server, `log`: whether requests are written down. */
  static async open(folder, served, { more = '', log = true, workers = 1 } = {}) {
    const nginx = new Nginx();
    mkdirSync(folder, { recursive: true });
    Object.assign(nginx, { folder, log: path.join(folder, 'wire.log'), port: await freePort() });
    nginx.url = `http://127.0.0.1:${nginx.port}`;
    writeFileSync(nginx.log, '');
    const place = (name) => path.join(folder, name);
    writeFileSync(place('nginx.conf'), `
daemon off; master_process ${workers > 1 || process.getuid() === 0 ? 'on' : 'off'}; worker_processes ${workers}; ${process.getuid() === 0 ? 'user root;' : ''}
pid ${place('pid')}; error_log ${place('error.log')};
events { worker_connections 4096; }
http {
  log_format wire '$request_uri $body_bytes_sent $bytes_sent $request_length';
  access_log ${log ? `${nginx.log} wire` : 'off'};
  sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;
  client_body_temp_path ${place('body')}; proxy_temp_path ${place('proxy')}; fastcgi_temp_path ${place('fastcgi')}; uwsgi_temp_path ${place('uwsgi')}; scgi_temp_path ${place('scgi')};
  server { listen 127.0.0.1:${nginx.port}; root ${served}; location = /- { return 204; } ${more} }
}
`);
    nginx.process = new Process(PROGRAM, ['-p', folder, '-c', place('nginx.conf')]);
    await until('nginx answers', async () => {
      if (nginx.process.exit) throw new Error(`nginx ended: ${nginx.process.output}`);
      return (await fetch(`${nginx.url}/-`)).status === 204;
    });
    return nginx;
  }
  /** What went over the wire since the last call: {requests, bytes: bodies alone, headers: all else of HTTP in both directions}. */
  async wire() {
    const mark = `/-?${process.hrtime.bigint()}`;
    await (await fetch(`${this.url}${mark}`)).arrayBuffer();
    let lines;
    await until('the log has come so far', () => (lines = readFileSync(this.log, 'utf8').split('\n')).some((line) => line.startsWith(`${mark} `)));
    const since = lines.slice(this.read ?? 0, -1);
    this.read = lines.length - 1;
    const counted = since.filter((line) => !/^\/-[ ?]/.test(line)).map((line) => line.split(' ').slice(-3).map(Number));
    const sum = (of) => counted.reduce((all, line) => all + of(line), 0);
    return { requests: counted.length, bytes: sum(([body]) => body), headers: sum(([body, sent, asked]) => sent - body + asked) };
  }
  async close() { await this.process?.stop(); }
}
