//! SRTP and SRTCP of one peer (RFC 3711, RFC 7714), with the ciphers of str0m's provider.

use str0m::config::CryptoProvider;
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{
    AeadAes128Gcm, AeadAes128GcmCipher, AeadAes256Gcm, AeadAes256GcmCipher, Aes128CmSha1_80,
    Aes128CmSha1_80Cipher, from_feature_flags,
};

use crate::core::forward::keys::KeyingMaterial;

/// Of GCM; longer than that of SHA-1.
const TAG: usize = 16;

const SALT: usize = 12;

const INDEX: usize = 4;

/// Of RTCP, what stays in the clear (RFC 3711 §3.4).
const CLEAR: usize = 8;

/// Says in the index that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// What a cipher of counter mode may write behind its output.
const SCRATCH: usize = 16;

/// Our SRTCP indices begin here. A stream may have sent reports through str0m before, which counts
/// from 0, and no index may be used twice with one key.
const FIRST_INDEX: u32 = 1 << 30;

/// The senders of RTCP whose indices are remembered.
const MAX_SENDERS: usize = 8;

/// The labels of RFC 3711 §4.3.2: encryption, authentication, salt.
const RTP: [u8; 3] = [0, 1, 2];
const RTCP: [u8; 3] = [3, 4, 5];

enum Cipher {
    Gcm {
        cipher: Gcm,
        salt: [u8; SALT],
    },
    Counter {
        cipher: Box<dyn Aes128CmSha1_80Cipher>,
        salt: [u8; Aes128CmSha1_80::SALT_LEN],
        key: [u8; Aes128CmSha1_80::HMAC_KEY_LEN],
    },
}

/// AES-GCM with either size of key: they differ in nothing else here.
enum Gcm {
    Aes128(Box<dyn AeadAes128GcmCipher>),
    Aes256(Box<dyn AeadAes256GcmCipher>),
}

impl Gcm {
    /// `None` if that failed, which it does not with a header and a payload of sane lengths.
    fn encrypt(&mut self, iv: &[u8; SALT], aad: &[u8], body: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::Aes128(cipher) => cipher.encrypt(iv, aad, body, out).ok(),
            Self::Aes256(cipher) => cipher.encrypt(iv, aad, body, out).ok(),
        }
    }

    /// `None` if the tag does not fit.
    fn decrypt(&mut self, iv: &[u8; SALT], aad: &[u8], body: &[u8], out: &mut [u8]) -> Option<()> {
        let done = match self {
            Self::Aes128(cipher) => cipher.decrypt(iv, &[aad], body, out),
            Self::Aes256(cipher) => cipher.decrypt(iv, &[aad], body, out),
        };
        done.ok().map(drop)
    }
}

/// What a peer is sent, and the RTCP that it sends.
pub struct Srtp {
    rtp: Cipher,
    rtcp: Cipher,
    received: Cipher,
    index: u32,
    seen: Vec<Seen>,
}

/// Which indices of a sender have been taken (RFC 3711 §3.3.2).
#[derive(Debug, Clone, Copy)]
struct Seen {
    ssrc: u32,
    highest: u32,
    /// Bit `n`: the one `n` below the highest.
    taken: u64,
}

impl std::fmt::Debug for Srtp {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Srtp").finish_non_exhaustive()
    }
}

impl Srtp {
    /// `None` for a profile that is none of RFC 5764's and RFC 7714's.
    pub fn new(keys: &KeyingMaterial) -> Option<Self> {
        let ours = Master::new(keys, keys.is_client)?;
        let theirs = Master::new(keys, !keys.is_client)?;
        Some(Self {
            rtp: ours.cipher(RTP, true),
            rtcp: ours.cipher(RTCP, true),
            received: theirs.cipher(RTCP, false),
            index: FIRST_INDEX,
            seen: Vec::new(),
        })
    }

    /// Appends the encrypted payload and the tag to an RTP header; `sequence` is past 16 bits.
    /// `false` if that failed, which it does not with a header and a payload of sane lengths.
    pub fn protect(&mut self, packet: &mut Vec<u8>, ssrc: u32, sequence: u64, body: &[u8]) -> bool {
        let head = packet.len();
        let (roc, number) = ((sequence >> 16) as u32, sequence as u16);
        match &mut self.rtp {
            Cipher::Gcm { cipher, salt } => {
                let iv = AeadAes128Gcm::rtp_iv(*salt, ssrc, roc, number);
                packet.resize(head + body.len() + TAG, 0);
                let (header, output) = packet.split_at_mut(head);
                cipher.encrypt(&iv, header, body, output).is_some()
            }
            Cipher::Counter { cipher, salt, key } => {
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, sequence);
                packet.resize(head + body.len() + SCRATCH, 0);
                let is_done = cipher.encrypt(&iv, body, &mut packet[head..]).is_ok();
                let end = head + body.len();
                Aes128CmSha1_80::rtp_hmac(sha1, key, packet, sequence, end);
                packet.truncate(end + Aes128CmSha1_80::HMAC_TAG_LEN);
                is_done
            }
        }
    }

    /// Encrypts a compound RTCP packet.
    pub fn protect_rtcp(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let (clear, body) = plain.split_at_checked(CLEAR)?;
        let ssrc = ssrc_of(clear)?;
        let index = self.index;
        self.index = (index + 1) & !ENCRYPTED;
        let flagged = (index | ENCRYPTED).to_be_bytes();
        let mut packet = clear.to_vec();
        packet.resize(plain.len() + SCRATCH, 0);
        let aad = [clear, &flagged].concat();
        match &mut self.rtcp {
            Cipher::Gcm { cipher, salt } => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                cipher.encrypt(&iv, &aad, body, &mut packet[CLEAR..])?;
                packet.extend_from_slice(&flagged);
            }
            Cipher::Counter { cipher, salt, key } => {
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, index.into());
                cipher.encrypt(&iv, body, &mut packet[CLEAR..]).ok()?;
                packet.truncate(plain.len());
                packet.extend_from_slice(&flagged);
                let end = packet.len();
                packet.resize(end + Aes128CmSha1_80::HMAC_TAG_LEN, 0);
                Aes128CmSha1_80::rtcp_hmac(sha1, key, &mut packet, end);
            }
        }
        Some(packet)
    }

    /// Decrypts a compound RTCP packet; `None` if it is not the peer's, or was there before.
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (front, flagged) = match self.received {
            Cipher::Counter { .. } => {
                let front = packet.split_last_chunk::<{ Aes128CmSha1_80::HMAC_TAG_LEN }>()?;
                front.0.split_last_chunk::<INDEX>()?
            }
            _ => packet.split_last_chunk::<INDEX>()?,
        };
        let flagged = u32::from_be_bytes(*flagged);
        // No WebRTC peer leaves it unencrypted (RFC 8827 §6.5).
        if flagged & ENCRYPTED == 0 {
            return None;
        }
        let index = flagged & !ENCRYPTED;
        let (clear, body) = front.split_at_checked(CLEAR)?;
        let ssrc = ssrc_of(clear)?;
        if !self.is_new(ssrc, index) {
            return None;
        }
        let mut plain = clear.to_vec();
        let aad = [clear, &flagged.to_be_bytes()].concat();
        match &mut self.received {
            Cipher::Gcm { cipher, salt } => {
                let iv = AeadAes128Gcm::rtcp_iv(*salt, ssrc, index);
                plain.resize(CLEAR + body.len().checked_sub(TAG)?, 0);
                cipher.decrypt(&iv, &aad, body, &mut plain[CLEAR..])?;
            }
            Cipher::Counter { cipher, salt, key } => {
                let (signed, tag) = packet.split_at(packet.len() - Aes128CmSha1_80::HMAC_TAG_LEN);
                if !Aes128CmSha1_80::rtcp_verify(sha1, key, signed, tag) {
                    return None;
                }
                let iv = Aes128CmSha1_80::rtp_iv(*salt, ssrc, index.into());
                plain.resize(CLEAR + body.len() + SCRATCH, 0);
                cipher.decrypt(&iv, body, &mut plain[CLEAR..]).ok()?;
                plain.truncate(CLEAR + body.len());
            }
        }
        self.take(ssrc, index);
        Some(plain)
    }

    fn is_new(&self, ssrc: u32, index: u32) -> bool {
        let Some(seen) = self.seen.iter().find(|seen| seen.ssrc == ssrc) else {
            return true;
        };
        match seen.highest.checked_sub(index) {
            Some(age) => age < u64::BITS && seen.taken & (1 << age) == 0,
            None => true,
        }
    }

    fn take(&mut self, ssrc: u32, index: u32) {
        let found = self.seen.iter_mut().find(|seen| seen.ssrc == ssrc);
        let Some(seen) = found else {
            if self.seen.len() == MAX_SENDERS {
                self.seen.remove(0);
            }
            self.seen.push(Seen {
                ssrc,
                highest: index,
                taken: 1,
            });
            return;
        };
        match seen.highest.checked_sub(index) {
            Some(age) => seen.taken |= 1_u64.checked_shl(age).unwrap_or(0),
            None => {
                let step = index - seen.highest;
                seen.taken = seen.taken.checked_shl(step).unwrap_or(0) | 1;
                seen.highest = index;
            }
        }
    }
}

/// The master key and salt of one direction.
struct Master<'a> {
    provider: CryptoProvider,
    profile: SrtpProfile,
    key: &'a [u8],
    salt: &'a [u8],
}

impl<'a> Master<'a> {
    /// Of the DTLS client or the server: both keys come first, then both salts (RFC 5764 §4.2).
    fn new(material: &'a KeyingMaterial, of_client: bool) -> Option<Self> {
        let (key, salt) = match material.profile {
            SrtpProfile::AEAD_AES_128_GCM => (AeadAes128Gcm::KEY_LEN, SALT),
            SrtpProfile::AEAD_AES_256_GCM => (AeadAes256Gcm::KEY_LEN, SALT),
            SrtpProfile::AES128_CM_SHA1_80 => (Aes128CmSha1_80::KEY_LEN, Aes128CmSha1_80::SALT_LEN),
            _ => return None,
        };
        let second = usize::from(!of_client);
        let (keys, salts) = material.material.split_at_checked(2 * key)?;
        Some(Self {
            provider: from_feature_flags(),
            profile: material.profile,
            key: keys.get(second * key..(second + 1) * key)?,
            salt: salts.get(second * salt..(second + 1) * salt)?,
        })
    }

    fn cipher(&self, labels: [u8; 3], encrypts: bool) -> Cipher {
        let [encryption, authentication, salt] = labels;
        let srtp = self.provider.srtp_provider;
        match self.profile {
            SrtpProfile::AEAD_AES_128_GCM => Cipher::Gcm {
                cipher: Gcm::Aes128(
                    srtp.aead_aes_128_gcm()
                        .create_cipher(self.derive(encryption), encrypts),
                ),
                salt: self.derive(salt),
            },
            SrtpProfile::AEAD_AES_256_GCM => Cipher::Gcm {
                cipher: Gcm::Aes256(
                    srtp.aead_aes_256_gcm()
                        .create_cipher(self.derive(encryption), encrypts),
                ),
                salt: self.derive(salt),
            },
            _ => Cipher::Counter {
                cipher: srtp
                    .aes_128_cm_sha1_80()
                    .create_cipher(self.derive(encryption), encrypts),
                salt: self.derive(salt),
                key: self.derive(authentication),
            },
        }
    }

    /// A session key: AES in counter mode over salt and label (RFC 3711 §4.3.3). The key derivation
    /// rate is 0, as in all of WebRTC.
    fn derive<const N: usize>(&self, label: u8) -> [u8; N] {
        let mut input = [0; 16];
        input[..self.salt.len()].copy_from_slice(self.salt);
        input[7] ^= label;
        let mut derived = [0; N];
        for (round, chunk) in derived.chunks_mut(16).enumerate() {
            input[15] = round as u8;
            let mut block = [0; 32]; // a block of output, and what the cipher may pad it with
            let srtp = self.provider.srtp_provider;
            if self.key.len() == AeadAes256Gcm::KEY_LEN {
                srtp.srtp_aes_256_ecb_round(self.key, &input, &mut block);
            } else {
                srtp.srtp_aes_128_ecb_round(self.key, &input, &mut block);
            }
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        derived
    }
}

fn sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    from_feature_flags()
        .sha1_hmac_provider
        .sha1_hmac(key, parts)
}

fn ssrc_of(clear: &[u8]) -> Option<u32> {
    clear
        .last_chunk::<4>()
        .map(|ssrc| u32::from_be_bytes(*ssrc))
}

#[cfg(test)]
mod tests {
    use str0m::config::KeyingMaterial as Material;

    use super::*;

    const PROFILES: [SrtpProfile; 3] = [
        SrtpProfile::AEAD_AES_128_GCM,
        SrtpProfile::AEAD_AES_256_GCM,
        SrtpProfile::AES128_CM_SHA1_80,
    ];

    fn keys(profile: SrtpProfile, is_client: bool) -> KeyingMaterial {
        let bytes: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        KeyingMaterial {
            profile,
            material: Material::new(&bytes),
            is_client,
        }
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b_3() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let master = Master {
            provider: from_feature_flags(),
            profile: SrtpProfile::AES128_CM_SHA1_80,
            key: &key,
            salt: &salt,
        };
        let derived: [u8; 16] = master.derive(0);
        assert_eq!(derived[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let derived: [u8; 14] = master.derive(2);
        assert_eq!(derived[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let derived: [u8; 20] = master.derive(1);
        assert_eq!(derived[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(digits).collect()
    }

    #[test]
    fn the_other_side_reads_reports_once_and_no_changed_ones() {
        for profile in PROFILES {
            let mut us = Srtp::new(&keys(profile, true)).expect("a profile");
            let mut them = Srtp::new(&keys(profile, false)).expect("a profile");
            let plain: Vec<u8> = [0x80, 200, 0, 6].into_iter().chain(0..24).collect();
            let packets: Vec<Vec<u8>> = (0..3)
                .map(|_| us.protect_rtcp(&plain).expect("a packet"))
                .collect();
            for at in 0..packets[0].len() {
                let mut changed = packets[0].clone();
                changed[at] ^= 1;
                assert_eq!(them.unprotect_rtcp(&changed), None, "{profile:?} {at}");
                assert_eq!(them.unprotect_rtcp(&packets[0][..at]), None);
            }
            for i in [2, 0, 1] {
                assert_eq!(them.unprotect_rtcp(&packets[i]), Some(plain.clone()));
                assert_eq!(them.unprotect_rtcp(&packets[i]), None, "a second time");
            }
            assert_eq!(us.unprotect_rtcp(&packets[0]), None, "our own");
        }
    }

    #[test]
    fn old_indices_are_no_longer_taken() {
        let mut us = Srtp::new(&keys(PROFILES[0], true)).expect("a profile");
        let mut them = Srtp::new(&keys(PROFILES[0], false)).expect("a profile");
        let packets: Vec<Vec<u8>> = (0..200)
            .filter_map(|_| us.protect_rtcp(&[0x80, 200, 0, 1, 0, 0, 0, 1]))
            .collect();
        assert!(them.unprotect_rtcp(&packets[100]).is_some());
        assert!(them.unprotect_rtcp(&packets[36]).is_none());
        assert!(them.unprotect_rtcp(&packets[37]).is_some());
        assert!(them.unprotect_rtcp(&packets[199]).is_some());
        assert!(them.unprotect_rtcp(&packets[101]).is_none());
    }
}
