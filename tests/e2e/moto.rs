//! AWS's APIs, played by moto, which `tests/run` installs; and a way to them that lets a scripted
//! registry know which repositories were made.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use fake_registry::Client;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Reply;
use fake_registry::Target;
use http::Request;
use http::Response;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The account that moto has.
pub(crate) const ACCOUNT: &str = "123456789012";
/// Where its repositories are here.
pub(crate) const REGION: &str = "eu-west-1";

const ECR: &str = "AmazonEC2ContainerRegistry_V20150921";

/// Where `tests/run` puts the server.
pub(crate) fn server() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.with_file_name("moto").join("bin/moto_server")
}

/// A running moto, with nothing in it.
pub(crate) struct Moto {
    _process: Process,
    url: String,
    client: Client,
}

impl Moto {
    /// One that lets in whoever signs in whatever way.
    pub(crate) async fn start() -> Self {
        Self::run(None).await
    }

    /// One that lets in whoever may, after the first `free` requests.
    pub(crate) async fn strict(free: usize) -> Self {
        Self::run(Some(free)).await
    }

    async fn run(free: Option<usize>) -> Self {
        let mut command = Process::command(server()).args(["--port", "0"]);
        if let Some(free) = free {
            command = command.env("INITIAL_NO_AUTH_ACTION_COUNT", free.to_string());
        }
        let mut process = command.spawn();
        let url = |it: &Process| {
            let log = it.stderr();
            let (_, url) = log.split_once("Running on ")?.1.split_once("http://")?;
            let (url, _) = url.split_once('\n')?;
            Some(format!("http://{url}"))
        };
        process.wait_ready(async |it| url(it).is_some()).await;
        Self {
            url: url(&process).unwrap(),
            _process: process,
            client: Client::new(),
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The repositories of the account: their names, in order.
    pub(crate) async fn repositories(&self) -> Vec<String> {
        let all = self
            .ecr("DescribeRepositories", json!({"registryId": ACCOUNT}))
            .await;
        let all = all["repositories"].as_array().unwrap();
        let mut names: Vec<_> = all
            .iter()
            .map(|it| it["repositoryName"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Makes a repository, as somebody else.
    pub(crate) async fn create(&self, name: &str) {
        let made = self
            .ecr("CreateRepository", json!({"repositoryName": name}))
            .await;
        assert_eq!(made["repository"]["repositoryName"], name);
    }

    async fn ecr(&self, action: &str, request: Value) -> Value {
        let sent = self
            .request("ecr")
            .header("x-amz-target", format!("{ECR}.{action}"));
        let sent = sent.header("content-type", "application/x-amz-json-1.1");
        well(sent.body(request.to_string()))
            .await
            .json()
            .await
            .unwrap()
    }

    /// A new user who may do nothing: the id and the secret of an access key. Two requests.
    pub(crate) async fn user(&self) -> (String, String) {
        self.iam("CreateUser").await;
        let key = self.iam("CreateAccessKey").await;
        let part = |name: &str| {
            let (_, rest) = key.split_once(&format!("<{name}>")).unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        (part("AccessKeyId"), part("SecretAccessKey"))
    }

    async fn iam(&self, action: &str) -> String {
        let form = format!("Action={action}&UserName=mirror&Version=2010-05-08");
        let sent = self.request("iam");
        let sent = sent.header("content-type", "application/x-www-form-urlencoded");
        well(sent.body(form)).await.text().await.unwrap()
    }

    /// By the signature's scope moto knows which service is meant.
    fn request(&self, service: &str) -> fake_registry::RequestBuilder {
        let request = self.client.request(http::Method::POST, &self.url);
        let scope = format!("AKIA/20260101/{REGION}/{service}/aws4_request");
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        request.header("authorization", signed)
    }
}

async fn well(request: fake_registry::RequestBuilder) -> Reply {
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status, 200);
    reply
}

/// A way to a [`Moto`], over TLS. A repository that is made on it is at the target, too, before the
/// answer is there.
pub(crate) struct Way {
    pub(crate) url: String,
    seen: Arc<Seen>,
    _task: JoinSet<()>,
}

struct Seen {
    moto: String,
    client: Client,
    target: Arc<Target>,
    actions: Mutex<Vec<String>>,
}

impl Way {
    pub(crate) async fn start(moto: &Moto, target: Arc<Target>, pki: &Pki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = Arc::new(pki.server(&[]).server_config(&["http/1.1"])).into();
        let seen = Arc::new(Seen {
            moto: moto.url.clone(),
            client: Client::new(),
            target,
            actions: Mutex::default(),
        });
        let mut task = JoinSet::new();
        let url = format!("https://{}", listener.local_addr().unwrap());
        task.spawn(accept(listener, tls, seen.clone()));
        Self {
            url,
            seen,
            _task: task,
        }
    }

    /// What was asked for until now, in order.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.seen.actions.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, tls.clone(), seen.clone()));
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, seen: Arc<Seen>) {
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| pass(seen.clone(), request));
    let http = hyper::server::conn::http1::Builder::new();
    // An error is the client's leaving.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn pass(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut sent = seen.client.request(head.method, &seen.moto);
    for (name, value) in &head.headers {
        if name != "content-length" && name != "connection" {
            sent = sent.header(name.as_str(), value.to_str().unwrap());
        }
    }
    let action = head
        .headers
        .get("x-amz-target")
        .map(|it| it.to_str().unwrap());
    let form = || Some(std::str::from_utf8(&body).ok()?.split_once("Action=")?.1);
    let action = action.or_else(|| form()?.split('&').next());
    let action = action
        .unwrap_or_default()
        .rsplit('.')
        .next()
        .unwrap_or_default();
    seen.actions.lock().unwrap().push(action.to_owned());
    let reply = sent.body(body.clone()).send().await.unwrap();
    if action == "CreateRepository" && reply.status != 403 {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        seen.target
            .create(asked["repositoryName"].as_str().unwrap());
    }
    let status = reply.status;
    let text = reply.text().await.unwrap();
    let text = refusal(&text).unwrap_or(text);
    let answer = Response::builder().status(status);
    Ok(answer.body(Full::new(text.into())).unwrap())
}

/// What moto says in XML where it lets nobody in, as ECR says it.
fn refusal(text: &str) -> Option<String> {
    let (_, code) = text.split_once("<Errors><Error><Code>")?;
    let (code, rest) = code.split_once("</Code><Message>")?;
    let (message, _) = rest.split_once("</Message>")?;
    Some(json!({"__type": format!("{code}Exception"), "Message": message}).to_string())
}
