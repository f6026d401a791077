//! The consents that a provider was given, and the codes and tokens that came of each.

use std::collections::{BTreeMap, HashMap};

use super::conduct::{Conduct, Rotation};
use crate::programs::random_key;

/// What a code was given out for.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) subject: String,
    pub(super) resource: Option<String>,
    /// The consent, once it was redeemed.
    redeemed: Option<usize>,
}

/// A consent.
#[derive(Debug, Clone)]
struct Family {
    subject: String,
    scopes: Vec<String>,
    ended: bool,
    refresh: Option<String>,
    /// Refresh tokens of before, and when each was replaced.
    replaced: HashMap<String, u64>,
    /// Access tokens, and when each ends.
    access: BTreeMap<String, u64>,
}

/// What a client gets.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) subject: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Grants {
    codes: HashMap<String, Code>,
    families: Vec<Family>,
    given: Vec<String>,
}

impl Code {
    pub(super) fn new(
        query: &BTreeMap<String, String>,
        scopes: Vec<String>,
        (client, subject): (&str, &str),
    ) -> Self {
        Self {
            client: client.to_owned(),
            redirect_uri: query["redirect_uri"].clone(),
            challenge: query.get("code_challenge").cloned(),
            nonce: query.get("nonce").cloned(),
            scopes,
            subject: subject.to_owned(),
            resource: query.get("resource").cloned(),
            redeemed: None,
        }
    }
}

impl Grants {
    /// Gives a code out.
    pub(super) fn code(&mut self, code: Code) -> String {
        let secret = self.secret("co");
        self.codes.insert(secret.clone(), code);
        secret
    }

    /// What a code is for. Whoever shows one again ends what came of it (RFC 6749 §4.1.2).
    pub(super) fn look(&mut self, code: &str) -> Option<Code> {
        let found = self.codes.get(code)?.clone();
        match found.redeemed {
            Some(family) => {
                self.families[family].ended = true;
                None
            }
            None => Some(found),
        }
    }

    /// Redeems a code.
    pub(super) fn redeem(&mut self, code: &str, conduct: &Conduct, now: u64) -> Issued {
        let index = self.families.len();
        let found = self.codes.get_mut(code).unwrap();
        found.redeemed = Some(index);
        let found = found.clone();
        let offline = conduct.offline_scope.is_none_or(|needed| found.scopes.iter().any(|one| one == needed));
        self.families.push(Family {
            subject: found.subject,
            scopes: found.scopes,
            ended: false,
            refresh: None,
            replaced: HashMap::new(),
            access: BTreeMap::new(),
        });
        if conduct.refreshable && offline {
            self.families[index].refresh = Some(self.secret("rt"));
        }
        self.issue(index, conduct, now)
    }

    /// Takes a refresh token.
    pub(super) fn refresh(&mut self, token: &str, conduct: &Conduct, now: u64) -> Option<Issued> {
        let is_of =
            |family: &Family| family.refresh.as_deref() == Some(token) || family.replaced.contains_key(token);
        let index = self.families.iter().position(is_of)?;
        if self.families[index].ended {
            return None;
        }
        if let Some(replaced) = self.families[index].replaced.get(token).copied() {
            match conduct.rotation {
                Rotation::Grace(grace) if now <= replaced + grace.as_secs() => {
                    return Some(self.issue(index, conduct, now));
                }
                Rotation::KillsFamily => self.families[index].ended = true,
                Rotation::Never | Rotation::Always | Rotation::Grace(_) => {}
            }
            return None;
        }
        if conduct.rotation != Rotation::Never {
            let new = self.secret("rt");
            let old = self.families[index].refresh.replace(new).unwrap();
            self.families[index].replaced.insert(old, now);
        }
        if conduct.ends_old_access {
            self.families[index].access.clear();
        }
        let mut issued = self.issue(index, conduct, now);
        if conduct.rotation == Rotation::Never {
            issued.refresh = None;
        }
        Some(issued)
    }

    fn issue(&mut self, index: usize, conduct: &Conduct, now: u64) -> Issued {
        let access = self.secret("at");
        let family = &mut self.families[index];
        family.access.insert(access.clone(), now + conduct.lives);
        Issued {
            access,
            refresh: family.refresh.clone(),
            scopes: family.scopes.clone(),
            subject: family.subject.clone(),
        }
    }

    /// Whose access token this is, if it is good.
    pub(super) fn subject(&self, access: &str, now: u64) -> Option<String> {
        let good =
            |family: &&Family| !family.ended && family.access.get(access).is_some_and(|end| now < *end);
        self.families.iter().find(good).map(|family| family.subject.clone())
    }

    /// Ends the consent that a token came of. Answers whether there is one.
    pub(super) fn end(&mut self, token: &str) -> bool {
        let is_of = |family: &&mut Family| {
            family.refresh.as_deref() == Some(token) || family.access.contains_key(token)
        };
        self.families.iter_mut().find(is_of).is_some_and(|family| !std::mem::replace(&mut family.ended, true))
    }

    pub(super) fn end_all(&mut self) {
        self.families.iter_mut().for_each(|family| family.ended = true);
    }

    pub(super) fn expire(&mut self, now: u64) {
        self.families.iter_mut().flat_map(|family| family.access.values_mut()).for_each(|end| *end = now);
    }

    pub(super) fn alive(&self) -> usize {
        self.families.iter().filter(|family| !family.ended).count()
    }

    pub(super) fn access_of(&self, subject: &str, now: u64) -> Vec<String> {
        let of = self.families.iter().filter(|family| !family.ended && family.subject == subject);
        of.flat_map(|family| &family.access)
            .filter(|(_, end)| now < **end)
            .map(|(token, _)| token.clone())
            .collect()
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        self.given.clone()
    }

    fn secret(&mut self, kind: &str) -> String {
        let secret = format!("canary-{kind}-{}", random_key());
        self.given.push(secret.clone());
        secret
    }
}
