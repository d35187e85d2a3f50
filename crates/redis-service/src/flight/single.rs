//! One flight for each key within the process: who joins a flight gets its result; whoever leads may be dropped or panic, and then
//! one of the others leads.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// The flights under way; `T` is what they bring.
pub(crate) struct Flights<T> {
    under_way: Mutex<HashMap<Bytes, Arc<OnceCell<T>>>>,
}

/// A place in a flight.
pub(crate) struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Bytes,
    flight: Arc<OnceCell<T>>,
    /// There was no flight before.
    pub(crate) is_first: bool,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { under_way: Mutex::default() }
    }
}

impl<T: Clone> Flights<T> {
    /// Joins the flight of a key, or begins one.
    pub(crate) fn join(&self, key: &Bytes) -> Seat<'_, T> {
        let mut under_way = self.under_way.lock();
        let known = under_way.get(key).cloned();
        let is_first = known.is_none();
        let flight = known.unwrap_or_else(|| {
            // Copied: the caller's bytes may be a slice of something much longer.
            let flight = Arc::new(OnceCell::new());
            under_way.insert(Bytes::copy_from_slice(key), Arc::clone(&flight));
            flight
        });
        Seat { flights: self, key: key.clone(), flight, is_first }
    }
}

impl<T: Clone> Seat<'_, T> {
    /// The result, from whoever leads: the caller if nobody does.
    pub(crate) async fn result<F: Future<Output = T>>(&self, lead: impl FnOnce() -> F) -> T {
        self.flight.get_or_init(lead).await.clone()
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock();
        // Once there is a result, or when the last one leaves: the map and this seat hold it.
        let is_over = self.flight.initialized() || Arc::strong_count(&self.flight) == 2;
        if is_over && under_way.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_leads_and_all_get_its_result() {
        let (flights, led, key) = (Flights::default(), Cell::new(0), Bytes::from_static(b"k"));
        let lead = || async {
            led.set(led.get() + 1);
            led.get()
        };
        let (first, second) = (flights.join(&key), flights.join(&key));
        assert!(first.is_first && !second.is_first);
        assert_eq!(poll(pin!(second.result(lead))), Poll::Ready(1));
        assert_eq!(poll(pin!(first.result(lead))), Poll::Ready(1));
        drop(first);
        assert!(flights.join(&key).is_first, "a flight that is over is not joined");
    }

    #[test]
    fn a_leader_that_is_dropped_is_followed_by_another() {
        let (flights, key) = (Flights::default(), Bytes::from_static(b"k"));
        let (first, second) = (flights.join(&key), flights.join(&key));
        let mut follows = pin!(second.result(|| async { 2 }));
        {
            let mut leads = pin!(first.result(std::future::pending));
            assert_eq!(poll(leads.as_mut()), Poll::Pending);
            assert_eq!(poll(follows.as_mut()), Poll::Pending);
        }
        assert_eq!(poll(follows), Poll::Ready(2));
    }

    #[test]
    fn nothing_is_left_of_flights_that_were_given_up() {
        let (flights, key) = (Flights::<u8>::default(), Bytes::from_static(b"k"));
        let (first, second) = (flights.join(&key), flights.join(&key));
        drop(first);
        assert_eq!(flights.under_way.lock().len(), 1);
        drop(second);
        assert_eq!(flights.under_way.lock().len(), 0);
    }
}
