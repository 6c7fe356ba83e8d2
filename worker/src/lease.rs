//! The lease by which one tab per device and campaign acts for it, by Web Locks.

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

#[wasm_bindgen]
extern "C" {
    /// `navigator.locks`, which `web-sys` has only behind its unstable interfaces.
    pub(crate) type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        callback: &JsValue,
    ) -> Result<Promise, JsValue>;
}

/// This tab acts for the device in a campaign; the next tab in line does once this is dropped, or its tab closed.
pub(crate) struct Lease {
    /// Settles the promise for as long as which the browser holds the lock.
    release: Function,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Resolving a promise does not throw.
        let _resolved = self.release.call0(&JsValue::UNDEFINED);
    }
}

/// Whether to wait for a lock that another has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Wait, however long that takes.
    Wait,
    /// Go without.
    GoOn,
}

/// The lock manager of a navigator.
pub(crate) fn manager(navigator: &JsValue) -> Result<LockManager, JsValue> {
    let locks = Reflect::get(navigator, &"locks".into())?;
    if locks.is_undefined() {
        return Err(JsValue::from_str("this browser has no Web Locks"));
    }
    Ok(locks.unchecked_into())
}

/// Takes the lock of this name.
pub(crate) async fn take(
    locks: &LockManager,
    name: &str,
    patience: Patience,
) -> Result<Option<Lease>, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"ifAvailable".into(), &(patience == Patience::GoOn).into())?;
    let (sender, granted) = oneshot::channel();
    let sender = Rc::new(RefCell::new(Some(sender)));
    let on_grant = Rc::clone(&sender);
    let callback = Closure::once_into_js(move |lock: JsValue| -> Promise {
        let (held, lease) = if lock.is_null() { (Promise::resolve(&lock), None) } else { hold() };
        if let Some(sender) = on_grant.borrow_mut().take() {
            // With nobody waiting any more the lease is dropped, and the lock with it.
            let _gone = sender.send(Ok(lease));
        }
        held
    });
    let request = locks.request(name, &options, &callback)?;
    spawn_local(async move {
        // The request ends with the lease, or fails before there is one.
        if let Err(error) = JsFuture::from(request).await
            && let Some(sender) = sender.borrow_mut().take()
        {
            let _gone = sender.send(Err(error));
        }
    });
    granted.await.unwrap_or(Ok(None))
}

/// A promise, and the lease that settles it.
fn hold() -> (Promise, Option<Lease>) {
    let mut lease = None;
    let held = Promise::new(&mut |resolve, _reject| lease = Some(Lease { release: resolve }));
    (held, lease)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn locks() -> LockManager {
        manager(&Reflect::get(&js_sys::global(), &"navigator".into()).unwrap()).unwrap()
    }

    #[wasm_bindgen_test]
    async fn only_one_has_the_lease_and_the_next_follows() {
        let locks = locks();
        let first = take(&locks, "test", Patience::GoOn).await.unwrap();
        assert!(first.is_some());
        assert!(take(&locks, "test", Patience::GoOn).await.unwrap().is_none());
        assert!(take(&locks, "another", Patience::GoOn).await.unwrap().is_some());
        let waiting = take(&locks, "test", Patience::Wait);
        let (lease, ()) = futures::join!(waiting, async { drop(first) });
        assert!(lease.unwrap().is_some());
    }

    #[wasm_bindgen_test]
    async fn a_lease_that_nobody_waits_for_is_given_back() {
        let locks = locks();
        let first = take(&locks, "given-back", Patience::GoOn).await.unwrap();
        {
            let mut waiting = Box::pin(take(&locks, "given-back", Patience::Wait));
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        drop(first);
        assert!(take(&locks, "given-back", Patience::Wait).await.unwrap().is_some());
    }
}
