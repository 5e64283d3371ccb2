//! JSON Web Tokens (RFC 7519), signed with ES256 as CNCF Distribution expects them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::json;

use crate::pki::Leaf;

/// Signs tokens with a certificate's key; the certificate travels in the header (`x5c`), and
/// whoever trusts its authority trusts the token.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    header: Value,
}

impl Signer {
    pub(super) fn new(leaf: &Leaf) -> Self {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, leaf.key().secret_der())
                .expect("a P-256 key in PKCS #8");
        let certificate = BASE64_STANDARD.encode(&leaf.cert_der);
        Self {
            key,
            header: json!({"typ": "JWT", "alg": "ES256", "x5c": [certificate]}),
        }
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&self.header), encode(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a signature");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
