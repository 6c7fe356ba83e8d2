//! Nothing runs unasked, and nothing leaves for elsewhere.

use super::site::{ENDLESS, SOON, Site};

/// Counts what would use the graphics card or a peer connection.
const WATCH: &str = r#"
globalThis.__used = [];
for (const [prototype, name] of [[GPU.prototype, "requestAdapter"], [Navigator.prototype.storage, "getDirectory"]]) {
    if (!prototype?.[name]) continue;
    const original = prototype[name];
    prototype[name] = function (...rest) { __used.push(name); return original.apply(this, rest); };
}
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...rest) { super(...rest); __used.push("RTCPeerConnection"); }
};"#;

#[test]
fn before_the_click_nothing_runs_or_connects() {
    let site = Site::start(ENDLESS);
    let page = site.profile().new_page().unwrap();
    page.run_on_load(WATCH).unwrap();
    page.navigate(&site.relay.url()).unwrap();
    page.wait_for("the page to be drawn", "document.querySelector('main')?.dataset.state === 'idle'", SOON)
        .unwrap();
    // The absence of something can only be watched for a while.
    page.evaluate("new Promise(done => requestIdleCallback(() => setTimeout(() => done(true), 1500)))")
        .unwrap();

    assert!(page.has_button("Join").unwrap());
    assert_eq!(page.workers(), 0, "a worker was started");
    assert_eq!(page.evaluate("__used.join()").unwrap(), "");
    let requests = page.requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| !request.websocket), "{requests:?}");

    page.click("Join", SOON).unwrap();
    site.wait_for_round(&page, 1);
    assert!(page.workers() > 0);
    let host = site.relay.url().trim_start_matches("http://").to_owned();
    let allowed =
        [format!("http://{host}"), format!("ws://{host}"), "data:".into(), format!("blob:http://{host}")];
    let requests = page.requests();
    assert!(requests.iter().any(|request| request.websocket), "{requests:?}");
    for request in requests {
        assert!(allowed.iter().any(|prefix| request.url.starts_with(prefix)), "{request:?}");
    }
    assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
}

#[test]
fn the_content_security_policy_is_strict() {
    let site = Site::start(ENDLESS);
    let answer = site.relay.get("").unwrap();
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{:?}", answer.headers));
    let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
    assert!(
        directives.contains(&"default-src 'none'") || directives.contains(&"default-src 'self'"),
        "{policy}"
    );
    assert!(!policy.contains("'unsafe-inline'"), "{policy}");
    assert!(!policy.contains("'unsafe-eval'"), "{policy}");
    let script = directives.iter().find(|one| one.starts_with("script-src ")).unwrap();
    assert!(!script.contains("http:") && !script.contains("https:") && !script.contains('*'), "{policy}");

    let page = site.open(&site.profile(), "");
    page.wait_for("the page to be drawn", "document.querySelector('main')?.dataset.state", SOON).unwrap();
    let injected = "const s = document.createElement('script'); s.textContent = 'globalThis.__ran = true'; \
        document.body.append(s); globalThis.__ran ?? false";
    assert_eq!(page.evaluate(injected).unwrap(), false, "an inline script ran");
    assert!(page.evaluate("fetch('http://127.0.0.1:1/').then(() => true)").is_err());
    assert!(page.csp_violations().unwrap().len() >= 2, "both must be reported: {:?}", page.csp_violations());
}
