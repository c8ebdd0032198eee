//! Saying that this process is there, for people who look after several.

use std::time::Duration;

use dripline_store::ProcessSeen;
use tokio::sync::watch;

use crate::{
    engine::Engine,
    error::{Result, While},
    outage::{Outage, Patience},
};

/// How long the end of a process waits to have said goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

impl Engine {
    /// Says that this process is there until it stops: again and again, or once where the store asks for no more.
    pub(crate) async fn be_seen_forever(
        &self,
        outage: &Outage,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        let process = ProcessSeen {
            claimant: self.deliverer.claimant().clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            work: self.options.work,
            started_at: self.clock.now(),
        };
        let mut patience = Patience::new(outage);
        while !*stopped.borrow_and_update() {
            let said = self.store.seen(&process, self.clock.as_ref()).await;
            let said = match said.while_doing("say that this process is there") {
                // Nothing depends on it, so it is no reason to stop.
                Err(error) if !error.is_transient() => {
                    tracing::warn!(%error, "others do not see this process");
                    Ok(())
                }
                said => said,
            };
            if patience.bear(said, &mut stopped).await?.is_some() {
                let pause = async {
                    match self.store.presence_period() {
                        Some(period) => tokio::time::sleep(period).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = pause => {}
                    // An error means that the sender is gone, which ends the loop as well.
                    _ = stopped.changed() => {}
                }
            }
        }
        Ok(())
    }

    /// Says that this process ends.
    pub(crate) async fn be_gone(&self) {
        let goodbye = self.store.gone(self.deliverer.claimant());
        if !matches!(tokio::time::timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
            tracing::info!("ended without a goodbye; this process is forgotten in a day");
        }
    }
}
