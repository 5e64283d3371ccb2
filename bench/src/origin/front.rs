//! What speaks TLS and HTTP/2 for the origin, as real registries do: an nginx beside it, in the same
//! far network, that passes on what it gets as it gets it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use fake_registry::Far;
use fake_registry::Pki;

use crate::peers;
use crate::peers::Running;
use crate::peers::Upstream;

/// The port that it listens on; nobody else is in its network.
const PORT: u16 = 443;

/// A running front. A drop ends it.
#[derive(Debug)]
pub(crate) struct Front {
    /// How it is asked.
    pub(super) upstream: Upstream,
    server: Running,
}

/// Starts it before `origin`.
pub(super) fn start(far: &Far, origin: SocketAddr) -> anyhow::Result<Front> {
    let dir = peers::folder(&std::env::temp_dir())?;
    let pki = Pki::new();
    let leaf = pki.server(&[&far.address().to_string()]);
    std::fs::write(dir.path().join("ca.crt"), pki.ca_pem())?;
    std::fs::write(dir.path().join("tls.crt"), &leaf.cert_pem)?;
    std::fs::write(dir.path().join("tls.key"), &leaf.key_pem)?;
    let file = dir.path().join("nginx.conf");
    std::fs::write(&file, configuration(dir.path(), origin))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir.path()).arg("-c").arg(&file);
    command.args(["-e", "stderr"]);
    let ca = dir.path().join("ca.crt");
    let server = far
        .inside(|| Running::start("nginx", command, (dir, PORT)))?
        .context("the origin needs nginx to speak TLS (apt-get install nginx)")?;
    Ok(Front {
        upstream: Upstream {
            addr: (far.address(), PORT).into(),
            ca: Some(ca),
        },
        server,
    })
}

impl Front {
    /// Over how many connections it was asked so far, by requests that have ended.
    pub(crate) fn connections(&self) -> usize {
        let log = std::fs::read_to_string(self.server.dir().join("access.log"));
        let log = log.unwrap_or_default();
        let connections = log.lines().filter_map(|line| line.split_once(' '));
        connections
            .map(|(number, _)| number)
            .collect::<HashSet<_>>()
            .len()
    }
}

/// Far networks take root, and so do ports like its own.
fn configuration(dir: &Path, origin: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "user root;
daemon off;
pid {dir}/nginx.pid;
error_log stderr error;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    log_format short '$connection $server_protocol';
    access_log {dir}/access.log short;
    tcp_nodelay on;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream origin {{
        server {origin};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen {PORT} ssl http2;
        ssl_certificate {dir}/tls.crt;
        ssl_certificate_key {dir}/tls.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        http2_chunk_size 16k;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 4 64k;
        }}
    }}
}}
"
    )
}
