//! A relay behind a proxy that serves it below a path.

use lichen_testkit::Prefix;

use super::site::{ENDLESS, SOON, Site, TRAINED};

#[test]
fn a_page_below_a_path_finds_its_relay_there() {
    let site = Site::start(ENDLESS);
    let proxy = Prefix::start("/a/lichen/", site.relay.options().port).unwrap();
    let page = site.profile().new_page().unwrap();
    page.navigate(&proxy.url()).unwrap();
    page.click("Join", SOON).unwrap();
    site.wait(&page, "two contributions", TRAINED, |state| state.contributions >= 2);
    let below = proxy.url();
    let socket = below.replace("http://", "ws://");
    let requests = page.requests();
    assert!(requests.iter().any(|request| request.websocket), "{requests:?}");
    for request in requests {
        let url = &request.url;
        let inside = url.starts_with(&below) || url.starts_with("data:") || url.starts_with("blob:");
        assert!(inside || (request.websocket && url.starts_with(&socket)), "{request:?}");
    }
    assert_eq!(page.console_errors(), Vec::<String>::new());
    assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
}
