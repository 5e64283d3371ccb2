use std::net::IpAddr;
use std::time::Duration;
use std::time::SystemTime;

use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::SanType;
use rcgen::date_time_ymd;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::DirectoryString;
use x509_cert::ext::pkix::name::GeneralName;

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// A day, in seconds.
pub(super) const DAY: u64 = 24 * 60 * 60;
/// How long a leaf is good that is like no other.
const LIFE: u64 = 30 * DAY;
/// The end of 9999 (RFC 5280, 4.1.2.5): rcgen writes no later year.
const LAST: u64 = 253_402_300_799;

/// What a client looks at in a certificate: for whom it is, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Likeness {
    common_name: Option<String>,
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    // In seconds of Unix time; `None` for some time around now.
    validity: Option<(u64, u64)>,
}

impl Likeness {
    /// That of an origin's certificate; `None` where it can't be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let body = certificate.tbs_certificate();
        let validity = body.validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        let mut common = body.subject().iter().filter(|one| one.oid == COMMON_NAME);
        let common_name = common.next().and_then(|attribute| {
            let name = DirectoryString::try_from(&attribute.value).ok()?;
            Some(name.value().into_owned())
        });
        let mut like = Self {
            common_name,
            hosts: Vec::new(),
            addresses: Vec::new(),
            validity: Some((seconds(validity.not_before), seconds(validity.not_after))),
        };
        let names: Option<(bool, SubjectAltName)> = body.get_extension().ok()?;
        for name in names.into_iter().flat_map(|(_, names)| names.0) {
            match name {
                GeneralName::DnsName(host) => like.hosts.push(host.as_str().to_owned()),
                GeneralName::IpAddress(bytes) => like.addresses.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        Some(like)
    }

    /// One that is good for `host`, a name or an address, today.
    pub fn good_for(host: &str) -> Self {
        let address: Option<IpAddr> = host.parse().ok();
        Self {
            common_name: None,
            hosts: Vec::from_iter(address.is_none().then(|| host.to_owned())),
            addresses: Vec::from_iter(address),
            validity: None,
        }
    }

    /// Whether it is of another time than `now`, in Unix time.
    pub fn is_out_of_time(&self, now: Duration) -> bool {
        self.validity
            .is_some_and(|(from, to)| now.as_secs() < from || now.as_secs() > to)
    }

    /// A moment at which it is good, in Unix time: `now` if it is good now.
    pub fn moment(&self, now: Duration) -> Duration {
        match self.validity {
            Some((from, to)) => Duration::from_secs(now.as_secs().min(to).max(from)),
            None => now,
        }
    }

    /// Makes `params` look so.
    pub(super) fn shape(&self, params: &mut CertificateParams) {
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = &self.common_name {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        let hosts = self.hosts.iter().filter_map(|host| {
            let name = host.as_str().try_into().ok()?;
            Some(SanType::DnsName(name))
        });
        let addresses = self.addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names = hosts.chain(addresses).collect();
        match self.validity {
            Some((from, to)) => {
                let start = date_time_ymd(1970, 1, 1);
                params.not_before = start + Duration::from_secs(from.min(LAST));
                params.not_after = start + Duration::from_secs(to.min(LAST));
            }
            None => valid(params, DAY, LIFE),
        }
    }
}

/// Makes it good from `before` seconds ago to `after` seconds from now.
pub(super) fn valid(params: &mut CertificateParams, before: u64, after: u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = date_time_ymd(1970, 1, 1) + now.unwrap_or_default();
    params.not_before = now - Duration::from_secs(before);
    params.not_after = now + Duration::from_secs(after);
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
