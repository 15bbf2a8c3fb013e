//! STUN messages (RFC 8489 §5, §14): reading them where they lie, and writing them.
//!
//! Reading checks the whole message once, and never more than that: header, length, every attribute's
//! bounds, FINGERPRINT. Integrity is checked by who knows a key, with [`Message::verify`].

use std::net::{IpAddr, SocketAddr};

use crate::integrity::{Integrity, Key};

/// Tells STUN apart from what came before it (RFC 8489 §5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// Type, length, cookie and transaction.
pub const HEADER: usize = 20;

/// What an answer has in common with its request.
pub type TransactionId = [u8; 12];

/// An IPv4 client of a socket for both families, as it knows itself.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Request, indication, success or error (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// Methods of RFC 8489 §18.2 and RFC 8656 §17.
pub mod method {
    pub const BINDING: u16 = 0x001;
    pub const ALLOCATE: u16 = 0x003;
    pub const REFRESH: u16 = 0x004;
    pub const SEND: u16 = 0x006;
    pub const DATA: u16 = 0x007;
    pub const CREATE_PERMISSION: u16 = 0x008;
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// Attributes of RFC 8489 §18.3 and RFC 8656 §18.
pub mod attribute {
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub const CHANNEL_NUMBER: u16 = 0x000C;
    pub const LIFETIME: u16 = 0x000D;
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub const DATA: u16 = 0x0013;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub const EVEN_PORT: u16 = 0x0018;
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub const DONT_FRAGMENT: u16 = 0x001A;
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    pub const PASSWORD_ALGORITHM: u16 = 0x001D;
    pub const USERHASH: u16 = 0x001E;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const RESERVATION_TOKEN: u16 = 0x0022;
    pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
    pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
    pub const SOFTWARE: u16 = 0x8022;
    pub const FINGERPRINT: u16 = 0x8028;
}

/// Those attributes that must be understood (below 0x8000), and are. Integrity is never among [`Message::attributes`].
const UNDERSTOOD: [u16; 19] = [
    attribute::MAPPED_ADDRESS,
    attribute::USERNAME,
    attribute::ERROR_CODE,
    attribute::UNKNOWN_ATTRIBUTES,
    attribute::CHANNEL_NUMBER,
    attribute::LIFETIME,
    attribute::XOR_PEER_ADDRESS,
    attribute::DATA,
    attribute::REALM,
    attribute::NONCE,
    attribute::XOR_RELAYED_ADDRESS,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::EVEN_PORT,
    attribute::REQUESTED_TRANSPORT,
    attribute::DONT_FRAGMENT,
    attribute::PASSWORD_ALGORITHM,
    attribute::USERHASH,
    attribute::XOR_MAPPED_ADDRESS,
    attribute::RESERVATION_TOKEN,
];

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Not STUN, or cut short, or with more behind it than its length says.
    Malformed,
    /// FINGERPRINT does not fit the rest.
    Fingerprint,
}

/// A message, in the bytes it came in.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    class: Class,
    method: u16,
    bytes: &'a [u8],
    /// Where the attributes end that count: at the first of integrity and fingerprint (RFC 8489 §14.5).
    end: usize,
    integrity: Option<usize>,
    integrity_sha256: Option<usize>,
    fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Reads a message that is all of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (class, method) = parse_header(bytes)?;
        let mut message = Self {
            class,
            method,
            bytes,
            end: bytes.len(),
            integrity: None,
            integrity_sha256: None,
            fingerprint: false,
        };
        let mut offset = HEADER;
        while offset < bytes.len() {
            let (kind, value, next) = attribute_at(bytes, offset).ok_or(ParseError::Malformed)?;
            if message.fingerprint {
                return Err(ParseError::Malformed);
            }
            match kind {
                // "MUST ignore" behind an integrity (§14.5, §14.6), which includes a second one.
                attribute::MESSAGE_INTEGRITY if message.integrity().is_none() => {
                    message.integrity = Some(offset);
                    message.end = message.end.min(offset);
                }
                attribute::MESSAGE_INTEGRITY_SHA256 if message.integrity_sha256.is_none() => {
                    message.integrity_sha256 = Some(offset);
                    message.end = message.end.min(offset);
                }
                attribute::FINGERPRINT => {
                    if value != fingerprint(&bytes[..offset], offset + 8 - HEADER) {
                        return Err(ParseError::Fingerprint);
                    }
                    message.fingerprint = true;
                    message.end = message.end.min(offset);
                }
                _ => {}
            }
            offset = next;
        }
        Ok(message)
    }

    pub fn class(&self) -> Class {
        self.class
    }

    /// One of [`method`], or another.
    pub fn method(&self) -> u16 {
        self.method
    }

    pub fn transaction(&self) -> TransactionId {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&self.bytes[8..HEADER]);
        transaction
    }

    /// The attributes that count, in order: type and value.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = &self.bytes[..self.end];
        let mut offset = HEADER;
        std::iter::from_fn(move || {
            let (kind, value, next) = attribute_at(bytes, offset)?;
            offset = next;
            Some((kind, value))
        })
    }

    /// The first attribute of a type; others do not count (RFC 8489 §14).
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }

    pub fn has(&self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    /// The first attribute of a type as text.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(kind)?).ok()
    }

    /// The first attribute of a type as a number of 32 bits.
    pub fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// The first attribute of a type as an address under the mask of §14.2.
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        self.unmask(self.get(kind)?)
    }

    /// An address under the mask, as the value of one of this message's attributes.
    pub fn unmask(&self, value: &[u8]) -> Option<SocketAddr> {
        unmask_address(value, &self.transaction())
    }

    /// Attributes that must be understood, and are not (RFC 8489 §14).
    pub fn not_understood(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.attributes()
            .map(|(kind, _)| kind)
            .filter(|kind| *kind < 0x8000 && !UNDERSTOOD.contains(kind))
    }

    /// Code and reason of an error answer (§14.8).
    pub fn error(&self) -> Option<(u16, &'a str)> {
        let value = self.get(attribute::ERROR_CODE)?;
        let &[_, _, class, number, ..] = value else {
            return None;
        };
        if !(3..=6).contains(&(class & 7)) || number > 99 {
            return None;
        }
        let reason = std::str::from_utf8(&value[4..]).ok()?;
        Some((u16::from(class & 7) * 100 + u16::from(number), reason))
    }

    /// Which integrity protects the message: the stronger one, where there are two (§9.2.4).
    pub fn integrity(&self) -> Option<Integrity> {
        self.protection().map(|(_, integrity)| integrity)
    }

    /// The same, and where it begins.
    fn protection(&self) -> Option<(usize, Integrity)> {
        let sha256 = self.integrity_sha256.map(|at| (at, Integrity::Sha256));
        sha256.or(self.integrity.map(|at| (at, Integrity::Sha1)))
    }

    /// Whether [`integrity`](Self::integrity) holds under a key.
    pub fn verify(&self, key: &Key) -> bool {
        self.protection().is_some_and(|(offset, integrity)| {
            attribute_at(self.bytes, offset).is_some_and(|(_, value, next)| {
                key.verify(integrity, &self.bytes[..offset], next - HEADER, value)
            })
        })
    }

    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }
}

fn parse_header(bytes: &[u8]) -> Result<(Class, u16), ParseError> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(ParseError::Malformed);
    };
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if kind & 0xC000 != 0
        || header[4..8] != MAGIC_COOKIE
        || !length.is_multiple_of(4)
        || length + HEADER != bytes.len()
    {
        return Err(ParseError::Malformed);
    }
    let class = match (kind & 0x100 != 0, kind & 0x010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    let method = (kind & 0x000F) | ((kind & 0x00E0) >> 1) | ((kind & 0x3E00) >> 2);
    Ok((class, method))
}

/// Type and value of the attribute that begins at `offset`, and where the next one does.
fn attribute_at(bytes: &[u8], offset: usize) -> Option<(u16, &[u8], usize)> {
    let head = bytes.get(offset..)?.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let value = bytes.get(offset + 4..offset + 4 + length)?;
    let next = offset + 4 + length.next_multiple_of(4);
    (next <= bytes.len()).then_some((u16::from_be_bytes([head[0], head[1]]), value, next))
}

/// CRC-32 over a message up to its FINGERPRINT (§14.7); `length` is what the header is to say.
fn fingerprint(before: &[u8], length: usize) -> [u8; 4] {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    digest.update(&before[..2]);
    digest.update(&(length as u16).to_be_bytes());
    digest.update(&before[4..]);
    (digest.finalize() ^ 0x5354_554E).to_be_bytes()
}

/// The mask of §14.2: cookie, then transaction.
fn mask(transaction: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(transaction);
    mask
}

fn unmask_address(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let mask = mask(transaction);
    let (&[_, family, high, low], address) = value.split_first_chunk::<4>()?;
    let mut octets = [0; 16];
    for (octet, (masked, mask)) in octets.iter_mut().zip(address.iter().zip(mask)) {
        *octet = masked ^ mask;
    }
    let [a, b, c, d, ..] = octets;
    let ip: IpAddr = match (family, address.len()) {
        (1, 4) => [a, b, c, d].into(),
        (2, 16) => octets.into(),
        _ => return None,
    };
    let port = u16::from_be_bytes([high ^ mask[0], low ^ mask[1]]);
    Some(SocketAddr::new(ip, port))
}

/// An address under the mask of §14.2, and how many bytes of the array it is.
fn mask_address(address: SocketAddr, transaction: &TransactionId) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&ip.octets());
            8
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..20].copy_from_slice(&ip.octets());
            20
        }
    };
    let mask = mask(transaction);
    let [high, low] = address.port().to_be_bytes();
    value[2..4].copy_from_slice(&[high ^ mask[0], low ^ mask[1]]);
    for (octet, mask) in value[4..length].iter_mut().zip(mask) {
        *octet ^= mask;
    }
    (value, length)
}

/// Writes one message.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    transaction: TransactionId,
}

impl Builder {
    pub fn new(class: Class, method: u16, transaction: TransactionId) -> Self {
        let class = match class {
            Class::Request => 0x000,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        };
        let kind = (method & 0x000F) | ((method & 0x0070) << 1) | ((method & 0x0F80) << 2) | class;
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(transaction);
        Self { bytes, transaction }
    }

    /// An error answer with its code (§14.8).
    pub fn error(method: u16, transaction: TransactionId, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(reason.as_bytes());
        Self::new(Class::Error, method, transaction).attribute(attribute::ERROR_CODE, &value)
    }

    /// Adds an attribute. A value that a message cannot hold is the caller's mistake.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds an address under the mask of §14.2.
    pub fn address(self, kind: u16, address: SocketAddr) -> Self {
        let (value, length) = mask_address(address, &self.transaction);
        self.attribute(kind, &value[..length])
    }

    /// Adds MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 over all that is there.
    pub fn integrity(self, integrity: Integrity, key: &Key) -> Self {
        let (kind, length) = match integrity {
            Integrity::Sha1 => (attribute::MESSAGE_INTEGRITY, 20),
            Integrity::Sha256 => (attribute::MESSAGE_INTEGRITY_SHA256, 32),
        };
        let tag = key.sign(
            integrity,
            &self.bytes,
            self.bytes.len() + 4 + length - HEADER,
        );
        self.attribute(kind, tag.as_ref())
    }

    /// The whole message, as it is.
    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.bytes.len() - HEADER) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }

    /// The whole message with a FINGERPRINT.
    pub fn finish_with_fingerprint(self) -> Vec<u8> {
        let value = fingerprint(&self.bytes, self.bytes.len() + 8 - HEADER);
        self.attribute(attribute::FINGERPRINT, &value).finish()
    }
}

/// The head of a Data indication (RFC 8656 §11.4): all but the payload and its padding.
///
/// Gives the head and its length; `None` where the payload does not fit a message.
pub(crate) fn data_indication_head(
    transaction: TransactionId,
    peer: SocketAddr,
    payload: usize,
) -> Option<([u8; crate::output::MAX_HEAD], usize)> {
    let (address, address_length) = mask_address(peer, &transaction);
    let head_length = HEADER + 4 + address_length + 4;
    let length = u16::try_from(head_length - HEADER + payload.next_multiple_of(4)).ok()?;
    let mut head = [0; crate::output::MAX_HEAD];
    head[..2].copy_from_slice(&0x0017u16.to_be_bytes());
    head[2..4].copy_from_slice(&length.to_be_bytes());
    head[4..8].copy_from_slice(&MAGIC_COOKIE);
    head[8..HEADER].copy_from_slice(&transaction);
    head[20..22].copy_from_slice(&attribute::XOR_PEER_ADDRESS.to_be_bytes());
    head[22..24].copy_from_slice(&(address_length as u16).to_be_bytes());
    head[24..24 + address_length].copy_from_slice(&address[..address_length]);
    let data = 24 + address_length;
    head[data..data + 2].copy_from_slice(&attribute::DATA.to_be_bytes());
    head[data + 2..data + 4].copy_from_slice(&(payload as u16).to_be_bytes());
    Some((head, head_length))
}
