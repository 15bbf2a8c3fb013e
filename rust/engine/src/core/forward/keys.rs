//! The keys that DTLS has agreed on with a peer.
//!
//! str0m keeps them to itself, but lets its DTLS be replaced. So a peer's DTLS is wrapped in one
//! that does nothing but note the keys (RFC 5764 §4.2) on their way through.

use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use str0m::Rtc;
use str0m::RtcConfig;
use str0m::config::KeyingMaterial as Material;
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, from_feature_flags};

/// The keying material that both sides have (RFC 5764 §4.2).
#[derive(Debug)]
pub struct KeyingMaterial {
    pub profile: SrtpProfile,
    pub material: Material,
    /// Whether we were the DTLS client, whose keys come first.
    pub is_client: bool,
}

/// Where the keys of one peer are once they are known.
#[derive(Debug, Clone, Default)]
pub struct KeySlot(Arc<Mutex<Option<KeyingMaterial>>>);

impl KeySlot {
    /// Takes the keys, if they are known: whoever uses them keeps them.
    pub fn take(&self) -> Option<KeyingMaterial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, keys: KeyingMaterial) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }
}

/// Makes an instance the keys of which can be had.
pub fn build(config: RtcConfig, now: Instant) -> (Rtc, KeySlot) {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            dtls_provider: &TappedProvider,
            ..from_feature_flags()
        })
    });
    let rtc = config.set_crypto_provider(provider.clone()).build(now);
    let keys = NEWEST.take().unwrap_or_default();
    (rtc, keys)
}

thread_local! {
    /// The keys of the DTLS instance that this thread has made last: a provider is `'static`, so it
    /// cannot know for whom it makes one.
    static NEWEST: Cell<Option<KeySlot>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct TappedProvider;

impl DtlsProvider for TappedProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let provider = from_feature_flags().dtls_provider;
        let inner = provider.new_dtls(cert, now, version, mtu)?;
        let keys = KeySlot::default();
        NEWEST.set(Some(keys.clone()));
        Ok(Box::new(TappedDtls { inner, keys }))
    }
}

#[derive(Debug)]
struct TappedDtls {
    inner: Box<dyn DtlsInstance>,
    keys: KeySlot,
}

impl DtlsInstance for TappedDtls {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            self.keys.note(KeyingMaterial {
                profile: *profile,
                material: Material::new(material),
                is_client: self.inner.is_active(),
            });
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
