//! Vectors that stand in RFCs.

use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, XChaCha20Poly1305, XNonce};
use hpke::aead::ChaCha20Poly1305 as HpkeAead;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256 as Kem;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};

use crate::hex;

/// How many there are of each.
pub(crate) fn all() -> [(&'static str, usize); 4] {
    [("RFC 8439", chacha()), ("XChaCha draft", xchacha()), ("RFC 5869", hkdf()), ("RFC 9180", hpke())]
}

const TEXT: &[u8] =
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";

fn key() -> Key {
    let bytes: [u8; 32] = std::array::from_fn(|index| 0x80 + u8::try_from(index).expect("below 32"));
    Key::from(bytes)
}

fn both_ways<A: Aead>(cipher: &A, nonce: &chacha20poly1305::aead::Nonce<A>, sealed: &str) {
    let aad = hex("50515253c0c1c2c3c4c5c6c7");
    let made = cipher.encrypt(nonce, Payload { msg: TEXT, aad: &aad }).expect("it seals");
    assert_eq!(made, hex(sealed));
    assert_eq!(cipher.decrypt(nonce, Payload { msg: &made, aad: &aad }).expect("it opens"), TEXT);
}

/// RFC 8439 §2.8.2.
fn chacha() -> usize {
    let nonce: [u8; 12] = hex("070000004041424344454647").try_into().expect("12 bytes");
    let sealed = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6\
        a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116\
        1ae10b594f09e26a7e902ecbd0600691";
    both_ways(&ChaCha20Poly1305::new(&key()), &Nonce::from(nonce), sealed);
    1
}

/// draft-irtf-cfrg-xchacha-03 §A.3.1.
fn xchacha() -> usize {
    let nonce: [u8; 24] =
        hex("404142434445464748494a4b4c4d4e4f5051525354555657").try_into().expect("24 bytes");
    let sealed = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96\
        b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e\
        c0875924c1c7987947deafd8780acf49";
    both_ways(&XChaCha20Poly1305::new(&key()), &XNonce::from(nonce), sealed);
    1
}

/// RFC 5869 appendix A.1 to A.3.
fn hkdf() -> usize {
    let range = |first: u8, last: u8| (first..=last).collect::<Vec<u8>>();
    let cases = [
        (
            vec![0x0b; 22],
            range(0x00, 0x0c),
            range(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0x00, 0x4f),
            range(0x60, 0xaf),
            range(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8\
             367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            Vec::new(),
            Vec::new(),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (secret, salt, info, expected) in &cases {
        let expected = hex(expected);
        let mut made = vec![0; expected.len()];
        hkdf::Hkdf::<sha2::Sha256>::new(Some(salt), secret).expand(info, &mut made).expect("short enough");
        assert_eq!(made, expected);
    }
    cases.len()
}

/// RFC 9180 appendix A.2.1: `DHKEM(X25519, HKDF-SHA256)`, `HKDF-SHA256`, `ChaCha20Poly1305`, base mode, as containers get credentials by.
fn hpke() -> usize {
    let (private, public) =
        Kem::derive_keypair(&hex("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df"));
    // The RFC writes it as it was derived, hpke as it is used (RFC 7748 §5).
    let derived = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let derived = <Kem as hpke::Kem>::PrivateKey::from_bytes(&derived).expect("a key");
    assert_eq!(private.to_bytes(), derived.to_bytes());
    assert_eq!(
        public.to_bytes().as_slice(),
        hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
    );
    let info = hex("4f6465206f6e2061204772656369616e2055726e");
    let mut drawn =
        Drawn(hex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b").into_iter());
    let (encapped, mut sender) =
        hpke::setup_sender_with_rng::<HpkeAead, HkdfSha256, Kem>(&OpModeS::Base, &public, &info, &mut drawn)
            .expect("it is a key");
    assert_eq!(
        encapped.to_bytes().as_slice(),
        hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
    );
    let mut context =
        hpke::setup_receiver::<HpkeAead, HkdfSha256, Kem>(&OpModeR::Base, &private, &encapped, &info)
            .expect("it is for this key");
    let messages = [
        (
            "436f756e742d30",
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        ),
        (
            "436f756e742d31",
            "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
        ),
    ];
    for (aad, sealed) in messages {
        let text = b"Beauty is truth, truth beauty";
        assert_eq!(sender.seal(text, &hex(aad)).expect("it seals"), hex(sealed));
        assert_eq!(context.open(&hex(sealed), &hex(aad)).expect("it opens"), text);
    }
    let exports = [
        ("", "4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e"),
        ("00", "8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69"),
        ("54657374436f6e74657874", "5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53"),
    ];
    for (exporter, expected) in exports {
        let mut made = [0; 32];
        context.export(&hex(exporter), &mut made).expect("short enough");
        assert_eq!(made.as_slice(), hex(expected));
    }
    3 + messages.len() + exports.len()
}

/// What a vector says was drawn.
struct Drawn(std::vec::IntoIter<u8>);

impl TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        for byte in buffer {
            *byte = self.0.next().expect("no more is drawn than the vector says");
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}
