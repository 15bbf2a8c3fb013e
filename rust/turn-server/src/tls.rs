//! TLS for `turns:`: the server's certificate, and the probe that accepts no other.

use std::path::Path;
use std::sync::Arc;

use icey_udp::OpenError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
};

/// What a server shows: the chain of one PEM file, the key of another.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, OpenError> {
    let chain = chain(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| refuse(key, &error))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| refuse(certificate, &error))?;
    Ok(Arc::new(config))
}

/// A client that accepts the first certificate of this PEM file and no other.
pub fn client(certificate: &Path) -> Result<Arc<ClientConfig>, OpenError> {
    let provider = provider();
    let pinned = chain(certificate)?.into_iter().next();
    let verifier = Pinned {
        certificate: pinned.ok_or_else(|| refuse(certificate, &"no certificate in it"))?,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(certificate, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Bytes that nobody can guess.
pub fn random_key() -> Result<[u8; 32], OpenError> {
    let mut key = [0; 32];
    provider()
        .secure_random
        .fill(&mut key)
        .map_err(|_| OpenError::System("the system gives no random bytes".into()))?;
    Ok(key)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(path, &error))?;
    if chain.is_empty() {
        return Err(refuse(path, &"no certificate in it"));
    }
    Ok(chain)
}

fn refuse(path: &Path, why: &dyn std::fmt::Display) -> OpenError {
    OpenError::System(format!("{} cannot be used for TLS: {why}", path.display()))
}

/// The server that is probed is our own: what counts is that it shows the certificate it was
/// given, whoever signed that one, for whatever name.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
