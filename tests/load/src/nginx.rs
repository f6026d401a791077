//! nginx as what it is best at: a plain reverse proxy, with connections to the upstream kept open.

use std::path::Path;
use std::process::{Command, Stdio};

use tests::stack::Process;

/// One process, one worker: it is never short of CPU here, and CPU per call does not depend on the number.
///
/// # Panics
/// nginx is not there.
pub(crate) fn start(folder: &Path, port: u16, upstream: u16) -> Process {
    let here = folder.display();
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/nginx.log;
         events {{ worker_connections 4096; }}
         http {{
           access_log off;
           client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
           uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
           keepalive_requests 100000000;
           upstream server {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
           server {{
             listen 127.0.0.1:{port};
             location / {{ proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
           }}
         }}"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).expect("the folder is ours");
    let child = Command::new("nginx")
        .args(["-e".as_ref(), folder.join("nginx.log").as_os_str(), "-c".as_ref(), path.as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("install nginx: it is what we compare with");
    Process(child)
}
