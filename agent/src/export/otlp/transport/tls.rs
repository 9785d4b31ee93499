//! TLS of a receiver: certificates and keys, read with a limit, and whether they are valid now. Connects to nothing.

use std::{path::Path, time::SystemTime};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use x509_cert::{Certificate, der::Decode as _};

use crate::{config::otlp::Receiver, input};

const CERTIFICATE: &str = "otlp.certificate";
const CLIENT_CERTIFICATE: &str = "otlp.client_certificate";
const CLIENT_KEY: &str = "otlp.client_key";

/// What TLS needs.
pub(super) struct Tls {
    pub(super) config: ClientConfig,
    /// What is read and will not do, a line each.
    pub(super) limits: Vec<String>,
}

/// Reads everything.
///
/// # Errors
/// What is wrong with certificates or keys, in one line with its key and a way out.
pub(super) fn prepare(receiver: &Receiver, now: SystemTime) -> Result<Tls, String> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            format!("otlp: TLS cannot be set up: {error}; help: take another build of partymeter")
        })?;
    let mut limits = vec![];
    let mut roots = RootCertStore::empty();
    match &receiver.certificate {
        Some(path) => {
            let all = certificates(CERTIFICATE, path)?;
            // Of a bundle, some may be old.
            let faults: Option<Vec<_>> = all.iter().map(|it| not_valid(it, now)).collect();
            limits.extend(worst(CERTIFICATE, path, faults.unwrap_or_default()));
            for certificate in all {
                roots.add(certificate).map_err(|error| {
                    let path = path.display();
                    format!(
                        "{CERTIFICATE}: {path}: {error}; help: give certificates of authorities"
                    )
                })?;
            }
        }
        None if receiver.endpoint.scheme_str() == Some("https") => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                return Err(format!(
                    "{CERTIFICATE}: the system has no certificates to trust; help: name a file"
                ));
            }
        }
        None => {}
    }
    let config = config.with_root_certificates(roots);
    let Some((certificate, key)) = &receiver.client else {
        let config = config.with_no_client_auth();
        return Ok(Tls { config, limits });
    };
    let chain = certificates(CLIENT_CERTIFICATE, certificate)?;
    let faults = chain.iter().filter_map(|it| not_valid(it, now)).collect();
    limits.extend(worst(CLIENT_CERTIFICATE, certificate, faults));
    let wrong = |error: String| {
        let path = key.display();
        format!("{CLIENT_KEY}: {path}: {error}; help: give a private key in PEM")
    };
    let private = read(key).and_then(|bytes| {
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => "has no private key in it".to_owned(),
            error => error.to_string(),
        })
    });
    let private = private.map_err(wrong)?;
    let config = config.with_client_auth_cert(chain, private);
    let config = config.map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("{CLIENT_KEY}: {key} is not of the certificate {certificate}: {error}; help: give its key")
    })?;
    Ok(Tls { config, limits })
}

/// Neither a pipe without a writer nor a file without an end keeps the start waiting.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    input::file(path, input::LARGEST).map_err(|error| error.to_string())
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: String| {
        let path = path.display();
        format!("{key}: {path}: {error}; help: give certificates in PEM")
    };
    let bytes = read(path).map_err(wrong)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("has no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// The line of a file with such faults: the first is as good as any.
fn worst(key: &str, path: &Path, faults: Vec<String>) -> Option<String> {
    let fault = faults.into_iter().next()?;
    let path = path.display();
    Some(format!(
        "{key}: {path} {fault}; help: renew it, or set this machine's clock, and restart"
    ))
}

/// Why a certificate is not valid then; `None`: it is, as far as that can be told.
fn not_valid(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let validity = parsed.tbs_certificate().validity();
    let (from, until) = (
        validity.not_before.to_system_time(),
        validity.not_after.to_system_time(),
    );
    let shown = humantime::format_rfc3339_seconds;
    if now < from {
        Some(format!("is not valid before {}", shown(from)))
    } else if now > until {
        Some(format!("expired at {}", shown(until)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
