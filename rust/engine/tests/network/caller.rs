//! Browsers that are sent tracks and send, on the simulated network.

use std::sync::Arc;

use icey_engine::core::receive::inbox::{Inbox, Writer};
use icey_engine::{Delivery, Estimation, PeerOptions, ReceiverOptions};
use str0m::RtcConfig;

use super::{Link, Network};

impl Network {
    /// A browser that is sent tracks and sends, before its offer; no track is attached.
    pub fn add_caller(
        &mut self,
        link: Link,
        estimation: Estimation,
        delivery: Delivery,
        config: RtcConfig,
    ) -> usize {
        let index = self.add_client(link, config);
        let inbox = Arc::<Inbox>::default();
        let peer = self.browsers[index].peer;
        let sends = PeerOptions {
            estimation,
            max_bitrate: 2_500_000,
            start_bitrate: 2_500_000,
        };
        let received = ReceiverOptions {
            delivery,
            max_bitrate: 0,
        };
        let receives = (Writer::new(inbox.clone()), received);
        self.core
            .create_peer(peer, Some(sends), Some(receives), self.now);
        self.inboxes.insert(index, inbox);
        index
    }
}
