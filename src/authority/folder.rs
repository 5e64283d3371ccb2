use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use rcgen::KeyPair;
use rcgen::PublicKeyData as _;
use rustix::fs::FlockOperation;
use rustix::fs::flock;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::Encode as _;

/// The authority's certificate, for those who are to trust it.
pub(super) const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const LOCK: &str = "lock";

/// The key in `folder`, and its certificate in PEM. Where there is none, both are made there, the
/// certificate by `sign`. Others who do the same at the same time wait, and find what we have made.
pub(super) fn open(
    folder: &Path,
    sign: &dyn Fn(&KeyPair) -> io::Result<String>,
) -> io::Result<(KeyPair, String)> {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    if certificate.exists() {
        return read(&certificate, &key);
    }
    let unwritable = |error: io::Error| unwritable(folder, &error);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(unwritable)?;
    let lock = File::create(folder.join(LOCK)).map_err(unwritable)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| unwritable(error.into()))?;
    if !certificate.exists() {
        let pair = KeyPair::generate().map_err(io::Error::other)?;
        write(&key, &pair.serialize_pem(), 0o600).map_err(unwritable)?;
        // It comes last: where it is, all is.
        write(&certificate, &sign(&pair)?, 0o644).map_err(unwritable)?;
        tracing::info!(
            "made a certificate authority: who trusts {} can be looked into by whoever has {}",
            certificate.display(),
            key.display()
        );
    }
    read(&certificate, &key)
}

fn read(certificate: &Path, key: &Path) -> io::Result<(KeyPair, String)> {
    let mode = fs::metadata(key)
        .map_err(|error| unusable(key, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let why = format!(
            "others may read it (mode {:04o}), and who has it can pass as any server; if nobody did, \
             chmod 600 it, else remove the folder to begin anew",
            mode & 0o7777
        );
        return Err(unusable(key, &why));
    }
    let text = fs::read_to_string(key).map_err(|error| unusable(key, &error))?;
    let pair = KeyPair::from_pem(&text).map_err(|error| unusable(key, &error))?;
    let pem = fs::read_to_string(certificate).map_err(|error| unusable(certificate, &error))?;
    Ok((pair, pem))
}

/// The certificate in `pem`, which must be that of `key`, and good today.
pub(super) fn certificate(
    folder: &Path,
    pem: &str,
    key: &KeyPair,
) -> io::Result<CertificateDer<'static>> {
    let path = folder.join(CERTIFICATE);
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|error| unusable(&path, &error))?;
    let parsed = Certificate::from_der(&der).map_err(|error| unusable(&path, &error))?;
    let body = parsed.tbs_certificate();
    let public = body.subject_public_key_info().to_der();
    if public.ok().as_deref() != Some(&*key.subject_public_key_info()) {
        return Err(unusable(&path, &format!("it does not go with {KEY}")));
    }
    if SystemTime::UNIX_EPOCH + body.validity().not_after.to_unix_duration() < SystemTime::now() {
        return Err(unusable(&path, &"it has expired"));
    }
    Ok(der)
}

/// Writes a file that is there as a whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn unwritable(folder: &Path, error: &io::Error) -> io::Error {
    let text = format!(
        "the folder {} of the certificate authority can't be written: {error}; choose another one",
        folder.display()
    );
    io::Error::new(error.kind(), text)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    let text = format!(
        "{}: {why}; remove {CERTIFICATE} and {KEY} there to have both made anew",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}
