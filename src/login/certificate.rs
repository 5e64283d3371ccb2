use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::DirectoryString;
use x509_cert::ext::pkix::name::GeneralName;

use super::User;

/// `id-at-commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Whom a client's certificate names: its subject's common name; without one, the first host name,
/// mail address or URI among its alternative names. `None` where there is none of these, or where
/// there are several common names. The caller has verified the certificate.
pub fn name_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let mut common = certificate
        .tbs_certificate()
        .subject()
        .iter()
        .filter(|attribute| attribute.oid == COMMON_NAME);
    match (common.next(), common.next()) {
        (Some(name), None) => user(&text(name)?),
        (None, _) => alternative(&certificate),
        (Some(_), Some(_)) => None,
    }
}

fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    let name = DirectoryString::try_from(&attribute.value).ok()?;
    Some(name.value().into_owned())
}

fn alternative(certificate: &Certificate) -> Option<User> {
    let names = certificate.tbs_certificate().get_extension();
    let (_, names): (bool, SubjectAltName) = names.ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => user(text.as_str()),
        _ => None,
    })
}

fn user(text: &str) -> Option<User> {
    (!text.is_empty()).then(|| User::new(text))
}
