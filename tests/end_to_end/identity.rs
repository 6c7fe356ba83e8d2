//! Keys.

use super::site::{ENDLESS, Site, account};

/// All keys in all databases of the page's origin: type, whether extractable.
const STORED_KEYS: &str = r#"(async () => {
    const keys = [];
    const request = r => new Promise((ok, no) => { r.onsuccess = () => ok(r.result); r.onerror = () => no(r.error); });
    const search = value => {
        if (value instanceof CryptoKey) keys.push(`${value.type} ${value.extractable}`);
        else if (value && typeof value === "object" && !ArrayBuffer.isView(value)) Object.values(value).forEach(search);
    };
    for (const { name } of await indexedDB.databases()) {
        const database = await request(indexedDB.open(name));
        for (const store of database.objectStoreNames)
            search(await request(database.transaction(store).objectStore(store).getAll()));
        database.close();
    }
    return keys.sort();
})()"#;

#[test]
fn the_key_survives_a_reload_and_cannot_leave() {
    let site = Site::start(ENDLESS);
    let page = site.join();
    site.wait_for_round(&page, 1);
    let first = account(&page);
    let keys = page.evaluate(STORED_KEYS).unwrap();
    let keys: Vec<&str> = keys.as_array().unwrap().iter().filter_map(|key| key.as_str()).collect();
    assert!(keys.contains(&"private false"), "{keys:?}");
    assert!(!keys.contains(&"private true"), "{keys:?}");

    page.reload().unwrap();
    page.click("Join", super::site::SOON).unwrap();
    let before = page.state().unwrap().unwrap_or_default().round;
    site.wait_for_round(&page, before + 1);
    assert_eq!(account(&page), first);

    let other = site.join();
    site.wait(&other, "a contribution", super::site::TRAINED, |state| state.contributions > 0);
    assert_ne!(account(&other), first);
    let accounts: Vec<String> = site.contributions().into_iter().map(|(account, _)| account).collect();
    assert!(accounts.contains(&first) && accounts.contains(&account(&other)), "{accounts:?}");
}
