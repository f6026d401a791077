//! What is measured: sealing and opening a credential of a usual size. Randomness is a counter here, as it is the host's in life.

use std::cell::Cell;

use schemas::ids::{ConnectionId, OrgId, ProviderId, Timestamp, UserId};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::envelope::{TenantKey, open, seal};
use crate::place::Place;

/// A key, a place and a credential.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Sealing {
    key: TenantKey,
    ids: (OrgId, ConnectionId, UserId, ProviderId),
    credential: Vec<u8>,
    sealed: String,
    count: Cell<u64>,
}

#[wasm_bindgen]
impl Sealing {
    /// With a credential of so many bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: usize) -> Self {
        let (at, random) = (Timestamp(1), [1; 10]);
        let mut sealing = Self {
            key: TenantKey::new(1, [7; 32].into()),
            ids: (
                OrgId::mint(at, random),
                ConnectionId::mint(at, random),
                UserId::mint(at, random),
                ProviderId::mint(at, random),
            ),
            credential: vec![b'x'; bytes],
            sealed: String::new(),
            count: Cell::new(0),
        };
        sealing.sealed = sealing.make();
        sealing
    }

    /// Seals so many times.
    pub fn seal(&self, times: u32) {
        for _ in 0..times {
            std::hint::black_box(self.make());
        }
    }

    /// Opens so many times.
    pub fn open(&self, times: u32) {
        for _ in 0..times {
            let opened = open(&self.key, &self.place(), std::hint::black_box(&self.sealed));
            assert!(opened.is_ok_and(|plain| plain.len() == self.credential.len()));
        }
    }
}

impl Sealing {
    fn place(&self) -> Place<'_> {
        let (org, connection, owner, provider) = &self.ids;
        Place::Credential { org, connection, owner, provider, version: 1 }
    }

    fn make(&self) -> String {
        let random = |buffer: &mut [u8]| {
            self.count.set(self.count.get() + 1);
            for (byte, new) in buffer.iter_mut().zip(self.count.get().to_le_bytes()) {
                *byte = new;
            }
        };
        seal(&self.key, &self.place(), random, &self.credential).expect("it is short enough")
    }
}
