//! Vectors of Project Wycheproof.

use chacha20poly1305::aead::{Aead, KeyInit, Nonce, Payload};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use wycheproof::TestResult;
use wycheproof::{aead, hkdf, xdh};
use x25519_dalek::{PublicKey, StaticSecret};

/// How many there are of each.
pub(crate) fn all() -> [(&'static str, usize); 4] {
    [
        ("chacha20_poly1305", seals::<ChaCha20Poly1305>(aead::TestName::ChaCha20Poly1305)),
        ("xchacha20_poly1305", seals::<XChaCha20Poly1305>(aead::TestName::XChaCha20Poly1305)),
        ("hkdf_sha256", derivations()),
        ("x25519", agreements()),
    ]
}

fn seals<A: Aead + KeyInit>(name: aead::TestName) -> usize {
    let set = aead::TestSet::load(name).expect("it is compiled in");
    let mut count = 0;
    for group in set.test_groups {
        for case in group.tests {
            count += 1;
            let about = format!("{name:?} {}: {}", case.tc_id, case.comment);
            let cipher = A::new_from_slice(&case.key).expect("all keys have 32 bytes");
            let Ok(nonce) = Nonce::<A>::try_from(case.nonce.as_slice()) else {
                assert!(case.result == TestResult::Invalid, "{about}: the nonce is of another length");
                continue;
            };
            let sealed = [case.ct.as_slice(), case.tag.as_slice()].concat();
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &case.aad });
            if case.result == TestResult::Invalid {
                assert!(opened.is_err(), "{about}");
                continue;
            }
            assert_eq!(opened.as_deref().ok(), Some(case.pt.as_slice()), "{about}");
            let made = cipher.encrypt(&nonce, Payload { msg: &case.pt, aad: &case.aad });
            assert_eq!(made.ok(), Some(sealed), "{about}");
        }
    }
    count
}

fn derivations() -> usize {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).expect("it is compiled in");
    let mut count = 0;
    for case in set.test_groups.into_iter().flat_map(|group| group.tests) {
        count += 1;
        let mut made = vec![0; case.size];
        let expanded =
            ::hkdf::Hkdf::<sha2::Sha256>::new(Some(&case.salt), &case.ikm).expand(&case.info, &mut made);
        match case.result {
            TestResult::Invalid => assert!(expanded.is_err(), "{}: {}", case.tc_id, case.comment),
            TestResult::Valid | TestResult::Acceptable => {
                assert!(expanded.is_ok() && made == case.okm.as_slice(), "{}: {}", case.tc_id, case.comment);
            }
        }
    }
    count
}

/// Keys of low order give a shared secret of zeros, which is what whoever uses it must look for; hpke does.
fn agreements() -> usize {
    let set = xdh::TestSet::load(xdh::TestName::X25519).expect("it is compiled in");
    let mut count = 0;
    for case in set.test_groups.into_iter().flat_map(|group| group.tests) {
        count += 1;
        let about = format!("{}: {}", case.tc_id, case.comment);
        let bytes = |part: &[u8]| <[u8; 32]>::try_from(part).ok();
        let (Some(private), Some(public)) = (bytes(&case.private_key), bytes(&case.public_key)) else {
            assert!(case.result != TestResult::Valid, "{about}: a key is of another length");
            continue;
        };
        let shared = StaticSecret::from(private).diffie_hellman(&PublicKey::from(public));
        assert_eq!(shared.as_bytes().as_slice(), case.shared_secret.as_slice(), "{about}");
        let contributes = shared.was_contributory();
        assert_eq!(contributes, case.shared_secret.iter().any(|byte| *byte != 0), "{about}");
    }
    count
}
