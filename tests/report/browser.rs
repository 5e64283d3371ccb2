//! A real browser, driven by the DevTools protocol over a pipe.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

/// As long may the browser take for one answer, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    messages: mpsc::Receiver<Value>,
    number: u64,
    session: Option<String>,
    /// What happened, in its order.
    events: Vec<Value>,
    profile: Option<TempDir>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().unwrap();
        // The browser reads from 3 and writes to 4, and says other things elsewhere.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1",
                "sh",
            ])
            .args([
                "chromium",
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
            ])
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-extensions",
                "--hide-scrollbars",
                "--window-size=1280,900",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, messages) = mpsc::channel();
        let from = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in from.split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self {
            to: child.stdin.take(),
            child,
            messages,
            number: 0,
            session: None,
            events: Vec::new(),
            profile: Some(profile),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", target);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Asks the browser to do something, and waits until it has.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let to = self.to.as_mut().unwrap();
        to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.next(method);
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    #[track_caller]
    fn next(&mut self, what: &str) -> Value {
        let next = self.messages.recv_timeout(PATIENCE);
        next.unwrap_or_else(|error| panic!("no answer to {what}: {error}"))
    }

    /// Opens a file, and waits until all of it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, file: &Path) {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{opened}");
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.next("a page");
            self.events.push(event);
        }
    }

    /// What an expression gives in the page.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].take()
    }

    /// What went wrong, and what was loaded besides the page itself, since it was opened.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // What is on its way comes before the answer to this.
        self.eval("1");
        let is_one = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded") => true,
            Some("Network.requestWillBeSent") => {
                let url = event["params"]["request"]["url"]
                    .as_str()
                    .unwrap_or_default();
                !url.starts_with("file:///") || event["params"]["type"] != "Document"
            }
            _ => false,
        };
        let complaints = self.events.iter().filter(is_one);
        complaints.map(ToString::to_string).collect()
    }

    /// Whether the reader likes it dark.
    pub(crate) fn scheme(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// Whether the page is to look as on paper.
    pub(crate) fn print(&mut self, print: bool) {
        let media = if print { "print" } else { "" };
        let dark = json!({"name": "prefers-color-scheme", "value": "dark"});
        let params = json!({"media": media, "features": [dark]});
        self.call("Emulation.setEmulatedMedia", params);
    }

    /// How wide the window is, in pixels.
    pub(crate) fn wide(&mut self, width: u32) {
        let params =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// A picture of all of the page, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": {
            "x": 0, "y": 0, "width": self.eval("innerWidth"), "scale": 1,
            "height": self.eval("document.documentElement.scrollHeight"),
        }});
        let picture = self.call("Page.captureScreenshot", params);
        BASE64_STANDARD
            .decode(picture["data"].as_str().unwrap())
            .unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends in good order when its pipe is closed; its folder goes when it has ended.
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.profile = None;
    }
}
