//! The tab's store, in IndexedDB.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use idb::builder::{DatabaseBuilder, ObjectStoreBuilder};
use idb::{Database, Error, KeyRange, ObjectStore, Query, Transaction, TransactionMode};
use js_sys::Uint8Array;
use lichen_record::{Cid, MAX_BLOB};
use wasm_bindgen::{JsCast, JsValue};

use crate::blobs::{Blobs, StoreError, check_get, check_put};

/// Blobs: content id as text → `Uint8Array`.
const BLOBS: &str = "blobs";

/// Everything small that is not content-addressed, such as the account's `CryptoKeyPair`: name → any structured value.
const VALUES: &str = "values";

/// Version of the layout above.
const LAYOUT: u32 = 1;

/// A browser's store, per origin: blobs by content id, and named values.
///
/// What a finished call has written survives a reload and a crash of the tab. The browser may drop all of it at once
/// when the device runs out of room, or when its person clears the site's data: the connection is closed then, and the
/// next call opens a new one, to a database that is empty. A call that nobody waits for any longer goes on to its end: the
/// browser would otherwise call what is no longer there, and a tab takes that for a fault of its own.
pub struct IndexedDb(Rc<Connection>);

struct Connection {
    name: String,
    database: RefCell<Rc<Database>>,
}

impl IndexedDb {
    /// Opens the database of this name, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Medium`] if the browser keeps nothing here, as in some private windows.
    pub async fn open(name: &str) -> Result<Self, StoreError> {
        let name = name.to_owned();
        to_the_end(async move {
            let database = connect(&name).await.map_err(|error| medium(&error))?;
            Ok(Self(Rc::new(Connection { name, database: RefCell::new(Rc::new(database)) })))
        })
        .await
    }

    /// The value kept under this name.
    ///
    /// # Errors
    /// [`StoreError::Medium`] if the browser fails.
    pub async fn value(&self, name: &str) -> Result<Option<JsValue>, StoreError> {
        self.read(VALUES, name).await
    }

    /// Keeps a value under this name, in place of what was there.
    ///
    /// # Errors
    /// [`StoreError::Medium`] if the browser fails, has no room, or cannot keep such a value.
    pub async fn set_value(&self, name: &str, value: &JsValue) -> Result<(), StoreError> {
        self.write(VALUES, name, value).await
    }

    /// Keeps a value under this name unless one is there, and returns what is there now.
    ///
    /// # Errors
    /// [`StoreError::Medium`] if the browser fails, has no room, or cannot keep such a value.
    pub async fn value_or_insert(&self, name: &str, value: &JsValue) -> Result<JsValue, StoreError> {
        let (name, value) = (JsValue::from_str(name), value.clone());
        self.with(async move |database: &Database| {
            // One transaction, so that two tabs at once agree on whose value it is.
            let transaction = database.transaction(&[VALUES], TransactionMode::ReadWrite)?;
            let store = transaction.object_store(VALUES)?;
            let held = store.get(name.clone())?.await?;
            if held.is_none() {
                put(&store, &name, &value).await?;
            }
            finish(transaction).await?;
            Ok(held.unwrap_or_else(|| value.clone()))
        })
        .await
    }

    /// The names that begin so and the values kept under them, in the order of names.
    ///
    /// # Errors
    /// [`StoreError::Medium`] if the browser fails.
    pub async fn values(&self, prefix: &str) -> Result<Vec<(String, JsValue)>, StoreError> {
        // Names are compared by UTF-16 units, and no name has one above this.
        let [first, last] = [JsValue::from_str(prefix), JsValue::from_str(&format!("{prefix}\u{ffff}"))];
        self.with(async move |database: &Database| {
            let store = database.transaction(&[VALUES], TransactionMode::ReadOnly)?.object_store(VALUES)?;
            let range = KeyRange::bound(&first, &last, None, None)?;
            let names = store.get_all_keys(Some(Query::KeyRange(range.clone())), None)?;
            let values = store.get_all(Some(Query::KeyRange(range)), None)?;
            let (names, values) = (names.await?, values.await?);
            Ok(names.iter().filter_map(JsValue::as_string).zip(values).collect())
        })
        .await
    }

    async fn read(&self, store: &'static str, key: &str) -> Result<Option<JsValue>, StoreError> {
        let key = JsValue::from_str(key);
        self.with(async move |database: &Database| {
            let store = database.transaction(&[store], TransactionMode::ReadOnly)?.object_store(store)?;
            store.get(key.clone())?.await
        })
        .await
    }

    async fn write(&self, store: &'static str, key: &str, value: &JsValue) -> Result<(), StoreError> {
        let (key, value) = (JsValue::from_str(key), value.clone());
        self.with(async move |database: &Database| {
            let transaction = database.transaction(&[store], TransactionMode::ReadWrite)?;
            put(&transaction.object_store(store)?, &key, &value).await?;
            finish(transaction).await?;
            Ok(())
        })
        .await
    }

    /// Does this with the open database, to its end.
    async fn with<T: 'static>(
        &self,
        work: impl AsyncFn(&Database) -> Result<T, Error> + 'static,
    ) -> Result<T, StoreError> {
        let connection = Rc::clone(&self.0);
        to_the_end(async move { connection.with(work).await }).await
    }
}

impl Connection {
    /// Does this with the open database. Where it fails because the browser has closed the connection meanwhile, opens a
    /// new one and does it once more.
    async fn with<T>(&self, work: impl AsyncFn(&Database) -> Result<T, Error>) -> Result<T, StoreError> {
        let database = Rc::clone(&self.database.borrow());
        let error = match work(&database).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if is_open(&database) {
            return Err(medium(&error));
        }
        let database = self.open_again(&database).await.map_err(|error| medium(&error))?;
        work(&database).await.map_err(|error| medium(&error))
    }

    /// The database's connection in place of a closed one; calls that found it closed together share one.
    async fn open_again(&self, closed: &Rc<Database>) -> Result<Rc<Database>, Error> {
        let is_replaced = || !Rc::ptr_eq(&self.database.borrow(), closed);
        if !is_replaced() {
            let fresh = connect(&self.name).await?;
            if is_replaced() {
                fresh.close();
            } else {
                self.database.replace(Rc::new(fresh));
            }
        }
        Ok(Rc::clone(&self.database.borrow()))
    }
}

impl Blobs for IndexedDb {
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = self.read(BLOBS, &cid.to_string()).await? else {
            return Ok(None);
        };
        let bytes: Uint8Array = value.dyn_into().map_err(|_other_type| StoreError::Damaged { cid: *cid })?;
        if bytes.length() as usize > MAX_BLOB {
            return Err(StoreError::Damaged { cid: *cid });
        }
        check_get(cid, bytes.to_vec()).map(Some)
    }

    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        check_put(cid, bytes)?;
        self.write(BLOBS, &cid.to_string(), &Uint8Array::from(bytes)).await
    }

    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        let key = JsValue::from_str(&cid.to_string());
        self.with(async move |database: &Database| {
            let store = database.transaction(&[BLOBS], TransactionMode::ReadOnly)?.object_store(BLOBS)?;
            Ok(store.get_key(key.clone())?.await?.is_some())
        })
        .await
    }

    async fn remove(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let keys: Vec<JsValue> = cids.iter().map(|cid| JsValue::from_str(&cid.to_string())).collect();
        self.with(async move |database: &Database| {
            // One transaction: each costs more than what is done in it.
            let transaction = database.transaction(&[BLOBS], TransactionMode::ReadWrite)?;
            let store = transaction.object_store(BLOBS)?;
            let forgotten =
                keys.iter().map(|key| store.delete(key.clone())).collect::<Result<Vec<_>, _>>()?;
            for request in forgotten {
                request.await?;
            }
            finish(transaction).await?;
            Ok(())
        })
        .await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.database.borrow().close();
    }
}

/// Opens the database of this name, or makes it.
async fn connect(name: &str) -> Result<Database, Error> {
    let mut database = DatabaseBuilder::new(name)
        .version(LAYOUT)
        .add_object_store(ObjectStoreBuilder::new(BLOBS))
        .add_object_store(ObjectStoreBuilder::new(VALUES))
        .build()
        .await?;
    // A later build in another tab must be able to change the layout, and anybody to delete all of it.
    database.on_version_change(|event| {
        if let Ok(database) = idb::event::DatabaseEvent::database(&event) {
            database.close();
        }
    });
    Ok(database)
}

/// Whether the connection can be used: one that the browser has closed begins no transaction.
fn is_open(database: &Database) -> bool {
    database.transaction(&[VALUES], TransactionMode::ReadOnly).is_ok()
}

/// Waits until what was written is kept. The browser finds out only then whether it has room, and aborts if not: nothing of
/// the transaction is kept then, though each of its parts went well.
async fn finish(transaction: Transaction) -> Result<(), Error> {
    let transaction = JsValue::from(transaction.commit()?);
    if Transaction::try_from(transaction.clone())?.await?.is_committed() {
        return Ok(());
    }
    let why = Transaction::try_from(transaction)?.error();
    Err(why.map_or(Error::DomExceptionNotFound, Error::DomException))
}

async fn put(store: &ObjectStore, key: &JsValue, value: &JsValue) -> Result<(), Error> {
    store.put(value, Some(key))?.await?;
    Ok(())
}

/// Work that goes on to its end where nobody waits for it any longer.
struct ToTheEnd<T: 'static>(Option<LocalBoxFuture<'static, T>>);

fn to_the_end<T: 'static>(work: impl Future<Output = T> + 'static) -> ToTheEnd<T> {
    ToTheEnd(Some(Box::pin(work)))
}

impl<T> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = work.as_mut().poll(context);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl<T> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            wasm_bindgen_futures::spawn_local(work.map(drop));
        }
    }
}

fn medium(error: &Error) -> StoreError {
    StoreError::Medium(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use wasm_bindgen::closure::Closure;
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_dedicated_worker);

    /// A database that no other test and no earlier run of this profile has used.
    async fn fresh() -> (IndexedDb, String) {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", js_sys::Date::now(), OPENED.fetch_add(1, Ordering::Relaxed));
        (IndexedDb::open(&name).await.unwrap(), name)
    }

    #[wasm_bindgen_test]
    async fn keeps_the_promises_of_a_store() {
        crate::suite::run(async || fresh().await.0).await;
    }

    #[wasm_bindgen_test]
    async fn what_is_put_is_there_when_opened_again() {
        let (store, name) = fresh().await;
        let cid = Cid::of_raw(b"digits");
        store.put(&cid, b"digits").await.unwrap();
        store.set_value("name", &JsValue::from_str("lichen")).await.unwrap();
        drop(store);
        let store = IndexedDb::open(&name).await.unwrap();
        assert_eq!(store.get(&cid).await.unwrap().as_deref(), Some(&b"digits"[..]));
        assert_eq!(store.value("name").await.unwrap(), Some(JsValue::from_str("lichen")));
        assert_eq!(store.value("other").await.unwrap(), None);
    }

    #[wasm_bindgen_test]
    async fn damage_is_found_on_reading() {
        let (store, _name) = fresh().await;
        let cid = Cid::of_raw(b"digits");
        store.put(&cid, b"digits").await.unwrap();
        store.write(BLOBS, &cid.to_string(), &Uint8Array::from(&b"didgits"[..])).await.unwrap();
        assert!(matches!(store.get(&cid).await, Err(StoreError::Damaged { cid: found }) if found == cid));
        store.write(BLOBS, &cid.to_string(), &JsValue::from_f64(1.0)).await.unwrap();
        assert!(matches!(store.get(&cid).await, Err(StoreError::Damaged { cid: found }) if found == cid));
    }

    #[wasm_bindgen_test]
    async fn values_are_found_by_how_their_names_begin() {
        let (store, _name) = fresh().await;
        for name in ["b/2", "a", "b/1", "b/\u{fffd}", "c"] {
            store.set_value(name, &JsValue::from_str(name)).await.unwrap();
        }
        let found = store.values("b/").await.unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _value)| name.as_str()).collect();
        assert_eq!(names, ["b/1", "b/2", "b/\u{fffd}"]);
        assert!(found.iter().all(|(name, value)| value.as_string().as_ref() == Some(name)));
        assert!(store.values("d").await.unwrap().is_empty());
    }

    #[wasm_bindgen_test]
    async fn what_nobody_waits_for_goes_on_to_its_end() {
        let (store, name) = fresh().await;
        let cid = Cid::of_raw(b"digits");
        let uncaught = Rc::new(Cell::new(0));
        let heard = Rc::clone(&uncaught);
        let hear = Closure::<dyn FnMut()>::new(move || heard.set(heard.get() + 1));
        js_sys::Reflect::set(&js_sys::global(), &"onerror".into(), hear.as_ref()).unwrap();
        // Begun, and then given up: a browser that called what is no longer there would say so as an uncaught error.
        assert!(store.put(&cid, b"digits").now_or_never().is_none());
        assert!(store.get(&cid).now_or_never().is_none());
        assert!(IndexedDb::open(&name).now_or_never().is_none());
        assert_eq!(store.get(&cid).await.unwrap().as_deref(), Some(&b"digits"[..]));
        // By then the browser has answered what came before.
        IndexedDb::open(&name).await.unwrap();
        js_sys::Reflect::set(&js_sys::global(), &"onerror".into(), &JsValue::NULL).unwrap();
        assert_eq!(uncaught.get(), 0);
    }

    #[wasm_bindgen_test]
    async fn a_name_is_taken_once() {
        let (store, _name) = fresh().await;
        let first = store.value_or_insert("key", &JsValue::from_str("first")).await.unwrap();
        let second = store.value_or_insert("key", &JsValue::from_str("second")).await.unwrap();
        assert_eq!(first, JsValue::from_str("first"));
        assert_eq!(second, JsValue::from_str("first"));
    }

    #[wasm_bindgen_test]
    async fn what_was_deleted_while_it_was_open_is_made_anew() {
        let (store, name) = fresh().await;
        let cid = Cid::of_raw(b"digits");
        store.put(&cid, b"digits").await.unwrap();
        store.set_value("key", &JsValue::from_str("a key")).await.unwrap();
        // The open connection hears of it and closes.
        idb::Factory::new().unwrap().delete(&name).unwrap().await.unwrap();
        assert!(!is_open(&store.0.database.borrow()));
        // Two calls that find it closed share the connection that one of them opens.
        let (blob, key) = futures::join!(store.get(&cid), store.value("key"));
        assert_eq!((blob.unwrap(), key.unwrap()), (None, None));
        store.put(&cid, b"digits").await.unwrap();
        assert_eq!(store.get(&cid).await.unwrap().as_deref(), Some(&b"digits"[..]));
        assert!(IndexedDb::open(&name).await.unwrap().has(&cid).await.unwrap());
    }
}
