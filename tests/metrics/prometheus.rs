//! A real Prometheus.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

use fake_registry::Client;
use fake_registry::PATIENCE;
use fake_registry::Process;
use fake_registry::ReservedPort;
use serde_json::Value;
use tempfile::TempDir;

/// A Prometheus that scrapes one proxy twice a second; it ends with this.
pub(crate) struct Prometheus {
    process: Process,
    url: String,
    client: Client,
    _port: ReservedPort,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it, and waits until it has scraped the admin listener at `admin` twice.
    pub(crate) async fn watching(admin: &str) -> Self {
        let (folder, port) = (TempDir::new().unwrap(), ReservedPort::new());
        let target = admin.trim_start_matches("http://");
        let config = format!(
            "scrape_configs:\n- job_name: tidegate\n  scrape_interval: 500ms\n  \
             scrape_timeout: 500ms\n  static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let data = folder.path().join("data");
        let process = Process::command("prometheus")
            .arg(flag("config.file", file.to_str().unwrap()))
            .arg(flag("storage.tsdb.path", data.to_str().unwrap()))
            .arg(flag("web.listen-address", &port.address().to_string()))
            .spawn();
        let mut prometheus = Self {
            process,
            url: format!("http://{}", port.address()),
            client: Client::new(),
            _port: port,
            _folder: folder,
        };
        let (client, url) = (prometheus.client.clone(), prometheus.url.clone());
        let scraped = async |_: &Process| {
            let twice = "sum_over_time(up{job=\"tidegate\"}[1m]) >= 2";
            let answer = query(&client, &url, twice).await;
            answer.is_ok_and(|result| !result.is_empty())
        };
        prometheus.process.wait_ready(scraped).await;
        prometheus
    }

    /// What it answers to an instant query.
    pub(crate) async fn query(&self, promql: &str) -> Result<Vec<Value>, String> {
        query(&self.client, &self.url, promql).await
    }

    /// What it answers to an instant query, once that is something.
    pub(crate) async fn first(&self, promql: &str) -> f64 {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let result = self.query(promql).await.unwrap();
            if let Some(sample) = result.first() {
                return sample["value"][1].as_str().unwrap().parse().unwrap();
            }
            assert!(std::time::Instant::now() < deadline, "no answer: {promql}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// What it knows of its one target.
    pub(crate) async fn target(&self) -> Value {
        let url = format!("{}/api/v1/targets", self.url);
        let json = self.client.get(url).send().await.unwrap().json().await;
        json.unwrap()["data"]["activeTargets"][0].clone()
    }

    /// What it knows of a metric from `HELP` and `TYPE`.
    pub(crate) async fn metadata(&self) -> Value {
        let url = format!("{}/api/v1/metadata", self.url);
        let json = self.client.get(url).send().await.unwrap().json().await;
        json.unwrap()["data"].clone()
    }
}

async fn query(client: &Client, url: &str, promql: &str) -> Result<Vec<Value>, String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("query", promql);
    let url = format!("{url}/api/v1/query?{}", query.finish());
    let reply = client.get(url).send().await;
    let reply = reply.map_err(|error| error.to_string())?;
    let json = reply.json().await.map_err(|error| error.to_string())?;
    match json["data"]["result"].as_array() {
        Some(result) if json["status"] == "success" => Ok(result.clone()),
        _ => Err(json.to_string()),
    }
}

/// Runs `promtool` with `input`: whether all is well, and what it said.
pub(crate) fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    let command = command.args(args).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}
