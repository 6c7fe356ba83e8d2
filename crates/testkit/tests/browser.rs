//! The driver against a real Chromium and a page served from this process.
#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use lichen_testkit::{Browser, BrowserOptions};

const LIMIT: Duration = Duration::from_secs(20);
const PAGE: &str = r#"<!doctype html><title>t</title>
<main data-state="idle" data-round="0"><button>Join</button><button disabled>Leave</button></main>
<script src="/page.js"></script>"#;
const SCRIPT: &str = r#"
const main = document.querySelector("main");
document.querySelector("button").onclick = event => {
    main.dataset.state = event.isTrusted ? "training" : "fooled";
    main.dataset.round = "7"; main.dataset.accuracy = "0.5"; main.dataset.firstStepMs = "12.5";
    localStorage.setItem("key", "k");
    new Worker("/worker.js");
    console.error("an error", 3);
};"#;
const WORKER: &str = r#"console.error("worker speaks"); fetch("/from-worker"); new WebSocket("ws://" + location.host + "/ws");"#;

/// Serves the page above until the test process ends.
fn serve() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let (kind, body) = match request.split(' ').nth(1).unwrap_or("") {
                    "/" => ("text/html", PAGE),
                    "/page.js" => ("text/javascript", SCRIPT),
                    "/worker.js" => ("text/javascript", WORKER),
                    _ => ("text/plain", ""),
                };
                let csp = "Content-Security-Policy: default-src 'self'; img-src 'none'";
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{csp}\r\nContent-Length: {}",
                    body.len()
                );
                // The browser may have hung up.
                let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}");
            });
        }
    });
    url
}

#[test]
fn drives_a_page_as_a_person_does() {
    let url = serve();
    let browser = Browser::launch(&BrowserOptions::default()).unwrap();
    assert!(browser.version().contains("Chrom"), "{}", browser.version());
    let context = browser.new_context().unwrap();
    let page = context.new_page().unwrap();
    page.navigate(&url).unwrap();
    assert_eq!(page.state().unwrap().unwrap().state, "idle");
    assert!(!page.has_button("Leave").unwrap(), "a disabled button cannot be clicked");
    assert!(page.click("Leave", Duration::ZERO).is_err());
    assert_eq!(page.workers(), 0);
    assert!(page.requests().iter().all(|request| !request.websocket));

    page.click("Join", LIMIT).unwrap();
    let state = page.wait_for_state("training", LIMIT, |state| state.state == "training").unwrap();
    assert_eq!((state.round, state.accuracy, state.first_step_ms), (7, Some(0.5), Some(12.5)));
    lichen_testkit::wait::until("the worker's doings", LIMIT, || {
        let errors = page.console_errors();
        let requests = page.requests();
        let seen = errors.contains(&"an error 3".into())
            && errors.contains(&"worker speaks".into())
            && requests.iter().any(|request| request.websocket && request.url.ends_with("/ws"))
            && requests.iter().any(|request| request.url.ends_with("/from-worker"));
        Ok(if seen { Ok(()) } else { Err((errors, requests)) })
    })
    .unwrap();
    assert_eq!(page.workers(), 1);

    assert!(page.csp_violations().unwrap().is_empty());
    page.evaluate("document.body.append(Object.assign(new Image(), { src: '/x.png' }))").unwrap();
    lichen_testkit::wait::until("a violation", LIMIT, || {
        let violations = page.csp_violations()?;
        Ok(if violations.is_empty() { Err(violations) } else { Ok(()) })
    })
    .unwrap();

    page.reload().unwrap();
    assert_eq!(page.state().unwrap().unwrap().state, "idle");
    assert_eq!(page.evaluate("localStorage.getItem('key')").unwrap(), "k");
    let other = browser.new_context().unwrap().new_page().unwrap();
    other.navigate(&url).unwrap();
    assert!(other.evaluate("localStorage.getItem('key')").unwrap().is_null(), "profiles are separate");

    other.set_dark(true).unwrap();
    other.set_size(390, 844, 2.0, true).unwrap();
    assert_eq!(other.evaluate("matchMedia('(prefers-color-scheme: dark)').matches").unwrap(), true);
    assert_eq!(other.evaluate("screen.width").unwrap(), 390);
    assert!(other.screenshot().unwrap().starts_with(b"\x89PNG"));
    other.set_offline(true).unwrap();
    assert!(other.evaluate("fetch('/').then(() => true)").is_err());
    other.close().unwrap();

    assert!(page.evaluate("throw new Error('thrown')").unwrap_err().to_string().contains("thrown"));
    browser.kill();
    assert!(page.evaluate("1").is_err());
}

#[test]
fn a_webgpu_adapter_is_there() {
    let url = serve();
    let browser = Browser::launch(&BrowserOptions::default()).unwrap();
    let page = browser.new_context().unwrap().new_page().unwrap();
    page.navigate(&url).unwrap();
    assert_eq!(
        page.evaluate("navigator.gpu.requestAdapter().then(adapter => adapter !== null)").unwrap(),
        true
    );
}
