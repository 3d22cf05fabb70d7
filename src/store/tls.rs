//! `sslmode` and `sslrootcert` of a database URL, as libpq means them.
//!
//! | `sslmode` | TLS | checked |
//! |---|---|---|
//! | `disable` | never | |
//! | `prefer` (also when nothing is said) | if the server offers it | nothing |
//! | `require` | always | nothing; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | always | the chain |
//! | `verify-full` | always | the chain and the server's name |
//!
//! `sslrootcert` is a PEM file, or `system` for the certificates of the operating system, which also count where a mode
//! checks and no file is named. `allow` is refused: `tokio_postgres` cannot ask for TLS second. See
//! <https://www.postgresql.org/docs/15/libpq-ssl.html>.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use super::preflight::Error;

/// A database URL, taken apart.
#[derive(Debug)]
pub(super) struct Url {
    /// All but the two parameters that `tokio_postgres` does not know.
    pub(super) config: Config,
    /// What the two parameters ask for.
    pub(super) mode: Mode,
}

/// What of the server's certificate is checked, and against what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Any certificate will do: only eavesdroppers are kept out.
    Unchecked,
    /// The chain must end at one of these.
    Chain(Roots),
    /// The chain must end at one of these, and the certificate must be for the host of the URL.
    Full(Roots),
}

/// Who may vouch for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// Whom the operating system trusts.
    System,
    /// The certificates in a PEM file.
    File(String),
}

/// Takes a URL apart.
///
/// # Errors
///
/// [`Error::MalformedUrl`], without any part of the URL that could be a password.
pub(super) fn split(url: &str) -> Result<Url, Error> {
    let malformed = |why: String| Error::MalformedUrl { why };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(malformed("it does not begin with postgres://".to_owned()));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut rest = form_urlencoded::Serializer::new(String::new());
    let mut sslmode = None;
    let mut sslrootcert = None;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "sslmode" => sslmode = Some(value.into_owned()),
            "sslrootcert" => sslrootcert = Some(value.into_owned()),
            "sslcert" | "sslkey" | "sslcrl" | "sslpassword" => {
                return Err(malformed(format!("{key} is not supported")));
            }
            _ => {
                rest.append_pair(&key, &value);
            }
        }
    }
    // `tokio_postgres` undoes %20 but does not read + as a space.
    let rest = rest.finish().replace('+', "%20");
    let whole = if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{rest}")
    };
    let mut config: Config = whole
        .parse()
        .map_err(|error: tokio_postgres::Error| malformed(super::error::text(&error)))?;
    let roots = sslrootcert.map(|name| match name.as_str() {
        "system" => Roots::System,
        _ => Roots::File(name),
    });
    let (encryption, mode) = match sslmode.as_deref() {
        Some("disable") => (SslMode::Disable, Mode::Unchecked),
        None | Some("prefer") => (SslMode::Prefer, Mode::Unchecked),
        Some("require") => (SslMode::Require, roots.map_or(Mode::Unchecked, Mode::Chain)),
        Some("verify-ca") => (
            SslMode::Require,
            Mode::Chain(roots.unwrap_or(Roots::System)),
        ),
        Some("verify-full") => (SslMode::Require, Mode::Full(roots.unwrap_or(Roots::System))),
        Some(other) => {
            return Err(malformed(format!(
                "sslmode is {other:?}, not one of disable, prefer, require, verify-ca, verify-full"
            )));
        }
    };
    config.ssl_mode(encryption);
    if config.get_hosts().is_empty() {
        return Err(malformed("it names no host".to_owned()));
    }
    if config.get_user().is_none() {
        return Err(malformed("it names no user".to_owned()));
    }
    Ok(Url { config, mode })
}

/// What speaks TLS to the server in this mode.
///
/// # Errors
///
/// [`Error::Certificates`] when the roots cannot be read.
pub(super) fn connector(mode: &Mode) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        Mode::Unchecked => Arc::new(Unchecked(Arc::clone(&provider))),
        Mode::Chain(roots) => Arc::new(ChainOnly(verifier(roots, &provider)?)),
        Mode::Full(roots) => verifier(roots, &provider)?,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut store = RootCertStore::empty();
    let (source, added) = match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            ("the operating system".to_owned(), added)
        }
        Roots::File(name) => {
            let unreadable = |error: &dyn fmt::Display| Error::Certificates {
                source_name: name.clone(),
                why: error.to_string(),
            };
            let mut added = 0;
            for certificate in CertificateDer::pem_file_iter(name).map_err(|e| unreadable(&e))? {
                let certificate = certificate.map_err(|e| unreadable(&e))?;
                store.add(certificate).map_err(|e| unreadable(&e))?;
                added += 1;
            }
            (name.clone(), added)
        }
    };
    if added == 0 {
        return Err(Error::Certificates {
            source_name: source,
            why: "there is no certificate".to_owned(),
        });
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| Error::Certificates {
            source_name: source,
            why: error.to_string(),
        })
}

/// Takes any certificate, as libpq does for `prefer` and `require`; the server must still own its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks the chain and lets any name pass.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is what the verifier checks last, so that a wrong name means a good chain.
        match self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_means_what_libpq_means() {
        let of = |query: &str| {
            let url = split(&format!("postgres://me@db/synapps{query}")).unwrap();
            (url.config.get_ssl_mode(), url.mode)
        };

        assert_eq!(of(""), (SslMode::Prefer, Mode::Unchecked));
        assert_eq!(of("?sslmode=disable"), (SslMode::Disable, Mode::Unchecked));
        assert_eq!(of("?sslmode=require"), (SslMode::Require, Mode::Unchecked));
        assert_eq!(
            of("?sslmode=require&sslrootcert=/ca.pem"),
            (
                SslMode::Require,
                Mode::Chain(Roots::File("/ca.pem".to_owned()))
            )
        );
        assert_eq!(
            of("?connect_timeout=3&sslmode=verify-full&sslrootcert=system"),
            (SslMode::Require, Mode::Full(Roots::System))
        );
    }

    #[test]
    fn a_malformed_url_is_refused_without_its_password() {
        for url in [
            "",
            "mysql://me:hunter2@db/synapps",
            "postgres://me:hunter2@db:x/synapps",
            "postgres://me:hunter2@db/synapps?sslmode=allow",
            "postgres://me:hunter2@db/synapps?colour=red",
            "postgres:///synapps?user=me",
            "postgres://db/synapps",
        ] {
            let error = split(url).unwrap_err();

            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn the_directory_of_a_unix_socket_survives() {
        let url = split("postgres://me@%2Ftmp%2Fdir/synapps?options=-c%20jit%3Doff").unwrap();

        assert_eq!(
            url.config.get_hosts(),
            [tokio_postgres::config::Host::Unix("/tmp/dir".into())]
        );
        assert_eq!(url.config.get_options(), Some("-c jit=off"));
    }
}
