//! Records and journals, made by hand.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use http::Method;
use tidegate::ledger::Action;
use tidegate::ledger::Connection;
use tidegate::ledger::Draft;
use tidegate::ledger::End;
use tidegate::ledger::FlowId;
use tidegate::ledger::Header;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::ledger::Mount;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;
use tidegate::ledger::Run;

/// When all crafted things begin.
pub(crate) fn zero() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

pub(crate) fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The digest with this number.
pub(crate) fn digest(number: u64) -> String {
    let parts = [
        0x9e37_79b9_7f4a_7c15_u64,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        1,
    ];
    let parts = parts.map(|part| format!("{:016x}", part.wrapping_mul(number)));
    format!("sha256:{}", parts.concat())
}

/// An exchange that took 10 ms and was answered 200, with nothing in it.
pub(crate) fn exchange(leg: Leg, action: Action) -> Receipt {
    let method = match action {
        Action::ManifestHead | Action::BlobHead => Method::HEAD,
        Action::BlobMount | Action::UploadStart => Method::POST,
        Action::UploadChunk => Method::PATCH,
        Action::UploadFinish | Action::ManifestPut => Method::PUT,
        _ => Method::GET,
    };
    let mut receipt = Draft::begin(&Ledger::new(), leg, FlowId::next(), method)
        .receipt
        .clone();
    receipt.ts = zero();
    receipt.duration = ms(10);
    receipt.host = "registry.test".into();
    receipt.repository = "team/app".into();
    receipt.action = action;
    receipt.status = 200;
    receipt.end = End::Complete;
    receipt
}

/// Changes in a row.
pub(crate) trait But: Sized {
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn record(self) -> Record;
}

impl But for Receipt {
    fn record(self) -> Record {
        Record::Exchange(self)
    }
}

impl But for Connection {
    fn record(self) -> Record {
        Record::Connection(self)
    }
}

/// A `GET` of a blob, or the hop of a redirect that carries it.
pub(crate) fn get(leg: Leg, action: Action, number: u64, (status, bytes): (u16, u64)) -> Receipt {
    exchange(leg, action).but(|it| {
        it.reference = digest(number).into();
        it.status = status;
        it.response_bytes = bytes;
    })
}

/// An attempt to mount.
pub(crate) fn mount(leg: Leg, number: u64, status: u16) -> Receipt {
    exchange(leg, Action::BlobMount).but(|it| {
        it.reference = digest(number).into();
        it.status = status;
        it.mount = Some(Mount {
            from: "team/base".into(),
            accepted: status == 201,
        });
    })
}

pub(crate) fn connection(leg: Leg, host: &str, (tx, rx): (u64, u64)) -> Connection {
    Connection {
        ts: zero(),
        duration: ms(500),
        leg,
        registry: "".into(),
        host: host.into(),
        tx,
        rx,
        tls: true,
    }
}

/// A command that ran for `seconds`.
pub(crate) fn run(command: &str, seconds: u64, peak_rss: u64) -> Record {
    Record::Run(Run {
        ts: zero(),
        duration: Duration::from_secs(seconds),
        command: command.split(' ').map(ToOwned::to_owned).collect(),
        exit_code: 0,
        cpu: Duration::from_millis(seconds * 400),
        peak_rss,
    })
}

/// The lines of a journal, with its header.
pub(crate) fn lines(records: &[Record]) -> String {
    let header = Record::Journal(Header {
        ts: zero(),
        ..Header::now()
    });
    let records = [&header].into_iter().chain(records);
    let lines = records.map(|record| serde_json::to_string(record).unwrap() + "\n");
    lines.collect()
}

/// Writes a journal.
pub(crate) fn write(folder: &Path, name: &str, records: &[Record]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, lines(records)).unwrap();
    path
}
