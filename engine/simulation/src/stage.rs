//! Where a simulation takes place.

use std::sync::Arc;

use dripline_delivery::{Deliverer, DeliveryConfig, Rehearsal, Transport};
use dripline_model::{Clock, DrivenClock};
use dripline_plugin_host::Host;
use dripline_runtime::{Engine, Options};
use dripline_store::Store;
use jiff::tz::TimeZone;

use crate::error::{Result, While};

/// An engine over a store of its own, on a clock that is driven, from which nothing leaves.
pub struct Stage {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<DrivenClock>,
    pub(crate) rehearsal: Rehearsal,
    pub(crate) zone: TimeZone,
}

impl Stage {
    /// An engine over `store`, in which the workflows are published by now. Whatever `delivery` says of servers, nothing is
    /// sent; its sender is that of the mails.
    ///
    /// # Errors
    /// When the store holds what cannot be run, or the sender is none.
    pub async fn set(
        store: Arc<dyn Store>,
        host: Host,
        clock: Arc<DrivenClock>,
        delivery: DeliveryConfig,
        options: Options,
    ) -> Result<Self> {
        let rehearsal = Rehearsal::default();
        let config = DeliveryConfig { transport: Transport::Rehearsal(rehearsal.clone()), ..delivery };
        let engine_clock: Arc<dyn Clock> = clock.clone();
        let deliverer = Deliverer::new(Arc::clone(&store), Arc::clone(&engine_clock), config)
            .while_doing("set the simulation up")?;
        let zone = options.time_zone.clone();
        let engine = Engine::start(Arc::clone(&store), host, engine_clock, deliverer, options)
            .await
            .while_doing("start the engine")?;
        Ok(Self { store, engine, clock, rehearsal, zone })
    }

    /// The store, to ask what happened.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The zone in which days are counted.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}
