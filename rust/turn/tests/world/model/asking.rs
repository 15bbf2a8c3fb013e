//! How the model's clients ask.

use std::time::Duration;

use icey_turn::integrity::{Integrity, Key, PasswordAlgorithm};
use icey_turn::message::{Builder, Message, attribute, method};

use super::super::{EPOCH, minted, nonce, plain};
use super::{FORGER, Model, USERS};

impl Model {
    pub(super) fn transaction(&mut self) -> [u8; 12] {
        self.transaction += 1;
        let mut transaction = [0; 12];
        transaction[4..].copy_from_slice(&self.transaction.to_be_bytes());
        transaction
    }

    /// Sends a request with credentials, and gives the code of the answer (0: success), and the answer.
    pub(super) fn ask(
        &mut self,
        client: usize,
        user: usize,
        builder: Builder,
        sha256: bool,
    ) -> (u16, Vec<u8>) {
        let from = self.clients[client];
        let fresh = self.nonces[client]
            .as_ref()
            .is_some_and(|(_, made)| self.world.now - *made < Duration::from_secs(600));
        if !fresh {
            self.challenge(client);
        }
        let request = self.sign(client, user, builder, sha256);
        let _ = self.world.receive(from, &request);
        let mut answers = self.world.take(from);
        assert_eq!(answers.len(), 1, "one answer to one request");
        let answer = answers.remove(0);
        let message = Message::parse(&answer).expect("answers can be read");
        assert!(message.has_fingerprint());
        let code = message.error().map_or(0, |(code, _)| code);
        self.last = Some((from, request, answer.clone()));
        (code, answer)
    }

    pub(super) fn challenge(&mut self, client: usize) {
        let from = self.clients[client];
        let transaction = self.transaction();
        let _ = self
            .world
            .receive(from, &plain(method::ALLOCATE, transaction));
        let answers = self.world.take(from);
        self.nonces[client] = Some((nonce(&answers[0]), self.world.now));
    }

    pub(super) fn sign(
        &self,
        client: usize,
        user: usize,
        builder: Builder,
        sha256: bool,
    ) -> Vec<u8> {
        let nonce = self.nonces[client].as_ref().map(|(nonce, _)| nonce.clone());
        let (username, mut password) = minted(USERS[user]);
        if user == FORGER {
            password = "guessed".into();
        }
        let (algorithm, integrity) = match sha256 {
            true => (PasswordAlgorithm::Sha256, Integrity::Sha256),
            false => (PasswordAlgorithm::Md5, Integrity::Sha1),
        };
        let key = Key::long_term(algorithm, username.as_bytes(), "icey", &password);
        let mut builder = builder
            .attribute(attribute::USERNAME, username.as_bytes())
            .attribute(attribute::REALM, b"icey")
            .attribute(attribute::NONCE, &nonce.unwrap_or_default());
        if sha256 {
            builder = builder
                .attribute(attribute::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0])
                .attribute(attribute::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
        }
        builder.integrity(integrity, &key).finish()
    }

    pub(super) fn expired(&self, user: usize) -> bool {
        EPOCH + USERS[user] <= self.world.unix()
    }

    /// What stands in the way of a request on an allocation.
    pub(super) fn barred(&self, client: usize, user: usize) -> Option<u16> {
        if user == FORGER {
            return Some(401);
        }
        match self.allocations.get(&client) {
            None => Some(437),
            Some(allocation) if allocation.user != user => Some(441),
            Some(_) => None,
        }
    }
}
